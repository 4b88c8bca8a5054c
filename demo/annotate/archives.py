"""Zip archives of strangers, read within bounds: nothing is written by their names, nothing trusted of their sizes."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from demo.annotate.found import MOST_TABLE_BYTES, TABLES
from demo.settings import Bounds
from demo.texts import Text

_END, _LOCATOR = b"PK\5\6", b"PK\6\7"
"""Signatures of the record that ends an archive, and of the one before it in archives above 4 GB (zip64)."""
_MOST_OF_AN_ENTRY = 600
"""Bytes in the list of an archive's files that one of them may take: 46, its name and what systems add."""


class Archive:
    """An open archive. `names` are its files; `read` gives one's bytes, each of which counts against the bounds."""

    def __init__(self, archive: zipfile.ZipFile, bounds: Bounds):
        self._archive, self._bounds, self._left = archive, bounds, bounds.bytes
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if entry.is_dir() or _is_litter(entry.filename):
                continue
            name = _checked(entry)
            if name in self._entries:
                raise ValueError(Text("annotate.zip-twice", name=name[:200]))
            self._entries[name] = entry

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            ValueError: it is broken, encrypted or larger than the bounds allow, whatever the archive says of its size.
        """
        own = MOST_TABLE_BYTES if PurePosixPath(name).name in TABLES else self._bounds.file_bytes
        most = min(own, self._left)
        try:
            with self._archive.open(self._entries[name]) as file:
                content = file.read(most + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise ValueError(Text("annotate.zip-broken", name=name[:200], cause=str(error)[:200])) from error
        except Exception as error:  # decompressors have errors of their own
            raise ValueError(Text("annotate.zip-broken", name=name[:200], cause=type(error).__name__)) from error
        if len(content) > most:
            key, size = (
                ("annotate.zip-file-large", own) if own < self._left else ("annotate.zip-large", self._bounds.bytes)
            )
            raise ValueError(Text(key, name=name[:200], most=round(size / 1e6)))
        self._left -= len(content)
        return content


@contextmanager
def opened(path: Path, bounds: Bounds) -> Iterator[Archive]:
    """Open a zip archive.

    Raises:
        ValueError: it is none, has too many entries, a path that leads out of it, a link, or one name twice.
    """
    _check_list(path, bounds)
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > bounds.files:
                raise ValueError(Text("annotate.zip-count", most=bounds.files))
            yield Archive(archive, bounds)
    except zipfile.BadZipFile as error:
        raise ValueError(Text("annotate.zip-none")) from error


def _check_list(path: Path, bounds: Bounds) -> None:
    """Refuse an archive by the size of its list, before that is read: each file in it takes memory."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 22 - 0xFFFF))
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        raise ValueError(Text("annotate.zip-none"))
    if tail[max(0, end - 20) : end].startswith(_LOCATOR):
        raise ValueError(Text("annotate.zip-huge"))
    count, size = struct.unpack("<HI", tail[end + 10 : end + 16])
    if count > bounds.files or size > bounds.files * _MOST_OF_AN_ENTRY:
        raise ValueError(Text("annotate.zip-count", most=bounds.files))


def _checked(entry: zipfile.ZipInfo) -> str:
    """The name of an entry that leads nowhere but into the archive."""
    name = entry.filename
    parts = PurePosixPath(name).parts
    outside = name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in name or "\0" in name
    mode = entry.external_attr >> 16
    special = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
    if outside or special or len(name) > 400:
        raise ValueError(Text("annotate.zip-path", name=name[:200]))
    if entry.flag_bits & 1:
        raise ValueError(Text("annotate.zip-locked", name=name[:200]))
    return str(PurePosixPath(name))


def _is_litter(name: str) -> bool:
    """What operating systems put into archives beside the files."""
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini"))
