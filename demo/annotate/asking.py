"""What page and endpoints have in common: who asks, sources of batches, files to hand out."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import gradio as gr
from gradio.utils import get_upload_folder
from huggingface_hub import HfApi

from demo import settings
from demo.annotate import exports, hub
from demo.annotate.access import Visitor
from demo.annotate.batches import Opened, Wanted
from demo.annotate.fetch import fetch
from demo.annotate.imports import Imported, add_verdicts
from demo.annotate.predicting import predict
from demo.annotate.publish import Account, account_of
from demo.annotate.service import Service, batch_name
from demo.api import upload_path
from demo.models import Pair
from demo.recovery.joint import Joint
from demo.texts import Text

PREDICTING = {"concurrency_id": "predicting", "concurrency_limit": 1}
"""Not the models' queue: a batch of hours would have it, and every visitor would wait for all of it. This way they wait
for the pictures that are being asked about together."""

PUBLISHING = {"concurrency_id": "publishing", "concurrency_limit": 1}
"""So that two exports of one batch to the Hub come one after the other."""


def who(service: Service, request: gr.Request, profile: gr.OAuthProfile | None, name: object, key: object) -> Visitor:
    """Who asks.

    Raises:
        ForbiddenError: as `Access.visitor`.
    """
    login = profile.username if profile else request.username
    client = request.client.host if request.client else ""
    return service.access.visitor(name, key, login, client, dict(request.headers))


def uploads(value: object) -> dict[str, Path]:
    """Uploaded files as gr.File sends them: the names that they had -> where they lie.

    Raises:
        PhotoError: a path outside of Gradio's upload folder.
    """
    files = value if isinstance(value, list) else [value] if value else []
    found = {}
    for file in files:
        path = upload_path(file)
        name = file.get("orig_name") if isinstance(file, Mapping) else None
        found[Path(str(name or path.name).replace("\\", "/")).name] = path
    return found


def open_batch(
    service: Service, by: Visitor, files: Mapping[str, Path], source: str, wanted: Wanted
) -> tuple[Opened, Imported]:
    """Open a batch from uploads, or from a source that a visitor may name: one that the server's command line named,
    an address, or a dataset of the Hub.

    Raises:
        ForbiddenError: the visitor is no operator.
        ValueError: nothing to open, or it cannot be taken.
    """
    service.access.operator(by)
    source = source.strip() if isinstance(source, str) else ""
    if len(files) == 1 and next(iter(files)).lower().endswith(".zip"):
        name, path = next(iter(files.items()))
        opened = service.batches.open_zip(path, wanted, name, by.name)
    elif files:
        opened = service.batches.open_files(files, wanted, ", ".join(list(files)[:3]), by.name)
    elif source in service.named:
        opened = service.batches.open_path(service.named[source], wanted, by.name)
    elif source.lower().startswith(("http://", "https://")):
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "fetched.zip")
            fetch(source, archive, settings.MAX_FETCHED_BYTES)
            opened = service.batches.open_zip(archive, wanted, source, by.name)
    elif source:
        # Without the server's token: a visitor sees what everybody sees.
        with hub.downloaded(source, service.batches.bounds, HfApi(token=False)) as folder:
            opened = service.batches.open_path(folder, wanted, by.name)
    else:
        raise ValueError(Text("annotate.nothing-to-open"))
    return opened, add_verdicts(service.store, opened.batch, opened.verdicts)


def export_file(service: Service, by: Visitor, batch: int, format: str) -> Path:
    """A batch as a file to download.

    Raises:
        ForbiddenError: the visitor is no operator.
        ValueError: no such batch or format.
    """
    service.access.operator(by)
    if format not in exports.FORMATS:
        raise ValueError(Text("annotate.no-format", formats=", ".join(exports.FORMATS)))
    service.desk.progress(batch, by.name)  # refuses a batch that is not there
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in batch_name(service, batch))
    folder = Path(get_upload_folder()) / "exports" / uuid.uuid4().hex
    folder.mkdir(parents=True)
    if format == "zip":
        whole = folder / "whole"
        exports.write_folder(service.store, service.batches.pictures, batch, whole)
        path = Path(shutil.make_archive(str(folder / name), "zip", whole))
        shutil.rmtree(whole)
        return path
    path = folder / f"{name}.{format}"
    text = exports.as_csv(service.store, batch) if format == "csv" else exports.as_jsonl(service.store, batch)
    path.write_text(text, encoding="utf-8")
    return path


def hub_account(
    service: Service, by: Visitor, batch: int, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None
) -> Account:
    """Whose dataset a batch becomes if this visitor exports it to the Hub; `publish` makes it so.

    Raises:
        ForbiddenError: the visitor is no operator.
        ValueError: no such batch, or nobody's.
    """
    service.access.operator(by)
    service.desk.progress(batch, by.name)  # refuses a batch that is not there
    return account_of(service.account, profile, token)


def import_file(service: Service, by: Visitor, batch: int, files: Mapping[str, Path]) -> Imported:
    """Put the verdicts of an uploaded table into a batch.

    Raises:
        ForbiddenError: the visitor is no operator.
        ValueError: no such batch, or no such table.
    """
    service.access.operator(by)
    if len(files) != 1:
        raise ValueError(Text("annotate.nothing-to-import"))
    name, path = next(iter(files.items()))
    return add_verdicts(service.store, batch, exports.read(path.read_bytes(), name))


def picture_address(service: Service, name: str | None) -> str | None:
    """Where a browser gets a picture, relative to the page."""
    if name is None:
        return None
    path = service.batches.pictures.shown(name, Path(get_upload_folder()) / "annotated")
    return f"gradio_api/file={quote(str(path))}"


def predicting(
    service: Service, by: Visitor, batch: int, pair: Pair, joint: Joint | None = None
) -> Iterator[tuple[int, int]]:
    """Have what is missing predicted; yields as `predict`.

    Raises:
        ForbiddenError: the visitor is no operator.
    """
    service.access.operator(by)
    service.desk.progress(batch, by.name)
    with closing(predict(service.batches, batch, pair, joint=joint)) as steps:
        yield from steps
