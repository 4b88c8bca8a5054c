"""An uploaded file, whatever it is, to an RGB picture or a message that a visitor understands.

Everything is checked before it costs anything: the size in bytes before the file is opened, the kind and the pixels
before it is decoded.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from degradations import files
from demo import settings
from demo.texts import Text, reason


class PhotoError(ValueError):
    """A photo that cannot be used; the text is written for the visitor."""


def load(path: str | Path) -> Image.Image:
    """Read a photo from a file, as `files.read_photo` does, within the limits of the page.

    Returns:
        A picture of mode RGB, without metadata.

    Raises:
        PhotoError: no such file, too many bytes or pixels, not a picture, a broken one.
    """
    path = Path(path)
    if not path.is_file():
        raise PhotoError(Text("page.photo-gone"))
    size = path.stat().st_size
    if size > settings.MAX_PHOTO_BYTES:
        most = f"{settings.MAX_PHOTO_BYTES / 1e6:.0f}"
        raise PhotoError(Text("page.photo-too-large", size=f"{size / 1e6:.0f}", most=most))
    try:
        return files.read_photo(path, settings.MAX_PHOTO_PIXELS)
    except files.PhotoError as error:
        raise PhotoError(Text("page.photo-unusable", reason=reason(error))) from error


def save_once(source: tuple, folder: Path, make: Callable[[], Image.Image]) -> Path:
    """Write a picture into a folder as a PNG, unless one made from the same `source` is there already.

    The file appears as a whole: one that a browser is reading is never written again.

    Args:
        source: all that decides what `make` makes, of types that `repr` tells apart.
    """
    path = _saved(source, folder)
    try:
        os.utime(path)  # begins its time in the cache anew
    except FileNotFoundError:
        files.write_whole(path, files.encode(make(), "png"))
    return path


def forget(source: tuple, folder: Path) -> None:
    """Delete what `save_once` has written of a source."""
    _saved(source, folder).unlink(missing_ok=True)


def _saved(source: tuple, folder: Path) -> Path:
    return folder / hashlib.sha256(repr(source).encode()).hexdigest() / "picture.png"
