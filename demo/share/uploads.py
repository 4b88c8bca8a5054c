"""Photos that visitors share: kept only by consent, named by 128 random bits, deleted by key, expired, bounded.

A shared photo is what the models see of it: at their size, as a PNG without whatever the file said about its author,
place and camera. The database says what there is, the folder holds the pictures.
"""

import argparse
import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image
from sqlalchemy import func, select

from degradations import files
from demo import settings
from demo.share.links import UPLOAD
from demo.store.database import Store
from demo.store.tables import SharedPhoto, now
from demo.texts import Text

log = logging.getLogger(__name__)

UNFINISHED_S = 3600
"""A picture without an entry in the database is deleted when it is older: until then its entry may be on its way."""


class GoneError(ValueError):
    """No such photo: it never was, was deleted, has expired, or the server has forgotten its disk."""


@dataclass(frozen=True)
class Shared:
    """A photo that has just been shared.

    Attributes:
        id: what links name it by.
        key: what deletes it; only its hash is kept here.
        until: when it expires.
        size: width and height in pixels.
    """

    id: str
    key: str
    until: datetime
    size: tuple[int, int]


class Uploads:
    """The shared photos of one server.

    Args:
        folder: of the pictures; no page serves it.
        days: how long a photo stays.
        most, most_bytes: of all that are there at the same time.
        forgets: whether this machine's disk is forgotten at a restart.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        days: float = settings.SHARE_DAYS,
        most: int = settings.MOST_SHARED,
        most_bytes: int = settings.MOST_SHARED_BYTES,
        forgets: bool = False,
        clock: Callable[[], datetime] = now,
    ):
        if not 0 < days <= 3650:
            raise ValueError(f"shared photos are to stay {days} days; give a number above 0, at most 3650")
        self.store, self.folder, self.days, self.forgets = store, folder, days, forgets
        self._most, self._most_bytes, self._clock = most, most_bytes, clock

    def share(self, photo: Image.Image, consent: object) -> Shared:
        """Keep a photo; it is there for good when this returns.

        Args:
            photo: mode RGB, at the size that the models see.
            consent: True, or nothing is kept.

        Raises:
            ValueError: no consent, or no room.
        """
        if consent is not True:
            raise ValueError(Text("share.no-consent"))
        self.sweep()
        content = files.encode(photo, "png")
        name, key = secrets.token_hex(16), secrets.token_urlsafe(16)
        until = self._clock() + timedelta(days=self.days)
        path = self._path(name)
        with self.store.writing() as session:
            count, size = session.execute(select(func.count(), func.coalesce(func.sum(SharedPhoto.bytes), 0))).one()
            if count >= self._most or size + len(content) > self._most_bytes:
                raise ValueError(Text("share.full"))
            session.add(
                SharedPhoto(
                    id=name,
                    key_hash=_hash(key),
                    sha256=hashlib.sha256(content).hexdigest(),
                    bytes=len(content),
                    width=photo.width,
                    height=photo.height,
                    at=self._clock(),
                    until=until,
                )
            )
            files.write_whole(path, content)
        return Shared(name, key, until, photo.size)

    def path(self, name: object) -> Path:
        """The file of a shared photo.

        Raises:
            GoneError: there is none.
        """
        found = self._found(name)
        if not self._path(found.id).is_file():
            raise GoneError(Text("share.gone"))
        return self._path(found.id)

    def holds(self, name: object, photo: Image.Image) -> bool:
        """Whether an id stands for this very picture."""
        try:
            return self._found(name).sha256 == hashlib.sha256(files.encode(photo, "png")).hexdigest()
        except GoneError:
            return False

    def delete(self, name: object, key: object) -> None:
        """Delete a photo by the key that its uploader was given.

        Raises:
            GoneError: there is none.
            ValueError: that is not its key.
        """
        found = self._found(name)
        if not isinstance(key, str) or not hmac.compare_digest(_hash(key.strip()), found.key_hash):
            raise ValueError(Text("share.wrong-key"))
        self.remove(found.id)

    def remove(self, name: object) -> None:
        """Delete a photo without its key: for whoever runs the server.

        Raises:
            GoneError: there is none.
        """
        found = self._found(name)
        with self.store.writing() as session:
            session.delete(session.merge(found))
        self._path(found.id).unlink(missing_ok=True)

    def listed(self) -> list[dict]:
        """What is there, newest first: `id`, `at`, `until` (ISO 8601), `bytes`, `width`, `height`."""
        with self.store.reading() as session:
            rows = session.scalars(select(SharedPhoto).order_by(SharedPhoto.at.desc())).all()
        return [
            {
                "id": row.id,
                "at": row.at.isoformat(timespec="seconds"),
                "until": row.until.isoformat(timespec="seconds"),
                "bytes": row.bytes,
                "width": row.width,
                "height": row.height,
            }
            for row in rows
        ]

    def sweep(self) -> int:
        """Delete what has expired, and pictures that nothing names any more; returns how many photos expired."""
        with self.store.writing() as session:
            expired = session.scalars(select(SharedPhoto).where(SharedPhoto.until <= self._clock())).all()
            for row in expired:
                session.delete(row)
        for row in expired:
            self._path(row.id).unlink(missing_ok=True)
        with self.store.reading() as session:
            known = set(session.scalars(select(SharedPhoto.id)))
        for path in self.folder.glob("*/*"):
            if path.stem not in known and path.stat().st_mtime < time.time() - UNFINISHED_S:
                path.unlink(missing_ok=True)
        return len(expired)

    def sweep_for_ever(self, every_s: float = settings.SWEEP_SHARED_S) -> None:
        """Begin to `sweep` in the background: what has expired goes, also when nobody asks for it."""

        def sweeping() -> None:
            while True:
                try:
                    self.sweep()
                except Exception:  # tried again; until then an expired photo is not shown either
                    log.exception("expired photos could not be deleted")
                time.sleep(every_s)

        threading.Thread(target=sweeping, daemon=True).start()

    def _found(self, name: object) -> SharedPhoto:
        if isinstance(name, str) and UPLOAD.fullmatch(name):
            with self.store.reading() as session:
                found = session.get(SharedPhoto, name)
            if found and found.until > self._clock():
                return found
        raise GoneError(Text("share.gone"))

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.png"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


# --- how whoever starts the server says so ---


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what sharing takes to a command line; `uploads_from` reads it."""
    parser.add_argument_group("sharing").add_argument(
        "--share-days",
        type=float,
        default=os.environ.get("DEMO_SHARE_DAYS", settings.SHARE_DAYS),
        help="how long photos stay that visitors share; 0: they cannot share any (DEMO_SHARE_DAYS)",
    )


def uploads_from(arguments: argparse.Namespace, store: Store, environ: Mapping[str, str] = os.environ):
    """What `add_arguments` chose; None where photos are not to be shared.

    Raises:
        ValueError: a number of days that cannot be.
    """
    days = float(arguments.share_days)
    if days == 0:
        return None
    forgets = "SPACE_ID" in environ and not on_a_mount(Path(arguments.data))
    return Uploads(store, folder_of(arguments), days, forgets=forgets)


def folder_of(arguments: argparse.Namespace) -> Path:
    """Where shared photos lie, beside the database that `demo.store.database.add_arguments` chooses."""
    return Path(arguments.data) / "shared"


def on_a_mount(folder: Path, is_mount: Callable[[Path], bool] = Path.is_mount) -> bool:
    """Whether a folder lies on a disk of its own, as persistent storage is, not on the container's."""
    folder = folder.absolute()
    return any(is_mount(one) for one in (folder, *folder.parents) if one != Path(folder.anchor))
