"""Datasets of the Hugging Face Hub: one opened as a batch, all batches pushed to one, and come back from it."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from huggingface_hub import CommitScheduler, HfApi
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from degradations.files import SUFFIXES
from demo.annotate.found import TABLES
from demo.settings import Bounds
from demo.store.tables import now
from demo.texts import Text
from demo.vote.box import BACKUP

PARQUET = ".parquet"
_COLUMNS = {"picture": ("image", "images", "file"), "options": ("options", "choices")}
_PASSED_ON = ("question", "answer", "recipe", "applied", "model", "chain", "by_index", "key", "verdicts")


class NoDatasetError(ValueError):
    """There is no such dataset, or this token may not see it."""


@contextmanager
def downloaded(name: str, bounds: Bounds, api: HfApi) -> Iterator[Path]:
    """A dataset's pictures and tables in a folder that is gone afterwards.

    Args:
        name: ``owner/name`` on the Hub, whoever named it.
        api: whose token decides what can be seen; one without for strangers.

    Raises:
        ValueError: no such dataset, no way to the Hub, or more than the bounds allow; with a `Text` that says which.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = api.dataset_info(name, files_metadata=True).siblings or []
            wanted = [file for file in files if _is_wanted(file.rfilename)]
            size = sum(file.size or 0 for file in wanted)
            if len(wanted) > bounds.files or size > bounds.bytes:
                raise ValueError(Text("annotate.too-much", files=bounds.files, most=round(bounds.bytes / 1e6)))
            names = [file.rfilename for file in wanted]
            api.snapshot_download(name, repo_type="dataset", local_dir=folder, allow_patterns=names)
        except RepositoryNotFoundError as error:
            raise NoDatasetError(Text("annotate.hub-none", name=name)) from error
        except (httpx.HTTPError, HFValidationError, OSError) as error:
            raise ValueError(Text("annotate.hub-failed", name=name, cause=cause_of(error))) from error
        root = Path(folder)
        if not any(path.name in TABLES for path in root.rglob("*")):
            _unpack(root, bounds)
        yield root


def _is_wanted(name: str) -> bool:
    path = Path(name)
    return path.name in (*TABLES, "batch.json", BACKUP) or (
        name.lower().endswith((*SUFFIXES, PARQUET)) and not path.is_absolute()
    )


def _unpack(root: Path, bounds: Bounds) -> None:
    """Parquet as a folder of pictures with a table, where there is any."""
    files = sorted(path for path in root.rglob(f"*{PARQUET}"))
    if not files:
        return
    import pyarrow.parquet  # takes half a second, which only such datasets cost

    count, size = 0, 0
    with (root / "metadata.jsonl").open("w", encoding="utf-8") as table:
        for file in files:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=16):
                for row in batch.to_pylist():
                    content = _picture(row)
                    count, size = count + 1, size + len(content)
                    if count > bounds.files or size > bounds.bytes:
                        raise ValueError(Text("annotate.too-much", files=bounds.files, most=round(bounds.bytes / 1e6)))
                    path = f"unpacked/{count:06d}"
                    (root / path).parent.mkdir(exist_ok=True)
                    (root / path).write_bytes(content)
                    line = {name: row[name] for name in _PASSED_ON if isinstance(row.get(name), str | bool)}
                    options = next((row[name] for name in _COLUMNS["options"] if row.get(name)), None)
                    line |= {"file_name": path} | ({"options": options} if options else {})
                    table.write(json.dumps({"key": path, **line}) + "\n")


def _picture(row: Mapping) -> bytes:
    """The bytes of a row's first picture."""
    value = next((row[name] for name in _COLUMNS["picture"] if row.get(name)), None)
    value = value[0] if isinstance(value, list) else value
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(content, bytes):
        raise ValueError(Text("annotate.hub-no-picture", columns=", ".join(row)))
    return content


def cause_of(error: Exception) -> str:
    """What an exception of the Hub says, short enough for the page."""
    return (str(error) or type(error).__name__).strip().split("\n")[0][:300]


def head(name: str, api: HfApi) -> str | None:
    """The last commit of a dataset repository; None where there is no such repository yet."""
    try:
        return api.dataset_info(name).sha
    except RepositoryNotFoundError:
        return None


class Pushing(CommitScheduler):
    """Pushes all batches to a dataset repository, every so many minutes and at the end.

    Args:
        write: brings the folder that is pushed up to date.
        merge: takes over what another server has pushed meanwhile, before it would be overwritten; a Space that is
            built anew runs beside its predecessor for a while.
        seen: the repository's last commit when it was read last.
        options: as `CommitScheduler` takes them.
    """

    def __init__(
        self, write: Callable[[Path], None], merge: Callable[[], None], seen: str | None, folder: Path, repo: str,
        every: float, **options,
    ):  # fmt: skip
        self._write, self._merge, self._seen = write, merge, seen
        self.last_success: datetime | None = None
        self.last_error: str | None = None
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            repo_id=repo, folder_path=folder, every=every, repo_type="dataset", private=True, **options
        )  # fmt: skip

    def push_to_hub(self):
        """What the scheduler calls; a failure is kept for the page, then raised as always."""
        try:
            with self.lock:
                there = head(self.repo_id, self.api)
                if there != self._seen:
                    self._merge()
                    self._seen = there
                self._write(Path(self.folder_path))
            pushed = super().push_to_hub()
            self._seen = pushed.oid if pushed else self._seen
        except Exception as error:
            self.last_error = cause_of(error)
            raise
        self.last_success, self.last_error = now(), None
        return pushed
