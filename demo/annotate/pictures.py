"""The pictures of all batches, in one folder, each named by its content: so no name of a stranger's is ever a path."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from degradations.files import PhotoError, read_photo, write_whole
from demo import photos, settings
from demo.texts import Text, known


class Pictures:
    """A folder of pictures as they came, byte by byte."""

    def __init__(self, folder: Path):
        self.folder = folder

    def keep(self, content: bytes) -> str:
        """Keep a picture; returns its name, ``SHA256.suffix``.

        Raises:
            ValueError: it cannot be read, or is larger than the page takes.
        """
        if len(content) > settings.MAX_PHOTO_BYTES:
            raise ValueError(Text("annotate.picture-large", most=round(settings.MAX_PHOTO_BYTES / 1e6)))
        try:
            read_photo(io.BytesIO(content), settings.MAX_PHOTO_PIXELS)
        except PhotoError as error:
            raise ValueError(Text("annotate.picture-unread", cause=known(str(error)))) from error
        with Image.open(io.BytesIO(content)) as image:
            suffix = {"JPEG": ".jpg", "TIFF": ".tif"}.get(image.format, f".{image.format.lower()}")
        name = hashlib.sha256(content).hexdigest() + suffix
        if not self.path(name).exists():
            write_whole(self.path(name), content)
        return name

    def path(self, name: str) -> Path:
        """Where a picture is that `keep` has named."""
        return self.folder / name[:2] / name

    def shown(self, name: str, cache: Path) -> Path:
        """A picture as a browser can show it, in a folder that is served.

        Raises:
            ValueError: as `photos.load`.
        """
        return photos.save_once(("annotated", name), cache, lambda: photos.load(self.path(name)))
