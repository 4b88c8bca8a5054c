"""An uploaded file, whatever it is, to an RGB picture or a message that a visitor understands.

Everything is checked before it costs anything: the size in bytes before the file is opened, the kind and the pixels
before it is decoded.
"""

import hashlib
import io
import uuid
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from demo import settings

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""The decoders that a stranger's file may reach; Pillow has dozens more, some of which start other programs."""

READABLE = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"


class PhotoError(ValueError):
    """A photo that cannot be used; the text is written for the visitor."""


def load(path: str | Path) -> Image.Image:
    """Read a photo from a file.

    The first frame of animations and multi-page files counts; the orientation in the EXIF data is applied; transparency
    is put on white; 16-bit and floating-point greys are scaled, CMYK is converted by its colour profile where it
    carries one. The file's name plays no part.

    Returns:
        A picture of mode RGB, without metadata.

    Raises:
        PhotoError: no such file, too many bytes or pixels, not a picture, a broken one.
    """
    path = Path(path)
    if not path.is_file():
        raise PhotoError("The photo is no longer on the server: please upload it again.")
    size = path.stat().st_size
    if size > settings.MAX_PHOTO_BYTES:
        raise PhotoError(
            f"The photo has {size / 1e6:.0f} MB; at most {settings.MAX_PHOTO_BYTES / 1e6:.0f} MB can be taken. "
            "Please save it smaller."
        )
    Image.init()  # loads the decoders; one that this Pillow was built without is not there
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
            width, height = opened.size
            if width * height > settings.MAX_PHOTO_PIXELS:
                raise _too_many_pixels(f"{width} × {height} = {width * height / 1e6:.0f} million")
            opened.load()
            return _to_rgb(_upright(opened))
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels("far more") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"This file is not a picture that can be read here. Please choose {READABLE}.") from error
    except Exception as error:  # decoders raise nearly anything on a broken file
        raise PhotoError("The photo is broken or incomplete and cannot be read. Please choose another.") from error


def save_once(picture: Image.Image, folder: Path) -> Path:
    """Write a picture into a folder as a PNG under a name made from its content, unless it is there already.

    The file appears as a whole: one that a browser is reading is never written again.
    """
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=1)
    content = png.getvalue()
    path = folder / hashlib.sha256(content).hexdigest() / "picture.png"
    if path.exists():
        path.touch()  # begins its time in the cache anew
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(uuid.uuid4().hex)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return path


def _too_many_pixels(found: str) -> PhotoError:
    return PhotoError(
        f"The photo has {found} pixels; at most {settings.MAX_PHOTO_PIXELS / 1e6:.0f} million can be taken. "
        "Please save it smaller."
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # unreadable EXIF data says nothing about the orientation
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode == "CMYK":
        image = _from_cmyk(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # A new array leaves behind what the file said about its author, place and camera.
    return Image.fromarray(np.asarray(image.convert("RGB")))


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """Grey of 16 bits, 32 bits or floating point to uint8.

    Such files do not say what white is. 16-bit data and integers above 255 take 65535, floats up to 1 take 1,
    everything else 255; a range that fits none of them is refused.
    """
    if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 65535:
        raise PhotoError("The photo's brightness range cannot be shown. Please save it as an 8-bit picture.")
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
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile leaves the plain conversion
    return image.convert("RGB")
