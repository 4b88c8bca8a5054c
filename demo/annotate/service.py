"""All that annotating needs on one server, and how whoever starts it says so."""

import argparse
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from degradations import Recipe
from demo import settings
from demo.annotate import exports, hub
from demo.annotate.access import Access, is_loopback
from demo.annotate.batches import Batches, Opened, Wanted, names_of
from demo.annotate.desk import Desk
from demo.annotate.figures import Judged
from demo.annotate.found import files_below
from demo.annotate.imports import Imported, add_verdicts
from demo.annotate.pictures import Pictures
from demo.annotate.publish import Account, named_account
from demo.store import database
from demo.store.tables import Batch
from demo.texts import Text
from demo.vote.box import Box

log = logging.getLogger(__name__)


@dataclass
class Service:
    """One server's annotating.

    Attributes:
        access: who may do what.
        batches, desk: what there is to judge, and who judges it.
        named: sources that whoever started the server named, by what the page calls them.
        pushing: None unless all batches are pushed to a dataset repository.
        not_pushed: the repository that was asked for, and why nothing is pushed to it; None where all is well.
        account: whose datasets single batches become; None where nobody has said.
    """

    access: Access
    batches: Batches
    desk: Desk
    named: dict[str, Path]
    pushing: hub.Pushing | None = None
    not_pushed: tuple[str, str] | None = None
    account: Account | None = None

    @property
    def store(self) -> database.Store:
        return self.batches.store

    def write_all(self, folder: Path) -> None:
        """Every batch as a folder of its own, and the votes."""
        Box(self.store).keep_in(folder)
        for batch in self.batches.listed():
            exports.write_folder(self.store, self.batches.pictures, batch.id, folder / f"batch-{batch.id:04d}")

    def open_export(self, folder: Path, wanted: Wanted, by: str) -> tuple[Opened, Imported]:
        """Open a folder, and take over the verdicts that it brings along."""
        opened = self.batches.open_path(folder, wanted, by)
        return opened, add_verdicts(self.store, opened.batch, opened.verdicts)

    def judged(self, batch: int) -> list[Judged]:
        """Every verdict that counts in a batch."""
        found = []
        for item, said in exports.judged(self.store, batch):
            predicted = Recipe.parse(item.predicted or "")
            applied = None if item.applied is None else Recipe.parse(item.applied)
            found += [
                Judged(item.id, one.annotator, item.model or "", predicted, applied, verdict, one.seconds)
                for one, verdict in said
            ]
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what annotating takes to a command line; `service_from` reads it."""
    group = parser.add_argument_group(
        "annotating",
        f"Public servers want a login or {settings.ANNOTATION_SECRET}: see python -m demo.annotate invite --help.",
    )
    add = group.add_argument
    environ = os.environ.get
    database.add_arguments(group)
    text = "folder, manifest.jsonl or zip that operators may open as a batch; several with more --batch"
    add("--batch", type=Path, action="append", default=[], help=text)
    text = "names of logins that may open, export and import (DEMO_OPERATORS, separated by commas)"
    add("--operator", action="append", default=_listed(environ("DEMO_OPERATORS")), help=text)
    text = "dataset repository, owner/name, that batches and votes are pushed to and come back from (DEMO_PUSH_TO)"
    add("--push-to", default=environ("DEMO_PUSH_TO"), help=text)
    text = "user or organisation whose datasets single batches become when operators export them to the Hub "
    add("--hub-account", default=environ("DEMO_HUB_ACCOUNT"), help=text + "(DEMO_HUB_ACCOUNT; default: of --push-to)")
    add("--push-every", type=float, default=settings.PUSH_MINUTES, help="minutes (default %(default)s)")


def service_from(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Service:
    """What `add_arguments` and the environment choose.

    Raises:
        StoreError, ValueError: the database, the secret or the account cannot be used.
    """
    data = Path(arguments.data)
    store = database.store_from(arguments)
    host = getattr(arguments, "host", None) or environ.get("GRADIO_SERVER_NAME")
    shared = environ.get("GRADIO_SHARE", "").lower() == "true"
    operators = {*arguments.operator, *_listed(environ.get("SPACE_AUTHOR_NAME"))}
    access = Access(
        secret=environ.get(settings.ANNOTATION_SECRET) or None,
        local=is_loopback(host) and not shared and "SPACE_ID" not in environ,
        operators=frozenset(operators),
    )
    batches = Batches(store, Pictures(data / "pictures"))
    account = named_account(arguments.hub_account or (arguments.push_to or "").partition("/")[0])
    service = Service(access, batches, Desk(store), names_of(arguments.batch), account=account)
    if arguments.push_to:
        push(service, data, arguments.push_to, arguments.push_every, HfApi())
    return service


def push(service: Service, data: Path, repo: str, every: float, api: HfApi) -> None:
    """Begin to push all batches and votes to a repository; to a server that has forgotten its own they come back first.

    Where the Hub does not answer the server starts all the same, and nothing is pushed; log and page say so.
    """

    def merge() -> None:
        with suppress(hub.NoDatasetError), hub.downloaded(repo, settings.BATCH_BOUNDS, api) as folder:
            for batch in _batches_of(folder):
                restore(service, batch)
            Box(service.store).take_back(folder)

    try:
        seen = hub.head(repo, api)
        merge()
        service.pushing = hub.Pushing(service.write_all, merge, seen, data / "push", repo, every, hf_api=api)
    except Exception as error:
        log.exception("nothing is pushed to %s: %s", repo, error)
        service.not_pushed = repo, hub.cause_of(error)


def restore(service: Service, folder: Path) -> None:
    """Open a batch from what `write_all` wrote; of one that is there what it lacks comes back: pictures, verdicts.

    Raises:
        ValueError: a batch of this name is there, and knows nothing of items that have been judged elsewhere.
    """
    wanted, by = exports.about(folder)
    number = next((batch.id for batch in service.batches.listed() if batch.name == wanted.name), None)
    if number is None:
        service.open_export(folder, wanted, by)
        return
    # A database elsewhere outlives a disk that is forgotten, the pictures do not.
    for picture in sorted((folder / exports.PICTURES).glob("*")):
        if not service.batches.pictures.path(picture.name).exists():
            service.batches.pictures.keep(picture.read_bytes())
    verdicts = exports.read((folder / exports.TABLE).read_bytes(), exports.TABLE)
    taken = add_verdicts(service.store, number, verdicts)
    if taken.unknown:
        raise ValueError(Text("annotate.other-batch", name=wanted.name, count=len(taken.unknown)))


def _batches_of(folder: Path) -> Iterator[Path]:
    for name in files_below(folder):
        if Path(name).name == exports.ABOUT:
            yield (folder / name).parent


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def batch_name(service: Service, batch: int) -> str:
    """What a batch is called, for the names of files."""
    with service.store.reading() as session:
        return session.get_one(Batch, batch).name
