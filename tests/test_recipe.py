"""Recipes: reading, writing, order, errors, samples; and how two of them compare."""

import copy
import json
import math
import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations import REGISTRY, STAGES, Recipe, Score, compare, lookup

NAMES = list(REGISTRY)
intensities = st.floats(0, 1)
mappings = st.dictionaries(st.sampled_from(NAMES), intensities)
recipes = mappings.map(Recipe)


# --- text ---


@given(mappings)
def test_text_round_trip(mapping):
    recipe = Recipe(mapping)
    assert Recipe.parse(str(recipe)) == recipe
    assert Recipe.parse(recipe) == recipe
    assert Recipe.parse(dict(recipe)) == recipe
    assert dict(recipe) == {name: mapping[name] for name in NAMES if mapping.get(name)}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    try:
        recipe = Recipe.parse(text)
    except ValueError:
        return
    assert Recipe.parse(str(recipe)) == recipe


def test_text_is_written_as_models_write_it():
    assert str(Recipe({"gaussian noise": 0.5, "lens blur": 0.31})) == "lens blur(0.31), gaussian noise(0.5)"
    assert str(Recipe({"graffiti": 1})) == "graffiti(1.0)"
    assert str(Recipe({"graffiti": 1e-7})) == "graffiti(0.0000001)"
    assert str(Recipe()) == "none"
    assert eval(repr(Recipe({"graffiti": 0.25}))) == Recipe({"graffiti": 0.25})


@pytest.mark.parametrize("text", ["", "  ", "none", "None", " NONE\n"])
def test_the_empty_recipe_is_read(text):
    assert Recipe.parse(text) == Recipe() == {}
    assert not Recipe.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "lens blur(0.31), gaussian noise(0.5)",
        "gaussian noise(0.5),lens blur(0.31)",
        "  lens blur ( 0.31 ) ,\n gaussian  noise (.5) ",
        "Lens Blur(0.31), GAUSSIAN NOISE(0.50)",
        "lens_blur(0.31), gaussian-noise(5e-1)",
        "Lens blur(0.31), Noise(0.5)",
        "lens blur(0.31), scan lines(0), gaussian noise(0.5)",
    ],
)
def test_spellings_of_one_recipe(text):
    assert Recipe.parse(text) == {"lens blur": 0.31, "gaussian noise": 0.5}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_and_label_is_read_in_any_spelling(name):
    for spelling in (name, REGISTRY[name].label):
        for variant in (spelling, spelling.upper(), spelling.title(), spelling.replace(" ", "_"), f"  {spelling} "):
            assert lookup(variant) == name
            assert Recipe({variant: 0.4}) == {name: 0.4}
            assert Recipe.parse(f"{variant}(0.4)") == {name: 0.4}


def test_hostile_text_is_refused_quickly():
    start = time.process_time()
    for text in (
        "lens blur(0.1)," + " " * 50_000 + "x",
        "a " * 50_000,
        "(" * 50_000,
        "a(" * 20_000,
        "_" * 50_000 + "(",
    ):
        with pytest.raises(ValueError, match=r"recipe|unknown"):
            Recipe.parse(text)
    assert time.process_time() - start < 2


# --- the mapping ---


@given(recipes)
def test_order_is_that_of_application(recipe):
    assert list(recipe) == [name for name in NAMES if name in recipe]
    stages = [STAGES.index(REGISTRY[name].stage) for name in recipe]
    assert stages == sorted(stages)


@given(mappings)
def test_total_is_the_sum(mapping):
    assert Recipe(mapping).total == pytest.approx(sum(mapping.values()))


def test_total_of_the_published_example():
    values = (0.31, 0.47, 0.33, 0.14, 0.24, 0.5, 0.04)
    assert Recipe(dict(zip(NAMES, values, strict=False))).total == pytest.approx(2.03)


@given(recipes)
def test_equal_recipes_are_interchangeable(recipe):
    for twin in (Recipe(reversed(list(recipe.items()))), copy.deepcopy(recipe), pickle.loads(pickle.dumps(recipe))):
        assert twin == recipe and hash(twin) == hash(recipe) and str(twin) == str(recipe)
    assert json.loads(json.dumps(dict(recipe))) == recipe


def test_a_recipe_cannot_be_changed():
    recipe = Recipe({"graffiti": 0.5})
    with pytest.raises(TypeError):
        recipe["graffiti"] = 0.6
    source = {"graffiti": 0.5}
    kept = Recipe(source)
    source["graffiti"] = 0.9
    assert kept == {"graffiti": 0.5}


def test_numbers_of_any_kind_are_taken():
    for value in (np.float32(0.5), np.float64(0.5), np.array(0.5), "0.5"):
        assert Recipe({"graffiti": value}) == {"graffiti": 0.5}
    assert Recipe({"graffiti": 1}) == {"graffiti": 1.0}


def test_scaled_keeps_the_types_and_stops_at_one():
    recipe = Recipe({"graffiti": 0.5, "lens blur": 0.2})
    assert recipe.scaled(0.5) == {"lens blur": 0.1, "graffiti": 0.25}
    assert recipe.scaled(3) == {"lens blur": pytest.approx(0.6), "graffiti": 1.0}
    assert recipe.scaled(0) == {}
    for factor in (-1, float("nan")):
        with pytest.raises(ValueError, match="lens blur"):
            recipe.scaled(factor)


# --- errors ---


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("sunshine(0.5)", ["sunshine", "lens blur"]),
        ("lens blur(1.5)", ["lens blur", "1.5"]),
        ("lens blur(-0.5)", ["lens blur", "-0.5"]),
        ("lens blur(nan)", ["lens blur", "nan"]),
        ("lens blur(0.5.1)", ["lens blur", "0.5.1"]),
        ("lens blur()", ["lens blur"]),
        ("lens blur", ["lens blur"]),
        ("lens blur(0.5), ", ["lens blur(0.31)"]),
        ("lens blur(0.5)(0.4)", ["(0.4)"]),
        ("lens blur(0.5), Lens blur(0)", ["lens blur", "twice"]),
        ("none, lens blur(0.5)", ["none"]),
        ({"": 0.5}, ["''"]),
        (None, ["NoneType"]),
        (0.5, ["float"]),
        (["lens blur"], ["list"]),
    ],
)
def test_errors_say_what_is_wrong(recipe, words):
    with pytest.raises(ValueError) as caught:
        Recipe.parse(recipe)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# --- samples ---


def test_samples_are_within_bounds_cover_all_types_and_repeat():
    samples = [Recipe.sample(np.random.default_rng(seed)) for seed in range(400)]
    assert samples == [Recipe.sample(np.random.default_rng(seed)) for seed in range(400)]
    assert {len(sample) for sample in samples} == {0, 1, 2, 3, 4}
    assert {name for sample in samples for name in sample} == set(NAMES)
    values = [value for sample in samples for value in sample.values()]
    assert all(0.1 <= value <= 1 and value == round(value, 2) for value in values)
    assert abs(np.mean(values) - 0.55) < 0.03


def test_sample_takes_bounds_and_refuses_impossible_ones():
    rng = np.random.default_rng(0)
    assert len(Recipe.sample(rng, count=(len(REGISTRY), len(REGISTRY)))) == len(REGISTRY)
    assert set(Recipe.sample(rng, count=(3, 3), intensity=(0.5, 0.5)).values()) == {0.5}
    for bounds in (
        {"count": (3, 2)},
        {"count": (0, len(REGISTRY) + 1)},
        {"intensity": (0, 1)},
        {"intensity": (0.5, 1.5)},
    ):
        with pytest.raises(ValueError, match=next(iter(bounds))):
            Recipe.sample(rng, **bounds)


# --- comparison and score ---

APPLIED = Recipe({"lens blur": 0.3, "scan lines": 0.5, "graffiti": 0.9})
PREDICTED = Recipe({"lens blur": 0.4, "scan lines": 0.2, "gaussian noise": 0.6})


def test_a_comparison_computed_by_hand():
    comparison = compare(APPLIED, PREDICTED)
    assert comparison.hits == {"lens blur": (0.3, 0.4), "scan lines": (0.5, 0.2)}
    assert comparison.misses == {"graffiti": 0.9}
    assert comparison.inventions == {"gaussian noise": 0.6}
    assert comparison.intensity_error == pytest.approx((0.1 + 0.3) / 2)
    assert comparison.f1 == pytest.approx(4 / (4 + 1 + 1))


def test_a_score_computed_by_hand():
    """Micro-averaged: hits, misses and inventions are summed over the pictures before anything is divided."""
    pairs = [
        (APPLIED, PREDICTED),  # 2 hits, 1 miss, 1 invention, errors 0.1 and 0.3
        (Recipe({"graffiti": 0.5}), Recipe({"graffiti": 0.5})),  # 1 hit, error 0
        (Recipe({"graffiti": 0.5, "lens blur": 0.1}), Recipe()),  # 2 misses
        (Recipe(), Recipe({"lens flare": 1.0})),  # 1 invention
        (Recipe(), Recipe()),
    ]
    score = Score.of(pairs)
    assert (score.hits, score.misses, score.inventions) == (3, 3, 2)
    assert score.precision == pytest.approx(3 / 5)
    assert score.recall == pytest.approx(3 / 6)
    assert score.f1 == pytest.approx(6 / 11)
    assert score.intensity_error == pytest.approx(0.4 / 3)
    assert Score.of(iter(pairs)) == score


def test_figures_without_a_base_are_none():
    empty = compare(Recipe(), Recipe())
    assert (empty.f1, empty.intensity_error) == (None, None)
    missed = compare(APPLIED, Recipe())
    assert (missed.f1, missed.intensity_error) == (0.0, None)
    score = Score.of([])
    assert (score.f1, score.precision, score.recall, score.intensity_error) == (None, None, None, None)


@given(recipes)
def test_a_perfect_prediction_is_perfect(recipe):
    comparison = compare(recipe, recipe)
    assert not comparison.misses and not comparison.inventions
    assert comparison.f1 == (1.0 if recipe else None)
    assert comparison.intensity_error == (0.0 if recipe else None)


@given(recipes, recipes)
def test_a_comparison_is_symmetric_and_complete(applied, predicted):
    there, back = compare(applied, predicted), compare(predicted, applied)
    assert there.misses == back.inventions and there.inventions == back.misses
    assert there.f1 == back.f1
    assert set(there.hits) | set(there.misses) == set(applied)
    assert set(there.hits) | set(there.inventions) == set(predicted)
    if there.hits:
        assert math.isclose(there.intensity_error, back.intensity_error)
        assert 0 <= there.intensity_error <= 1


@given(st.lists(st.tuples(recipes, recipes)))
def test_a_score_agrees_with_its_comparisons(pairs):
    score, comparisons = Score.of(pairs), [compare(*pair) for pair in pairs]
    assert score == Score.of_comparisons(comparisons)
    assert score.hits == sum(len(c.hits) for c in comparisons)
    for figure in (score.f1, score.precision, score.recall, score.intensity_error):
        assert figure is None or 0 <= figure <= 1
