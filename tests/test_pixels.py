"""The pixels of each degradation: those of the published formula where nothing is drawn, else its published bounds.

The formulas are written out here a second time, as slowly and plainly as they read in the reference.
"""

import cv2
import numpy as np
import pytest

from degradations import REGISTRY, degrade
from tests.pictures import RANDOM, changed, picture

IMAGE = picture(180, 240)


def truncate(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def gaussian(side: int, sigma: float) -> np.ndarray:
    x = np.arange(side) - side // 2
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    kernel = np.outer(kernel, kernel)
    return kernel / kernel.sum()


def lens_blur(i):
    kernel = gaussian(int(3 + 300 * i) | 1, 20 * i)
    blurred = truncate(cv2.filter2D(IMAGE.astype(np.float64), -1, kernel))
    return np.clip(np.rint((1 - 0.7 * i) * IMAGE + 0.9 * i * blurred), 0, 255)


def hsv_saturation(i):
    hsv = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = truncate(hsv[..., 1] * (1 - i))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def jpeg_compression(i):
    quality = min(100, max(5, int(100 - 95 * i)))
    data = cv2.imencode(".jpg", IMAGE[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def mean_shift(i):
    return cv2.pyrMeanShiftFiltering(IMAGE, int(40 * i), int(40 * i), maxLevel=1)


def scan_lines(i):
    result = IMAGE.copy()
    for y in range(0, len(result), max(3, int(20 / (i + 0.1)))):
        result[y : y + max(5, int(7 * i))] = result[y : y + max(5, int(7 * i))] * 0.01
    return result


def dark_illumination(i):
    return truncate(IMAGE * (1 - i**2))


def atmospheric_turbulence(i):
    height, width = IMAGE.shape[:2]
    result = np.empty(IMAGE.shape)
    for y in range(height):
        d = 40 * i * np.sin(y / 30 + 5 * i)
        row = np.clip(y + 0.7 * d, 0, height - 1)
        columns = np.clip(np.arange(width) + d, 0, width - 1)
        top, left = int(row), columns.astype(int)
        bottom, right = min(top + 1, height - 1), np.minimum(left + 1, width - 1)
        dy, dx = row - top, (columns - left)[:, None]
        above = IMAGE[top, left] * (1 - dx) + IMAGE[top, right] * dx
        below = IMAGE[bottom, left] * (1 - dx) + IMAGE[bottom, right] * dx
        result[y] = above * (1 - dy) + below * dy
    return np.rint(result)


def color_diffusion(i):
    layer = truncate(cv2.filter2D(IMAGE.astype(np.float64), -1, gaussian(3 + 2 * int(20 * i), 50 * i) * i**2))
    return np.clip(np.rint(max(0.1, 1 - 0.9 * i) * IMAGE + min(0.9, 0.9 * i) * layer), 0, 255)


def sharpness_change(i):
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]) * 80 * i
    filtered = np.clip(np.rint(cv2.filter2D(IMAGE.astype(np.float64), -1, kernel)), 0, 255)
    return np.clip(np.rint(0.7 * IMAGE + 0.3 * filtered), 0, 255)


FORMULAS = {
    function.__name__.replace("_", " "): function
    for function in (
        lens_blur, hsv_saturation, jpeg_compression, mean_shift, scan_lines, dark_illumination, atmospheric_turbulence,
        color_diffusion, sharpness_change,
    )
}  # fmt: skip


def test_every_type_without_randomness_has_its_formula_here():
    assert set(FORMULAS) == set(REGISTRY) - set(RANDOM)


@pytest.mark.parametrize(
    ("name", "intensity"),
    [
        (name, intensity)
        for name in FORMULAS
        for intensity in (0.01, 0.05, 0.23, 0.45, 0.5, 0.9, 1.0)
        if (name, intensity) != ("color diffusion", 1.0)  # where spots are drawn
    ],
)
def test_pixels_are_those_of_the_formula(name, intensity):
    expected = FORMULAS[name](intensity).astype(float)
    result = degrade(IMAGE, {name: intensity}).astype(float)
    # OpenCV samples and filters in fixed point and single precision, so a value between two integers may go either way.
    assert np.abs(result - expected).mean() <= 0.1
    assert np.percentile(np.abs(result - expected), 99) <= 1


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
