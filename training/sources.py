"""Where questions come from: JSON and JSON Lines files, Parquet, datasets on disk, datasets of the Hugging Face Hub.

The container is told by its suffix or by the files in its folder, the format of its records by the first one's keys.
A folder of labelled pictures (see training/corpus.py) is none of these: `is_corpus` tells.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets import Dataset, DatasetDict, Image, List, load_dataset, load_from_disk

from training import formats
from training.annotations import read_annotation
from training.formats import FORMATS, Record
from training.written import whole_rows

INFO = "dataset_info.json"
ON_DISK = ("dataset_dict.json", "state.json")
"""What `datasets` writes beside its Arrow files."""


@dataclass(frozen=True)
class Source:
    """Records of one format.

    Attributes:
        given: the file, folder or name that it was opened by.
        name: what samples without a source of their own call theirs.
        format: one of `FORMATS`.
        records: as they are stored, pictures not decoded.
        read: makes a `Record` of one of them, or raises a ValueError that says why not. Can be pickled.
    """

    given: str
    name: str
    format: str
    records: Sequence[dict] | Dataset
    read: Callable[[Mapping], Record]


def is_corpus(source: str) -> bool:
    """True of a folder of labelled pictures, or of tables that give pictures labels and no questions."""
    folder = Path(source)
    if not folder.is_dir() or (folder / INFO).exists() or _is_datasets(folder):
        return False
    tables = sorted(folder.glob("*.jsonl"))
    return not tables or not _format_of(next((row for _, row in whole_rows(tables[0], 1)), {}))


def open_source(
    source: str,
    format: str | None = None,
    *,
    split: str | None = None,
    image_folder: Path | None = None,
    columns: Mapping[str, str] | None = None,
    dataset: str | None = None,
) -> Source:
    """Open a source of records.

    Args:
        source: a file or folder, or the name of a dataset on the Hub, ``owner/name`` or ``owner/name:config``.
        format: one of `FORMATS`, where the first record does not tell.
        split: of a dataset that has several (default: train).
        image_folder: what paths of pictures are relative to (default: the folder of the file).
        columns: for records of questions, what they call image, question, options or answer.
        dataset: name of the entry in a ``dataset_info.json`` of several.

    Raises:
        ValueError: there is no such source, or nothing tells how to read it.
    """
    path = Path(source)
    info = _find_info(path, dataset)
    if info and "hf_hub_url" in info:
        name, records, folder = info["hf_hub_url"], _load(info["hf_hub_url"], info.get("subset"), split), Path()
    elif info:
        folder = path if path.is_dir() else path.parent
        path = folder / info["file_name"]
        name, records = path.stem, _read(path, split)
    else:
        folder = path if path.is_dir() else path.parent
        if path.exists():
            name, records = path.stem if path.is_file() else path.resolve().name, _read(path, split)
        else:
            name, config = _hub_name(source)
            records = _load(name, config, split)
    if not len(records):
        raise ValueError(f"{source} holds no records")
    first = records[0]
    found = "questions" if columns else "llama-factory" if info else _format_of(first)
    format = format or found
    if format is None:
        raise ValueError(
            f"cannot tell how to read {source}: its records have {', '.join(first)}. Give --format "
            f"({', '.join(FORMATS)}), or --columns question=NAME answer=NAME …"
        )
    if columns and format != "questions":
        raise ValueError(f"--columns is for records of questions, and the format is {format}")
    read = partial(_reader(format, first, info, columns), folder=image_folder or folder)
    return Source(source, name, format, records, read)


def _reader(format: str, first: Mapping, info: dict | None, columns: Mapping[str, str] | None) -> Callable:
    if format == "questions":
        return partial(formats.read_question, columns=columns)
    if format == "vlm-r1":
        return formats.read_conversation
    if format == "trl":
        return formats.read_trl
    if format == "annotations":
        return read_annotation
    if info:
        named = {"messages": "conversations", "images": "images"} | info.get("columns", {})
        tags = formats.CONVERSATION_TAGS | info.get("tags", {})
        return partial(formats.read_conversation, columns=named, tags=tags)
    messages = first.get("messages") or first.get("conversations")
    by_role = isinstance(messages, list) and messages and "role" in messages[0]
    named = {"messages": "messages" if "messages" in first else "conversations", "images": "images"}
    tags = formats.MESSAGES_TAGS if by_role else formats.CONVERSATION_TAGS
    return partial(formats.read_conversation, columns=named, tags=tags)


def _format_of(record: Mapping) -> str | None:
    keys = set(record)
    if {"verdicts", "corrected", "predicted"} <= keys:
        return "annotations"
    if {"prompt", "completion"} <= keys:
        return "trl"
    if "messages" in keys or {"conversations", "images"} <= keys:
        return "llama-factory"
    if "conversations" in keys:
        return "vlm-r1"
    return "questions" if keys & set(formats.COLUMNS["question"]) else None


# --- LLaMA-Factory's list of datasets ---


def _find_info(path: Path, dataset: str | None) -> dict | None:
    """The entry for a folder, for a data file with the list beside it, or for the list itself; None without a list."""
    folder = path if path.is_dir() else path.parent
    if not (folder / INFO).is_file() or _is_datasets(folder) or not path.exists():
        if dataset:
            raise ValueError(f"--dataset names an entry of a {INFO}, and {folder} has none")
        return None
    listed = _read_json(folder / INFO)
    if not isinstance(listed, dict):
        raise ValueError(f"{folder / INFO} is to hold entries by their names")
    if dataset is None and path.is_file() and path.name != INFO:
        entries = [name for name, info in listed.items() if info.get("file_name") == path.name]
        if not entries:
            return None
    else:
        entries = [dataset] if dataset else list(listed)
    if len(entries) != 1 or entries[0] not in listed:
        raise ValueError(f"{folder / INFO} lists {', '.join(listed)}; choose one with --dataset")
    info = listed[entries[0]]
    formatting = info.get("formatting", "alpaca")
    if formatting != "sharegpt":
        raise ValueError(f"{entries[0]} is of the formatting {formatting!r}, and only sharegpt can be read")
    return info


# --- containers ---


def _read(path: Path, split: str | None) -> Sequence[dict] | Dataset:
    if path.is_dir():
        if any((path / name).exists() for name in ON_DISK):
            return _undecoded(_split_of(load_from_disk(path), split, path))
        if _is_datasets(path):
            return _load(str(path), None, split)
        files = sorted(file for file in path.glob("*.json*") if file.suffix in (".json", ".jsonl"))
        if len(files) == 1:
            return _read(files[0], split)
        names = ", ".join(file.name for file in files) or "none"
        raise ValueError(f"{path} is a folder; name the file that holds the records (it has: {names})")
    if path.suffix == ".parquet":
        return _undecoded(load_dataset("parquet", data_files=str(path), split="train"))
    if split:
        raise ValueError(f"--split chooses among a dataset's splits, and {path} has none; leave it out")
    if path.suffix == ".jsonl":
        return [row for _, row in whole_rows(path)]
    if path.suffix == ".json":
        records = _read_json(path)
        if isinstance(records, list) and all(isinstance(record, dict) for record in records):
            return records
        raise ValueError(f"{path} must be a list of records")
    raise ValueError(f"{path} is none of .jsonl, .json and .parquet")


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON in UTF-8: {error}") from error


def _load(name: str, config: str | None, split: str | None) -> Dataset:
    try:
        return _undecoded(load_dataset(name, config, split=split or "train"))
    except OSError as error:  # no such dataset, no way to the Hub
        raise ValueError(f"{name} is no file or folder here, and as a dataset of the Hub: {error}") from error


def _hub_name(source: str) -> tuple[str, str | None]:
    name, _, config = source.partition(":")
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or Path(name).suffix in (".jsonl", ".json", ".parquet"):
        raise ValueError(f"there is no file or folder {source}")
    return name, config or None


def _is_datasets(folder: Path) -> bool:
    """A folder that `datasets` wrote or can load as it is."""
    return any((folder / name).exists() for name in ON_DISK) or any(
        next(folder.glob(pattern), None) for pattern in ("*.parquet", "data/*.parquet")
    )


def _split_of(dataset: Dataset | DatasetDict, split: str | None, path: Path) -> Dataset:
    if isinstance(dataset, Dataset):
        if split:
            raise ValueError(f"--split chooses among a dataset's splits, and {path} has none; leave it out")
        return dataset
    if (split or "train") not in dataset:
        raise ValueError(f"{path} has the splits {', '.join(dataset)}; choose one with --split")
    return dataset[split or "train"]


def _undecoded(dataset: Dataset) -> Dataset:
    """Pictures as the bytes of their files, so that they can be kept as they are."""
    for name, feature in dataset.features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(name, Image(decode=False))
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            dataset = dataset.cast_column(name, List(Image(decode=False)))
    return dataset
