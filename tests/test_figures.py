"""The figures of an evaluation and their intervals, by hand."""

from math import comb

import numpy as np
import pytest

from degradations import REGISTRY, Recipe
from demo.chain import format_chain
from training.evaluation import choice, naming
from training.evaluation.figures import columns, figures, figures_by_type, figures_of
from training.evaluation.length import GROWTH, HEAVY_TOKENS, LENGTHS, MILD_TOKENS, SECONDS, TOKENS
from training.evaluation.naming import BIAS, ERROR, F1, INVENTIONS, R_DEG, TOTALS
from training.evaluation.open_answers import JUDGE, PROXY, grade_of, kept_of, proxy_grade
from training.evaluation.resampling import (
    Columns,
    Figure,
    differences,
    exchanges,
    intervals,
    p_values,
    per_photo,
    sums_of,
    weights,
)
from training.evaluation.rows import CLEAN, DEGRADED, applied, photo_of, picture_of, states_of
from training.evaluation.said import Reply
from training.evaluation.tables import latex, table, turned


def row(number: int, recipe: str = "none", answer: str = "cat", **changes) -> dict:
    return {
        "id": number, "image": f"d{number}", "clean": f"c{number}", "recipe": recipe, "kind": "object", "made_of": [],
        "options": ["cat", "dog"], "answer": answer, "answer_index": ["cat", "dog"].index(answer), "source": "here",
    } | changes  # fmt: skip


COPIED = {"recipe": "graffiti(0.9)", "copies": {"25": "d25", "50": "d50", "100": "d100"}}


def chain(recipe: str, answer: str, tokens: int = 10) -> Reply:
    return Reply(format_chain(Recipe.parse(recipe), "a", "b", "c", answer), tokens)


def values(own: Columns, photos: list) -> dict[str, float]:
    return {name: resampled[0] for name, resampled in figures(own, weights(photos)).items()}


# --- resampling ---


def test_pictures_of_one_photo_are_drawn_together():
    drawn = weights(["a", "a", "b"], resamples=500)
    assert drawn.shape == (501, 3) and (drawn[0] == 1).all()
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[1:, 0] + drawn[1:, 2] == 2).all()  # as many photos as there are
    assert {tuple(one) for one in drawn[1:]} == {(0, 0, 2), (1, 1, 1), (2, 2, 0)}
    assert (weights(["a", "a", "b"], resamples=500) == drawn).all()


def test_photos_are_resampled_by_one_weight_each():
    """As if each of their pictures had it: the same figures, intervals and p, of fewer numbers."""
    photos = [3, 1, 3, 2, 1, 3]
    rows = [row(n, "graffiti(0.4)") for n in range(6)]
    said = [
        [chain(f"graffiti({0.1 * n + shift:.1f})", "cat" if n % 2 else "dog") for n in range(6)] for shift in (0, 0.3)
    ]
    whole = [columns(rows, {DEGRADED: own}, chain=True) for own in said]
    summed = [per_photo(own, photos) for own in whole]
    assert {len(column) for column in summed[0].values()} == {3}
    for one, other in zip(whole, summed, strict=True):
        expected, found = figures(one, weights(photos)), figures(other, weights(range(3)))
        assert list(found) == list(expected)
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-9, err_msg=name)
    expected, found = (
        p_values(*whole, figures_of, exchanges(photos)),
        p_values(*summed, figures_of, exchanges(range(3))),
    )
    assert found == expected and 0 < found[F1] <= 1


def test_an_interval_is_as_wide_as_theory_has_it():
    """Half of 400 pictures are right: 0.5 ± 1.96 √(0.25 / 400)."""
    right = np.arange(400) % 2
    alone = Figure.of(weights(range(400)) @ right / 400)
    assert alone.value == 0.5
    assert (alone.high - alone.low) / 2 == pytest.approx(0.049, rel=0.1)
    # Eight photos, each with 50 pictures that are all right or all wrong: as if there were eight pictures.
    grouped = weights(np.arange(400) // 50)
    clusters = Figure.of(grouped @ (np.arange(400) // 50 % 2) / grouped.sum(1))
    assert (clusters.high - clusters.low) / 2 == pytest.approx(1.96 * (0.25 / 8) ** 0.5, rel=0.15)


def test_about_95_of_100_intervals_hold_the_truth():
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        resampled = weights(range(100), resamples=300, seed=int(rng.integers(2**31))) @ (rng.random(100) < 0.6) / 100
        held += Figure.of(resampled).low <= 0.6 <= Figure.of(resampled).high
    assert 0.89 <= held / 200 <= 0.98


def test_what_does_not_vary_has_an_interval_without_width():
    assert Figure.of(weights(range(7)) @ np.ones(7) / 7) == Figure(1.0, 1.0, 1.0)


def test_a_figure_without_a_base_is_none():
    assert Figure.of(np.full(11, np.nan)) == Figure(None, None, None)
    assert str(Figure(None, None, None)) == "–"
    # Some resamples without a base are left out of the interval.
    assert Figure.of(np.array([0.5, 0.25, np.nan, 0.75])) == Figure(0.5, pytest.approx(0.2625), pytest.approx(0.7375))


# --- states ---


def test_states_are_clean_and_degraded_or_clean_and_the_strengths():
    plain, copied = row(0, "lens blur(0.5)"), row(1, **COPIED)
    assert {state: picture_of(plain, state) for state in states_of([plain])} == {"clean": "c0", "degraded": "d0"}
    assert [picture_of(copied, state) for state in states_of([copied])] == ["c1", "d25", "d50", "d100"]
    assert states_of([copied]) == ["clean", "25 %", "50 %", "100 %"]
    assert states_of([plain, row(1, clean=None)]) == ["degraded"]
    assert states_of([plain, copied]) == ["clean"]


def test_what_was_applied_is_that_of_the_state():
    assert applied(row(0, "lens blur(0.5)"), CLEAN) == Recipe()
    assert applied(row(0, "lens blur(0.5)"), DEGRADED) == Recipe({"lens blur": 0.5})
    strengths = [applied(row(0, **COPIED), state) for state in ("25 %", "50 %", "100 %")]
    assert strengths == [Recipe({"graffiti": value}) for value in (0.23, 0.45, 0.9)]


def test_a_composed_scene_belongs_to_the_cutout_that_is_asked_for():
    assert photo_of(row(3)) == 3
    assert photo_of(row(3, made_of=["cat.jpg"])) == "cat.jpg"
    assert photo_of(row(3, made_of=["meadow.jpg", "cat.png", "hat.png"], kind="which")) == "cat.png"
    assert photo_of(row(3, made_of=["first.jpg", "second.jpg"], kind="other")) == "first.jpg"


# --- figures ---

ROWS = [
    row(0, "lens blur(0.5), graffiti(0.4)", "dog"),
    row(1, "none", "cat"),
    row(2, "graffiti(0.2)", options=[], answer_index=None),
]
SAID = {
    CLEAN: [chain("none", "1", 4), chain("none", "1", 4), chain("scan lines(0.1)", "0", 4)],
    DEGRADED: [chain("lens blur(0.7)", "1", 30), chain("graffiti(0.1)", "bird", 12), Reply("<TYPE>graffiti(0.3)", 6)],
}


def test_the_figures_of_a_chain_by_hand():
    assert values(columns(ROWS, SAID, chain=True), [0, 1, 2]) == {
        "chains complete": pytest.approx(5 / 6),
        "types F1": pytest.approx(2 * 2 / (2 * 2 + 1 + 1)),
        "types precision": pytest.approx(2 / 3),
        "types recall": pytest.approx(2 / 3),
        ERROR: pytest.approx((0.2 + 0.1) / 2),
        BIAS: pytest.approx((0.2 + 0.1) / 2),
        # true 0.9 0 0.2, said 0.7 0.1 0.3
        TOTALS: pytest.approx(np.corrcoef([0.9, 0, 0.2], [0.7, 0.1, 0.3])[0, 1]),
        # a hit and a miss; an invention; a hit
        R_DEG: pytest.approx(((1.5 - 0.2 - 1) + (-1) + (1.5 - 0.1)) / 3),
        INVENTIONS: pytest.approx(1 / 3),
        MILD_TOKENS: 6,  # the third: the second is not degraded at all, the first neither mildly nor heavily
        HEAVY_TOKENS: pytest.approx(np.nan, nan_ok=True),
        GROWTH: pytest.approx(np.nan, nan_ok=True),
        LENGTHS: pytest.approx(np.corrcoef([0.9, 0, 0.2], [30, 12, 6])[0, 1]),
        TOKENS: 16,
        "accuracy, clean": 0.5,
        "accuracy, degraded": 0.5,
        "drop from clean to degraded": 0,
        "relative robustness, degraded": 0.5,  # the first; the second was wrong on the clean picture, too
        "no option named, clean": 0,
        "no option named, degraded": 0.5,
        "accuracy by VLMEvalKit's rules, clean": 0,  # it finds no letter in these chains
        "accuracy by VLMEvalKit's rules, degraded": 0,
        "no answer, clean": 0,
        "no answer, degraded": 1,  # the third breaks off before its answer
        grade_of(PROXY, CLEAN): 0,
        grade_of(PROXY, DEGRADED): 0,
        kept_of(PROXY, DEGRADED): 0,
    }


def test_the_text_of_a_direct_answer_is_the_answer():
    said = {CLEAN: [Reply("dog", 1)] * 3, DEGRADED: [Reply("cat", 1), Reply("no idea", 2), Reply("cat", 1)]}
    assert values(columns(ROWS, said, chain=False), [0, 1, 2]) == {
        TOKENS: pytest.approx(4 / 3),
        "accuracy, clean": 0.5,
        "accuracy, degraded": 0,
        "drop from clean to degraded": 0.5,
        "relative robustness, degraded": 0,
        "no option named, clean": 0,
        "no option named, degraded": 0.5,
        "accuracy by VLMEvalKit's rules, clean": 0.5,
        "accuracy by VLMEvalKit's rules, degraded": 0,
        "no answer, clean": 0,
        "no answer, degraded": 0,
        grade_of(PROXY, CLEAN): 0,  # "dog" for "cat"
        grade_of(PROXY, DEGRADED): 1,
        kept_of(PROXY, DEGRADED): 0,
    }


def test_the_strengths_are_counted_together_and_their_answers_apart():
    said = {
        CLEAN: [chain("none", "cat")],
        "25 %": [chain("none", "cat")],
        "50 %": [chain("graffiti(0.4)", "dog")],
        "100 %": [chain("graffiti(0.8)", "dog")],
    }
    found = values(columns([row(0, **COPIED)], said, chain=True), [0])
    assert found[F1] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found[ERROR] == pytest.approx((0.05 + 0.1) / 2)
    assert [found[f"accuracy, {state}"] for state in said] == [1, 1, 0, 0]
    assert found["drop from clean to 25 %"] == 0 and found["drop from clean to 100 %"] == 1


def test_chains_grow_from_mild_to_heavy():
    """Mild is above 0 up to 0.7, heavy from 1.8."""
    totals = ("none", "graffiti(0.7)", "graffiti(0.71)", "graffiti(0.9), lens blur(0.9)")
    rows = [row(number, recipe) for number, recipe in enumerate(totals)]
    said = {DEGRADED: [chain(recipe, "cat", 10 * (n + 1)) for n, recipe in enumerate(totals)]}
    found = values(columns(rows, said, chain=True), [0, 1, 2, 3])
    assert (found[MILD_TOKENS], found[HEAVY_TOKENS], found[GROWTH]) == (20, 40, 20)
    assert found[TOTALS] == pytest.approx(1)
    assert INVENTIONS not in found and not [name for name in found if name.startswith("drop")]


def test_without_variation_there_is_no_correlation():
    rows = [row(number, "graffiti(0.3)") for number in range(5)]
    own = columns(rows, {DEGRADED: [chain("graffiti(0.3)", "cat")] * 5}, chain=True)
    found = intervals(figures(own, weights(range(5))))
    assert found[TOTALS]["value"] is None and found[LENGTHS]["value"] is None


def test_types_are_told_apart():
    found = {
        name: intervals(own) for name, own in figures_by_type(columns(ROWS, SAID, True), weights([0, 1, 2])).items()
    }
    assert list(found) == list(REGISTRY)
    assert found["lens blur"][F1]["value"] == 1 and found["lens blur"][ERROR]["value"] == pytest.approx(0.2)
    assert found["graffiti"][F1]["value"] == pytest.approx(2 / (2 + 1 + 1))
    assert found["scan lines"][F1]["value"] is None  # invented on a clean picture, which is counted elsewhere
    assert found["graffiti"][ERROR]["value"] == pytest.approx(0.1)


def test_differences_are_paired():
    """Two sides that are right on mostly the same of 200 pictures: the difference is surer than either figure."""
    rows, photos = [row(number) for number in range(200)], weights(range(200))
    better = [Reply("cat" if number % 2 or number < 20 else "dog", 1) for number in range(200)]
    worse = [Reply("cat" if number % 2 else "dog", 1) for number in range(200)]
    sides = [figures(columns(rows, {CLEAN: said}, chain=False), photos) for said in (better, worse)]
    gain = Figure.of(differences(*sides)["accuracy, clean"])
    assert gain.value == pytest.approx(0.05) and 0 < gain.low < 0.05 < gain.high < 0.1
    alone = Figure.of(sides[0]["accuracy, clean"])
    assert gain.high - gain.low < 0.6 * (alone.high - alone.low)
    assert Figure.of(differences(sides[0], sides[0])["accuracy, clean"]) == Figure(0, 0, 0)
    assert Figure.of(differences(*sides[::-1])["accuracy, clean"]).value == pytest.approx(-0.05)


def test_only_what_both_sides_have_differs():
    one = figures(columns(ROWS, SAID, chain=True), weights([0, 1, 2]))
    other = figures(columns(ROWS, SAID, chain=False), weights([0, 1, 2]))
    assert set(differences(one, other)) == set(other)


def test_a_table_shows_every_row_of_any_column():
    text = table({"a": {"x": 0.5}, "b": {"y": {"value": 12.34, "low": None, "high": None}, "x": HALF}})
    assert text.splitlines() == [
        "|  | a | b |",
        "|---|---:|---:|",
        "| y | – | 12.3 |",
        "| x | 0.500 | 0.500 [0.250, 0.000] |",
    ]


HALF = {"value": 0.5, "low": 0.25, "high": -0.0001}


# --- open answers ---


def test_the_proxy_counts_words():
    assert proxy_grade("The sandwich was wrapped in foil.", ["foil"], "VQA") == 1
    assert proxy_grade("some foils", ["a tin foil"], "VQA") == 0.5
    assert proxy_grade("", ["foil"], "VQA") == 0
    # Two of three words of either side, and nothing of the other reference.
    assert proxy_grade("a black cat sleeps", ["the black cat sits", "two dogs"], "CAP") == pytest.approx(2 / 3 / 2)


def test_a_judges_grades_are_figures_of_their_own():
    rows = [row(n) | {"options": [], "answer_index": None, "answer": "foil"} for n in range(3)]
    said = {
        CLEAN: [Reply("foil", 1, grade=1.0), Reply("tin", 1, grade=0.5), Reply("x", 1)],
        DEGRADED: [Reply("foil", 1, grade=0.8, agreement=0.5), Reply("tin", 1, grade=0.0, agreement=1.0), Reply("", 0)],
    }
    found = values(columns(rows, said, chain=False), [0, 1, 2])
    assert found[grade_of(JUDGE, DEGRADED)] == pytest.approx(0.4)
    assert found[kept_of(JUDGE, DEGRADED)] == pytest.approx((0.5 * 1.0 + 1.0 * 0.5) / 2)
    assert found[f"without a grade of the judge, {DEGRADED}"] == pytest.approx(1 / 3)
    assert found[grade_of(PROXY, DEGRADED)] == pytest.approx(1 / 3)
    without = {state: [Reply(one.text, one.tokens) for one in own] for state, own in said.items()}
    assert not [name for name in values(columns(rows, without, chain=False), [0, 1, 2]) if name.startswith(JUDGE)]


# --- robustness, time, calibration ---


def test_relative_robustness_is_right_and_kept():
    rows = [row(n) for n in range(4)]
    clean, degraded = ["cat", "cat", "dog", "no idea"], ["cat", "dog", "dog", "no idea"]
    said = {CLEAN: [Reply(t, 1) for t in clean], DEGRADED: [Reply(t, 1) for t in degraded]}
    found = values(columns(rows, said, chain=False), range(4))
    assert found[choice.accuracy_of(DEGRADED)] == 0.25 and found[choice.relative_of(DEGRADED)] == 0.25
    assert found[choice.accuracy_of(CLEAN)] == 0.5


def test_seconds_are_those_that_were_measured():
    rows = [row(n) for n in range(3)]
    said = {DEGRADED: [Reply("cat", 1, 0.5), Reply("cat", None, 1.5), Reply("cat", 4)]}
    found = values(columns(rows, said, chain=False), range(3))
    assert found[SECONDS] == 1.0 and found[TOKENS] == 2.5


def test_the_calibration_curve_by_hand():
    rows = [row(n, recipe) for n, recipe in enumerate(("lens blur(0.5), graffiti(0.4)", "graffiti(0.2)", "none"))]
    said = {
        DEGRADED: [
            chain("lens blur(0.72), graffiti(0.31)", ""),
            chain("graffiti(0.39)", ""),
            chain("scan lines(1.0)", ""),
        ]
    }
    own = columns(rows, said, chain=True)
    curve = naming.calibration(sums_of(own, weights(range(3))), [DEGRADED])
    told = {round(one["from"], 1): (one["named"], one["true"]["value"], one["there"]["value"]) for one in curve}
    assert told[0.3] == (2, pytest.approx(0.3), 1) and told[0.7] == (1, pytest.approx(0.5), 1)
    assert told[0.9] == (1, None, 0) and told[0.0] == (0, None, None)
    found = values(own, range(3))
    assert found[BIAS] == pytest.approx((0.22 - 0.09 + 0.19) / 3) and found[ERROR] == pytest.approx(
        (0.22 + 0.09 + 0.19) / 3
    )


# --- the paired test ---


def exact(better: int, worse: int) -> float:
    """McNemar's exact p, two-sided."""
    n, k = better + worse, max(better, worse)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k, n + 1)) / 2**n)


@pytest.mark.parametrize(("better", "worse"), [(9, 1), (12, 5), (5, 5), (20, 3)])
def test_p_is_that_of_the_exact_test_where_photos_differ_by_one_answer(better, worse):
    count = better + worse + 40
    rows = [row(number) for number in range(count)]
    one = ["cat"] * better + ["dog"] * worse + ["cat"] * 40
    other = ["dog"] * better + ["cat"] * worse + ["cat"] * 40
    cells = [columns(rows, {CLEAN: [Reply(text, 1) for text in said]}, chain=False) for said in (one, other)]
    p = p_values(*cells, figures_of, exchanges(range(count), resamples=20000))["accuracy, clean"]
    assert p == pytest.approx(exact(better, worse), abs=0.012)


def test_p_of_sides_that_are_alike_is_one_and_of_nothing_none():
    own = columns(ROWS, SAID, chain=True)
    p = p_values(own, own, figures_of, exchanges([0, 1, 2], resamples=50))
    assert p[F1] == 1 and p[GROWTH] is None
    assert str(Figure(0.05, 0.01, 0.09, 0.0004)) == "0.050 [0.010, 0.090] p <0.001"


def test_answers_to_one_photo_are_exchanged_together():
    drawn = exchanges(["a", "a", "b"], resamples=200)
    assert drawn.shape == (201, 3) and not drawn[0].any() and (drawn[:, 0] == drawn[:, 1]).all()
    assert {tuple(one) for one in drawn[1:]} == {(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)}


# --- tables ---


def test_a_latex_table_holds_the_same_and_escapes():
    text = latex({"50 %": {"a_b": 0.5}, "R&D": {"a_b": HALF}}, caption="~ 100 %")
    assert r"a\_b & 0.500 & 0.500 [0.250, 0.000] \\" in text and r" & 50 \% & R\&D \\" in text
    assert r"\caption{\textasciitilde{} 100 \%}" in text and text.count("{") == text.count("}")


def test_rows_become_columns():
    assert turned({"x": {"a": 1}, "y": {"a": 2, "b": 3}}) == {"a": {"x": 1, "y": 2}, "b": {"x": None, "y": 3}}
