"""Picture files: any of them read as RGB, written so that a kill leaves no half of one."""

import hashlib
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""The decoders that a stranger's file may reach; Pillow has dozens more, some of which start other programs."""

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
)  # fmt: skip
"""What files of these formats are called, in lower case."""

ENCODERS = {
    # Half the time of zlib's search for repeats where there is noise, and on photos the smaller file, too.
    "png": (".png", (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY)),
    "jpeg": (".jpg", (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)),
}
"""Name of a format to write -> suffix, options of OpenCV's encoder (0x111111: colours at full resolution)."""

UNFINISHED = ".unfinished"
"""Suffix of files that are still being written."""


class PhotoError(ValueError):
    """A picture that cannot be used; the text goes on from "the photo is"."""


def read_photo(file: Path | BinaryIO, max_pixels: int | None = None) -> Image.Image:
    """Read a picture from a file or from a stream of its bytes.

    The first frame of animations and multi-page files counts; the orientation in the EXIF data is applied; transparency
    is put on white; 16-bit and floating-point greys are scaled, CMYK is converted by its colour profile where it
    carries one. The file's name plays no part.

    Returns:
        A picture of mode RGB, without metadata.

    Raises:
        PhotoError: no such file, no picture, a broken one, or more pixels than `max_pixels` (found before decoding).
    """
    if isinstance(file, Path):
        if not file.is_file():  # opening a pipe would wait for ever
            raise PhotoError("not there, or no ordinary file")
        try:
            file = file.open("rb")
        except OSError as error:
            raise PhotoError(f"not to be opened ({error.strerror})") from error
    Image.init()  # loads the decoders; one that this Pillow was built without is not there
    try:
        with file, Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
            width, height = opened.size
            if max_pixels and width * height > max_pixels:
                raise _too_many_pixels(f"{width} × {height} = {width * height / 1e6:.0f} million pixels", max_pixels)
            opened.load()
            return _to_rgb(_upright(opened))
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels("far more pixels than that", max_pixels or 2 * Image.MAX_IMAGE_PIXELS) from error
    except UnidentifiedImageError as error:
        raise PhotoError("not a picture that can be read here (JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF)") from error
    except Exception as error:  # decoders raise nearly anything on a broken file
        raise PhotoError("broken or incomplete") from error


def encode(picture: Image.Image, format: str) -> bytes:
    """A picture of mode RGB as the bytes of a file; `format` is a key of `ENCODERS`.

    Raises:
        PhotoError: a side is longer than the format allows (JPEG 65 535 pixels, PNG a million).
    """
    suffix, options = ENCODERS[format]
    try:
        done, content = cv2.imencode(suffix, cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        done = False
    if not done:
        raise PhotoError(f"too large for a {format.upper()}: {picture.width} × {picture.height} pixels")
    return content.tobytes()


def write_whole(path: Path, content: bytes) -> str:
    """Write a file that is there whole or not at all, whenever the process dies; returns its sha256.

    Folders on the way are made. What a kill leaves behind is for `sweep`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that then becomes `path`; of an error nothing stays."""
    # Short, since the name of `path` may have all 255 bytes.
    unfinished = path.with_name(f".{uuid.uuid4().hex}{UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete what killed processes left unfinished in a folder and those below it."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _too_many_pixels(found: str, most: int) -> PhotoError:
    return PhotoError(f"too large: at most {most / 1e6:.0f} million pixels can be taken, and it has {found}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # unreadable EXIF data says nothing about the orientation
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(eight_bits(np.asarray(image)))
    elif image.mode == "CMYK":
        image = _from_cmyk(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # A new array leaves behind what the file said about its author, place and camera.
    return Image.fromarray(np.asarray(image.convert("RGB")))


def eight_bits(grey: np.ndarray) -> np.ndarray:
    """Grey of 16 bits, 32 bits or floating point to uint8.

    Such files do not say what white is. 16-bit data and integers above 255 take 65535, floats up to 1 take 1,
    everything else 255; a range that fits none of them raises PhotoError.
    """
    if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 65535:
        raise PhotoError("of a brightness range that no 8-bit picture can show")
    if grey.dtype.kind == "f" and grey.max() <= 1:
        white = 1
    elif grey.dtype.itemsize == 2 or grey.max() > 255:
        white = 65535
    else:
        white = 255
    return np.rint(grey.astype(np.float32) * (255 / white)).astype(np.uint8)


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):  # a broken profile leaves the plain conversion
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")
