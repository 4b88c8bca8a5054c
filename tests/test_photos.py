"""Whatever a visitor uploads becomes the right RGB picture, or a message."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from degradations.files import FORMATS
from demo import photos, settings
from demo.photos import PhotoError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def saved(tmp_path):
    """Save a picture in some format and read it as an upload."""

    def save_and_load(image: Image.Image, kind: str, name: str = "upload", **options) -> Image.Image:
        path = tmp_path / name
        image.save(path, kind, **options)
        return photos.load(path)

    return save_and_load


def flag() -> Image.Image:
    """Wide, with a red left, a green middle and a blue right third."""
    image = Image.new("RGB", (90, 30), GREEN)
    image.paste(RED, (0, 0, 30, 30))
    image.paste(BLUE, (60, 0, 90, 30))
    return image


def near(pixel: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 40) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind_comes_out_as_rgb_of_its_size(saved, kind):
    photo = saved(flag(), kind)
    assert (photo.mode, photo.size) == ("RGB", (90, 30))
    assert near(photo.getpixel((15, 15)), RED)
    assert near(photo.getpixel((75, 15)), BLUE)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_keep_every_pixel(saved, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(saved(Image.fromarray(pixels), kind)), pixels)


def test_the_name_of_a_file_plays_no_part(saved):
    assert saved(flag(), "PNG", name="disguised.jpg").size == (90, 30)


@pytest.mark.parametrize(
    "content", [b"", b"just text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n%%EOF"]
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match="not a picture"):
        photos.load(path)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PPM"])
def test_decoders_beyond_the_usual_are_out_of_reach(saved, kind):
    with pytest.raises(PhotoError, match="not a picture"):
        saved(flag(), kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_file_that_ends_early_is_refused(tmp_path, kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = io.BytesIO()
    noise.save(whole, kind)
    path = tmp_path / "broken"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(PhotoError, match=r"broken|not a picture"):
        photos.load(path)


def test_a_missing_file_is_a_message(tmp_path):
    with pytest.raises(PhotoError, match="upload it again"):
        photos.load(tmp_path / "gone.png")


def test_bytes_are_limited_before_the_file_is_opened(saved, monkeypatch):
    monkeypatch.setattr(settings, "MAX_PHOTO_BYTES", 100)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(PhotoError, match="MB"):
        saved(flag(), "BMP")


def test_pixels_are_limited_before_decoding(tmp_path):
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    path = tmp_path / "bomb.png"  # a header that claims 10 000 million pixels, and nothing behind it
    for side in (12_000, 100_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
        with pytest.raises(PhotoError, match="million"):
            photos.load(path)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(saved, kind):
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    options = {} if kind == "TIFF" else {"duration": 100}
    photo = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert near(photo.getpixel((10, 10)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_is_applied(saved, orientation):
    stored = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes each orientation, as a PIL transpose
    image = flag()
    exif = Image.Exif()
    exif[274] = orientation
    turned = image if orientation == 1 else image.transpose(Image.Transpose(stored[orientation]))
    photo = saved(turned, "JPEG", exif=exif, quality=95)
    assert photo.size == (90, 30)
    assert near(photo.getpixel((15, 15)), RED)


def test_unreadable_exif_data_is_passed_over(saved):
    assert saved(flag(), "JPEG", exif=b"Exif\x00\x00broken").size == (90, 30)


@pytest.mark.parametrize(
    ("mode", "transparent"),
    [("RGBA", (255, 0, 0, 0)), ("LA", (0, 0)), ("RGBA", (0, 0, 0, 0))],
    ids=["red", "grey", "black"],
)
def test_transparency_is_put_on_white(saved, mode, transparent):
    assert saved(Image.new(mode, (8, 8), transparent), "PNG").getpixel((4, 4)) == (255, 255, 255)


def test_half_transparent_red_is_pink(saved):
    assert near(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG").getpixel((4, 4)), (255, 127, 127), 2)


def test_a_transparent_palette_is_put_on_white(saved):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 1)
    photo = saved(image, "PNG", transparency=0)
    assert photo.getpixel((4, 4)) == (255, 255, 255)
    assert photo.getpixel((0, 0)) == RED


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_range(saved, kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    photo = np.asarray(saved(Image.fromarray(ramp), kind))
    assert np.array_equal(photo[0, :, 0], np.arange(256))
    assert np.array_equal(photo[..., 0], photo[..., 2])


def test_floating_point_grey_from_zero_to_one(saved):
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    assert np.array_equal(np.asarray(saved(Image.fromarray(ramp), "TIFF"))[0, :, 0], np.arange(256))


def test_a_brightness_range_of_no_known_kind_is_refused(saved):
    with pytest.raises(PhotoError, match="brightness"):
        saved(Image.fromarray(np.full((4, 4), -1.0, np.float32)), "TIFF")


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white(saved, mode):
    assert saved(Image.new(mode, (5, 5), 255), "PNG").getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(saved, kind):
    assert near(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), kind).getpixel((4, 4)), (0, 255, 255))


def test_cmyk_with_a_broken_profile(saved):
    photo = saved(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", icc_profile=b"no profile")
    assert near(photo.getpixel((4, 4)), (0, 0, 0))


def test_nothing_of_the_metadata_stays(saved):
    exif = Image.Exif()
    exif[315] = "who took it"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert saved(flag(), "JPEG", exif=exif, icc_profile=profile, comment=b"where").info == {}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes(saved, size):
    assert saved(Image.new("RGB", size, RED), "PNG").size == size


def test_a_picture_is_made_and_written_once(tmp_path):
    made = []
    first = photos.save_once(("flag", 1), tmp_path, lambda: made.append(1) or flag())
    written = first.stat().st_ino
    assert photos.save_once(("flag", 1), tmp_path, lambda: made.append(2) or flag()) == first
    assert first.stat().st_ino == written and made == [1]
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(flag()))
    assert photos.save_once(("flag", 2), tmp_path, lambda: flag().rotate(180)) != first
    assert [path.name for path in tmp_path.rglob("*.*")] == ["picture.png"] * 2
