"""Every registered degradation: sizes and kinds of picture, seeds, strengths, errors."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from degradations import REGISTRY, STAGES, Recipe, degrade
from tests.pictures import RANDOM, changed, photographs, picture, ssim

NAMES = list(REGISTRY)
INTENSITIES = (0.01, 0.23, 0.5, 0.9, 1.0)
# What published checkpoints were trained with: chain name and label, in the order of application.
PUBLISHED = {
    "acquisition": [
        ("lens blur", "Lens blur"), ("lens flare", "Lens flare"), ("motion blur", "Motion blur"),
        ("dirty lens", "Dirty lens"), ("hsv saturation", "Saturation"),
    ],
    "transmission": [
        ("jpeg compression", "Compression"), ("block exchange", "Block change"), ("mean shift", "Shifting"),
        ("scan lines", "Scan lines"),
    ],
    "environment": [
        ("dark illumination", "Darkness"), ("atmospheric turbulence", "Atmospheric turbulence"),
        ("gaussian noise", "Noise"), ("color diffusion", "Color diffusion"),
    ],
    "postprocessing": [
        ("sharpness change", "Sharpness change"), ("graffiti", "Graffiti"), ("watermark damage", "Watermark damage"),
    ],
}  # fmt: skip


# --- the registry ---


def test_the_registry_holds_the_published_types_in_order():
    assert list(STAGES) == list(PUBLISHED)
    entries = [(entry.stage, entry.name, entry.label) for entry in REGISTRY.values()]
    published = [(stage, *names) for stage, types in PUBLISHED.items() for names in types]
    assert [entry for entry in entries if entry in published] == published


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_describes_itself_in_one_sentence(name):
    entry = REGISTRY[name]
    assert entry.name == name
    assert entry.description.endswith(".") and "\n" not in entry.description
    assert callable(entry.function)


# --- sizes and kinds of picture ---


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another arrangement of memory."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[::-1, ::-1].copy()[::-1, ::-1]
    if layout == "cut out":
        return np.pad(array, [(3, 2), (1, 4), *[(0, 0)] * (array.ndim - 2)])[3:-2, 1:-4]
    if layout == "every other":
        return array.repeat(2, axis=0).repeat(2, axis=1)[::2, 1::2]
    array = array.copy()
    array.flags.writeable = layout != "read-only"
    return array


@settings(max_examples=400)
@given(
    name=st.sampled_from(NAMES),
    intensity=st.floats(0, 1),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)) | st.sampled_from([(4096, 16), (16, 4096), (1, 4096)]),
    channels=st.sampled_from([(), (1,), (2,), (3,), (4,)]),
    layout=st.sampled_from(["plain", "read-only", "fortran", "reversed", "cut out", "every other"]),
    pil=st.booleans(),
    seed=st.integers(0, 2**64),
)
def test_any_picture_comes_back_as_it_was_but_degraded(name, intensity, size, channels, layout, pil, seed):
    plain = np.resize(picture(*size, seed=seed % 7), (*size, *channels))
    image, before = laid_out(plain, layout), plain.copy()
    expected = degrade(plain, {name: intensity}, seed)
    assert expected.shape == plain.shape and expected.dtype == np.uint8 and expected.flags.writeable
    assert np.array_equal(degrade(image, {name: intensity}, seed), expected), "the layout of memory matters"
    assert np.array_equal(image, before), "the input was modified"
    assert not np.shares_memory(expected, plain)
    if channels in ((2,), (4,)):
        assert np.array_equal(expected[..., -1], plain[..., -1]), "alpha was touched"
    if intensity == 0:
        assert np.array_equal(expected, plain)
    if pil and channels != (1,):
        result = degrade(Image.fromarray(plain), {name: intensity}, seed)
        assert result.mode == {(): "L", (2,): "LA", (3,): "RGB", (4,): "RGBA"}[channels]
        assert np.array_equal(np.asarray(result), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 60), (60, 1), (3, 3), (13, 49), (49, 51), (120, 90)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_works_and_repeats(name, shape):
    image = picture(*shape)
    before = image.copy()
    for intensity in INTENSITIES:
        result = degrade(image, {name: intensity}, seed=3)
        assert result.shape == image.shape and result.dtype == np.uint8
        assert np.array_equal(result, degrade(image, {name: intensity}, seed=3))
    assert np.array_equal(image, before), "the input was modified"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 66000), (66000, 2)])
def test_sides_beyond_what_16_bits_count_work(name, shape):
    assert degrade(np.full((*shape, 3), 90, np.uint8), {name: 0.3}).shape == (*shape, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("name", NAMES)
def test_pil_pictures_keep_size_and_mode(name, mode):
    image = Image.fromarray(picture(70, 90)).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(picture(70, 90, seed=1)).convert("L"))
    result = degrade(image, {name: 0.7}, seed=5)
    assert isinstance(result, Image.Image)
    assert (result.size, result.mode) == (image.size, mode)
    assert np.array_equal(np.asarray(result), degrade(np.asarray(image), {name: 0.7}, seed=5))
    if "A" in mode:
        assert result.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_other_pil_modes_come_back_as_rgb(mode):
    image = Image.fromarray(picture(20, 30)).convert(mode)
    result = degrade(image, "gaussian noise(0.5)")
    assert (result.size, result.mode) == (image.size, "RGB")


def test_greys_of_many_bits_are_scaled_not_cut_off():
    ramp = np.linspace(0, 65535, 40 * 50).reshape(40, 50)
    expected = degrade(np.rint(ramp / 257).astype(np.uint8), "dark illumination(0.5)").astype(int)
    for values in (ramp.astype(np.uint16), ramp.astype(np.int32), (ramp / 65535).astype(np.float32)):
        result = degrade(Image.fromarray(values), "dark illumination(0.5)")
        assert result.mode == "RGB"
        assert np.abs(np.asarray(result)[..., 0] - expected).max() <= 1
    with pytest.raises(ValueError, match="brightness range"):
        degrade(Image.fromarray(np.full((4, 4), -1.0, np.float32)), "none")


def test_a_palette_with_transparency_comes_back_as_rgba():
    image = Image.new("P", (8, 6))
    image.info["transparency"] = 0
    assert degrade(image, "gaussian noise(0.5)").mode == "RGBA"


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 3), (40, 50, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_arrays_keep_their_shape(name, shape):
    image = np.resize(picture(40, 50), shape)
    result = degrade(image, {name: 0.8}, seed=1)
    assert result.shape == shape and result.dtype == np.uint8
    if shape[-1] == 4:
        assert np.array_equal(result[..., 3], image[..., 3])


def test_a_grey_picture_is_degraded_as_its_rgb_twin():
    grey = picture(40, 50)[..., 0]
    twin = degrade(np.dstack([grey] * 3), "lens blur(0.2), jpeg compression(0.4)")
    assert np.abs(degrade(grey, "lens blur(0.2), jpeg compression(0.4)") - twin[..., 0].astype(int)).max() <= 1


def test_arrays_of_any_memory_layout_are_read():
    image = picture(60, 80)
    expected = degrade(image, "motion blur(0.5), graffiti(0.7)")
    for other in (np.asfortranarray(image), np.dstack([image, image])[..., :3], image[::-1][::-1]):
        assert np.array_equal(degrade(other, "motion blur(0.5), graffiti(0.7)"), expected)
    image.flags.writeable = False
    assert np.array_equal(degrade(image, "motion blur(0.5), graffiti(0.7)"), expected)


# --- nothing applied ---


@pytest.mark.parametrize("recipe", ["", "none", {}, Recipe(), dict.fromkeys(NAMES, 0)])
def test_nothing_applied_is_the_same_pixels_in_a_new_picture(recipe):
    image = picture(30, 40)
    result = degrade(image, recipe)
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)
    assert np.array_equal(np.asarray(degrade(Image.fromarray(image), recipe)), image)


@pytest.mark.parametrize("name", NAMES)
def test_an_intensity_of_zero_changes_nothing_beside_another_type(name):
    image, other = picture(60, 80), "dark illumination" if name != "dark illumination" else "scan lines"
    assert np.array_equal(degrade(image, {name: 0.0, other: 0.5}), degrade(image, {other: 0.5}))


# --- determinism ---


def test_threads_do_not_change_a_pixel():
    image, recipe = picture(700, 128), Recipe(dict.fromkeys(NAMES, 0.6))  # strips of 128 rows and more
    expected = [degrade(image, recipe, seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda seed: degrade(image, recipe, seed), range(8)))
    assert all(np.array_equal(a, b) for a, b in zip(expected, results, strict=True))
    threads = cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            assert np.array_equal(degrade(image, recipe, 0), expected[0])
    finally:
        cv2.setNumThreads(threads)


def test_global_generators_neither_matter_nor_move():
    image = picture(40, 50)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        cv2.setRNGSeed(seed)
        before = np.random.get_state()[1].copy()
        results.append(degrade(image, dict.fromkeys(NAMES, 0.6)))
        assert np.array_equal(np.random.get_state()[1], before)
    assert np.array_equal(*results)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_matters_where_something_is_drawn_and_only_there(name):
    image = picture(200, 260)
    same = np.array_equal(degrade(image, {name: 0.8}, seed=0), degrade(image, {name: 0.8}, seed=1))
    assert same == (name not in RANDOM)


def test_color_diffusion_draws_above_nine_tenths_only():
    image = picture(200, 260)
    for intensity, same in ((0.9, True), (0.95, False)):
        results = [degrade(image, {"color diffusion": intensity}, seed) for seed in (0, 1)]
        assert np.array_equal(*results) == same


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_a_recipe_is_given_does_not_matter(name):
    image, other = picture(50, 60), "gaussian noise" if name != "gaussian noise" else "scan lines"
    forwards, backwards = {name: 0.4, other: 0.6}, {other: 0.6, name: 0.4}
    assert np.array_equal(degrade(image, forwards, 2), degrade(image, backwards, 2))


@pytest.mark.parametrize("name", NAMES)
def test_the_rough_form_is_only_taken_on_request_and_like_the_real_one(name):
    for photo in photographs((300, 400))[:4]:
        real, rough = degrade(photo, {name: 0.6}), degrade(photo, {name: 0.6}, rough=True)
        if REGISTRY[name].rough is None:
            assert np.array_equal(real, rough)
        else:
            assert 0.85 < ssim(real, rough) < 0.999


# --- one type's draws do not depend on another's intensity ---


def test_a_recipe_is_its_types_one_after_the_other():
    """So what a type draws is the same alone, beside weak others and beside strong ones."""
    image, recipe = picture(120, 160), Recipe(dict.fromkeys(NAMES, 0.37))
    step = image
    for name, intensity in recipe.items():
        step = degrade(step, {name: intensity}, seed=9)
    assert np.array_equal(step, degrade(image, recipe, seed=9))


# --- a stronger intensity keeps what a weaker one drew, and adds to it ---


def test_noise_grows_at_the_same_grain():
    grey = np.full((64, 64, 3), 128, np.uint8)
    weak = degrade(grey, "gaussian noise(0.2)", 4).astype(float) - 128
    strong = degrade(grey, "gaussian noise(0.4)", 4).astype(float) - 128
    assert np.abs(strong - 2 * weak).max() <= 3  # truncation


def test_motion_keeps_its_angle():
    """The blur's covariance is the smear's direction: it turns by no more than the kernel's pixels allow."""
    point = np.zeros((101, 101, 3), np.uint8)
    point[50, 50] = 255
    for seed in range(8):
        angles = []
        for intensity in (0.4, 0.7, 1.0):
            ys, xs = np.nonzero(degrade(point, {"motion blur": intensity}, seed)[..., 0])
            _, vectors = np.linalg.eigh(np.cov(xs, ys))
            angles.append(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180)
        differences = (np.subtract.outer(angles, angles) + 90) % 180 - 90
        assert np.abs(differences).max() < 6, (seed, angles)


@pytest.mark.parametrize("name", ["lens flare", "graffiti", "watermark damage", "dirty lens"])
def test_the_places_of_a_weaker_picture_stay(name):
    """Where a weak intensity drew something, a stronger one still does."""
    image = picture(400, 500) // 2 + 20 if name != "graffiti" else np.full((400, 500, 3), 7, np.uint8)
    base = np.zeros_like(image) if name in ("lens flare", "dirty lens") else image
    for seed in range(5):
        masks = [changed(base, degrade(base, {name: i}, seed)) for i in (0.3, 0.45, 0.55)]
        for weak, strong in pairwise(masks):
            assert (weak & ~strong).sum() <= 0.02 * max(1, weak.sum()), seed
        assert masks[-1].sum() >= masks[0].sum(), seed


def test_graffiti_adds_one_line_at_a_time():
    """The lines of a weaker picture are in the stronger one, in the same colours."""
    ground = np.full((300, 400, 3), 7, np.uint8)
    for seed in range(5):
        # The thickness of a line is drawn in 1..int(5i), which stays 1 below 0.4.
        pictures = [degrade(ground, {"graffiti": i}, seed) for i in (0.1, 0.2, 0.3)]
        colours = [{tuple(c) for c in np.unique(p.reshape(-1, 3), axis=0).tolist()} for p in pictures]
        assert [len(c) for c in colours] == [2, 3, 4]
        assert colours[0] < colours[1] < colours[2]


def test_block_exchange_adds_swaps():
    """At 0.77 and 0.775 blocks have 28 pixels, and 26 and 27 swaps are made: the first 26 are the same."""
    image, side = picture(320, 320), 28
    weak, strong = (degrade(image, {"block exchange": i}, 6) for i in (0.77, 0.775))
    different = changed(weak, strong)
    rows, columns = np.nonzero(different)
    blocks = set(zip((rows // side).tolist(), (columns // side).tolist(), strict=True))
    assert 0 < len(blocks) <= 2, "one more swap touches two blocks"


@pytest.mark.parametrize(
    ("name", "threshold"),
    [("graffiti", 0.55), ("dirty lens", 0.5), ("color diffusion", 0.9), ("watermark damage", 0.5)],
)
def test_what_a_threshold_adds_does_not_move_the_rest(name, threshold):
    """Just above its threshold a type adds marks; away from them the picture is what it was just below."""
    image = picture(300, 400)
    below = degrade(image, {name: threshold}, 2).astype(int)
    above = degrade(image, {name: threshold + 1e-6}, 2).astype(int)
    untouched = (np.abs(above - below).max(axis=-1) <= 1).mean()
    assert 0.2 < untouched < 1


# --- strength ---

NOT_MONOTONE = ("color diffusion", "sharpness change")


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NOT_MONOTONE])
def test_stronger_is_further_from_the_original(name):
    image = picture(224, 224).astype(int)
    distances = []
    for intensity in (0.1, 0.5, 1.0):
        results = [degrade(image.astype(np.uint8), {name: intensity}, seed).astype(int) for seed in range(4)]
        distances.append(np.mean([np.abs(result - image).mean() for result in results]))
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("name", NOT_MONOTONE)
def test_what_is_not_monotone_says_so(name):
    assert "not monotone" in REGISTRY[name].description


def test_motion_blur_is_constant_below_a_fifth_and_says_so():
    image = picture(60, 80)
    assert np.array_equal(degrade(image, "motion blur(0.01)"), degrade(image, "motion blur(0.19)"))
    assert "0.2" in REGISTRY["motion blur"].description


# --- errors name the culprit ---


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        ({"sunshine": 0.5}, "sunshine"),
        ({7: 0.5}, "7"),
        ("lens blur(0.5), mist(0.2)", "mist"),
        ({"lens blur": 1.01}, "lens blur"),
        ({"lens blur": -0.01}, "lens blur"),
        ({"scan lines": float("nan")}, "scan lines"),
        ({"scan lines": float("inf")}, "scan lines"),
        ({"scan lines": 10**400}, "scan lines"),
        ({"graffiti": "strong"}, "graffiti"),
        ({"graffiti": None}, "graffiti"),
        ("lens blur 0.5", "lens blur 0.5"),
        ("lens blur(0.5) graffiti(0.1)", "graffiti"),
        ("lens blur(0.5), Lens Blur(0.1)", "lens blur"),
    ],
)
def test_a_wrong_recipe_is_named(recipe, word):
    with pytest.raises(ValueError, match=word):
        degrade(picture(4, 4), recipe)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_a_wrong_array_is_named(image):
    with pytest.raises(ValueError, match=str(image.dtype)):
        degrade(image, "none")


def test_a_wrong_kind_of_image_or_seed_is_named():
    with pytest.raises(TypeError, match="str"):
        degrade("photo.jpg", "none")
    with pytest.raises(ValueError, match="-1"):
        degrade(picture(4, 4), "none", seed=-1)
    for seed in (None, "3", 1.5):
        with pytest.raises(TypeError, match=str(seed)):
            degrade(picture(4, 4), "none", seed=seed)
