"""The pixels of each degradation against its oracle: the published formula, written out plainly in tests/oracle.py."""

import zlib
from concurrent.futures import ThreadPoolExecutor

import numba.core.caching
import numpy as np
import pytest

from degradations import REGISTRY, degrade, kernels, meanshift
from degradations.environment import normal_quantiles
from tests.oracle import ORACLES
from tests.pictures import changed, photographs, picture, ssim

INTENSITIES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SIZES = {"odd": (231, 317), "small": (64, 64), "large": (1024, 1024), "panorama": (150, 2100), "tower": (1201, 97)}


class SixteenBitNormals:
    """Normal draws as the pixel function makes them: quantiles of uniform ones."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def normal(self, mean: float, sigma: float, size: tuple[int, ...]) -> np.ndarray:
        return mean + sigma * normal_quantiles()[self.rng.integers(65536, size=size, dtype=np.uint16)]


def oracle(name: str, image: np.ndarray, intensity: float, seed: int) -> np.ndarray:
    """What the published formula makes of the draws that `degrade` makes of a seed."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return ORACLES[name](image, intensity, SixteenBitNormals(rng) if name == "gaussian noise" else rng)


def test_every_type_has_an_oracle():
    assert list(ORACLES) == list(REGISTRY)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "mean shift"])
def test_pixels_are_those_of_the_oracle(name, size):
    photos = photographs(SIZES[size])
    for number, intensity in enumerate(INTENSITIES):
        image = photos[number % len(photos)]
        expected = oracle(name, image, intensity, seed=number).astype(int)
        difference = np.abs(degrade(image, {name: intensity}, seed=number) - expected)
        assert difference.mean() <= 0.2, intensity
        # OpenCV filters and samples in fixed point and single precision: a value between two may go either way.
        assert difference.max() <= 1, intensity


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "mean shift"])
def test_pixels_of_hard_edges_are_those_of_the_oracle(name):
    """Black and white blocks, which no photo has: where a coarser grid would show."""
    rng = np.random.default_rng(0)
    image = 255 * rng.integers(0, 2, (23, 41, 3), dtype=np.uint8).repeat(13, axis=0).repeat(9, axis=1)
    for intensity in INTENSITIES:
        difference = np.abs(degrade(image, {name: intensity}) - oracle(name, image, intensity, 0).astype(int))
        assert difference.mean() <= 1 and difference.max() <= 3, intensity


# --- mean shift, exact up to 300 000 pixels ---


@pytest.mark.parametrize("intensity", [0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.45, 0.8])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 40), (3, 3), (5, 7), (64, 64), (255, 301), (1200, 16)])
def test_mean_shift_is_exact_at_any_size(size, intensity):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for image in (*photographs(size)[:3], picture(*size), noise):
        assert np.array_equal(degrade(image, {"mean shift": intensity}), oracle("mean shift", image, intensity, 0))


@pytest.mark.parametrize("intensity", np.arange(1, 11) / 10)
def test_mean_shift_is_that_of_opencv(intensity):
    photos = photographs((256, 256))
    assert len(photos) >= 20
    with ThreadPoolExecutor() as pool:  # OpenCV's own uses one core
        expected = list(pool.map(lambda photo: oracle("mean shift", photo, intensity, 0), photos))
    for number, (photo, reference) in enumerate(zip(photos, expected, strict=True)):
        assert np.array_equal(degrade(photo, {"mean shift": intensity}), reference), number


@pytest.mark.parametrize("intensity", [0.3, 0.45, 0.6, 0.9, 1.0])
def test_large_pictures_are_sampled_and_close(intensity, monkeypatch):
    """The likeness that small pictures would have lost is the worst case: their windows hold fewer samples' worth."""
    photos = photographs((256, 256))
    exact = [degrade(photo, {"mean shift": intensity}) for photo in photos]
    monkeypatch.setattr(meanshift, "EXACT_PIXELS", 0)
    sampled = [degrade(photo, {"mean shift": intensity}) for photo in photos]
    assert not any(np.array_equal(a, b) for a, b in zip(exact, sampled, strict=True))
    for number, (a, b) in enumerate(zip(exact, sampled, strict=True)):
        assert np.abs(a - b.astype(int)).mean() <= 2, number
        assert ssim(a, b) >= 0.97, number


def test_where_nothing_may_be_kept_it_is_compiled_anyway(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError):
        numba.njit(cache=True)(abs_difference)
    assert kernels.compiled(abs_difference)(3, 5) == 2


def abs_difference(a, b):
    return abs(a - b)


def test_the_similarity_measure_tells_pictures_apart():
    photo = photographs((256, 256))[0]
    assert ssim(photo, photo) == 1
    assert ssim(photo, degrade(photo, "lens blur(0.3)")) < 0.97
    assert ssim(photo, degrade(photo, "gaussian noise(0.3)")) < 0.97


# --- what is drawn, against the published parameters ---


def test_noise_is_normal_with_the_published_sigma_in_each_channel():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = degrade(grey, "gaussian noise(0.3)").astype(float) - 128
    assert abs(noise.std() - 22.5) < 0.3
    assert abs(noise.mean() + 0.5) < 0.3  # truncation takes half a step
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


def test_motion_blur_is_a_line_of_the_published_length():
    point = np.zeros((101, 101, 3), np.uint8)
    point[50, 50] = 255
    for intensity, side in ((0.1, 5), (0.5, 15), (1.0, 30)):
        for seed in range(10):
            ys, xs = np.nonzero(degrade(point, {"motion blur": intensity}, seed)[..., 0])
            # A diagonal of the square, as far as the square holds it after the turn.
            assert side * 0.9 - 2 <= np.hypot(np.ptp(xs), np.ptp(ys)) <= side * 2**0.5 + 2


def test_flares_have_the_published_colour_and_leave_the_rest():
    black = np.zeros((600, 800, 3), np.uint8)
    result = degrade(black, "lens flare(0.5)", 1)
    brightest = result.reshape(-1, 3)[result.sum(axis=-1).argmax()]
    assert brightest.tolist() == [int(0.45 * 235), int(0.45 * 255), int(0.45 * 255)]
    assert 0.01 < changed(black, result).mean() < 0.5


def test_blocks_change_places_and_no_pixel_is_lost():
    image = picture(320, 352)
    result = degrade(image, "block exchange(1.0)", 2)
    assert np.array_equal(np.sort(image.reshape(-1)), np.sort(result.reshape(-1)))
    blocks = changed(image, result).reshape(10, 32, 11, 32).any(axis=(1, 3))
    assert 20 <= blocks.sum() <= 70


def test_dirt_dims_the_picture_and_adds_grey():
    black, white = (np.full((400, 400, 3), value, np.uint8) for value in (0, 255))
    dirt = degrade(black, "dirty lens(0.6)", 3)
    assert (dirt[..., 0] == dirt[..., 1]).all() and (dirt[..., 0] == dirt[..., 2]).all()
    assert 0 < dirt.mean() < 0.8 * 0.6 * 120
    veiled = degrade(white, "dirty lens(0.6)", 3).astype(int) - dirt
    assert np.abs(veiled - round(0.58 * 255)).max() <= 1


def test_the_graffiti_word_is_red_and_left_out_where_it_does_not_fit():
    ground = np.zeros((400, 500, 3), np.uint8)
    written = degrade(ground, "graffiti(0.6)", 1)
    assert (written == (255, 0, 0)).all(axis=-1).sum() > 300
    for seed in range(20):
        low = degrade(ground[:60], "graffiti(1.0)", seed)
        assert not (low == (255, 0, 0)).all(axis=-1).any()


def test_watermark_rectangles_have_the_published_sizes():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (500, 600, 3), dtype=np.uint8)
    for seed in range(20):
        ys, xs = np.nonzero(changed(image, degrade(image, "watermark damage(0.06)", seed)))
        assert 49 <= np.ptp(xs) + 1 <= 200 and 19 <= np.ptp(ys) + 1 <= 80
