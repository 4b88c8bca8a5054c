"""R-Bench's scores by hand: cells, steps, groups, both overall figures; its result files; the published figures."""

import json
import re

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tests.test_figures import exact
from training import evaluate
from training.evaluation import published
from training.evaluation.choice import accuracy_of
from training.evaluation.figures import columns
from training.evaluation.open_answers import JUDGE, PROXY
from training.evaluation.rbench import (
    CELLS,
    GROUPS,
    ITEMS,
    OF_CELLS,
    STEPS,
    Item,
    differences_of,
    measure,
    measure_difference,
    read_results,
    score,
)
from training.evaluation.report import papers_tables
from training.evaluation.said import Reply


def test_steps_and_groups_hold_every_distortion_once():
    for parts in (STEPS, GROUPS):
        assert sorted(number for own in parts.values() for number in own) == list(range(1, 34))


ITEMS_BY_HAND = [
    Item("MCQ", 1, 1, 1.0), Item("MCQ", 2, 1, 0.0), Item("MCQ", 15, 3, 1.0), Item("VQA", 28, 2, 0.5),
    Item("CAP", 33, 3, 0.25),
]  # fmt: skip


def test_scores_by_hand():
    found = {part: {name: f.value for name, f in own.items()} for part, own in score(ITEMS_BY_HAND).items()}
    assert found["overall"][ITEMS] == pytest.approx(2.75 / 5)
    assert found["overall"][OF_CELLS] is None  # five of the nine cells are empty
    assert found["task"] == {"MCQ": pytest.approx(2 / 3), "VQA": 0.5, "CAP": 0.25}
    assert found["strength"] == {"low": 0.5, "mid": 0.5, "high": pytest.approx(1.25 / 2)}
    assert found["cell"]["MCQ low"] == 0.5 and found["cell"]["CAP low"] is None and set(found["cell"]) == set(CELLS)
    assert found["step"]["environment"] == 0.5 and found["step"]["enhance"] == pytest.approx(0.375)
    assert found["group"]["blur"] == 0.75 and found["group"]["wild"] == 0 and found["group"]["noise"] is None


def test_the_two_overall_figures_differ_where_cells_do():
    """One cell with three items of 1, eight with one of 0: 3/11 of the items, 1/9 of the cells."""
    items = [Item(task, 1, strength, 0.0) for task in ("MCQ", "VQA", "CAP") for strength in (1, 2, 3)][1:]
    found = score([*items, *[Item("MCQ", 1, 1, 1.0)] * 3])["overall"]
    assert found[ITEMS].value == pytest.approx(3 / 11) and found[OF_CELLS].value == pytest.approx(1 / 9)
    assert found[ITEMS].low < 3 / 11 < found[ITEMS].high


@pytest.fixture
def files(tmp_path):
    """Results as R-Bench writes them: an index without a name, further columns, numbers as texts."""
    head = ",name,question,choice,answer,type,score,distortion,strength,result"
    for name, results in (("dis", (1.0, 0.5, 0.0)), ("com", (1.0, 0.4, 0.6)), ("ref", (1.0, 0.5, 1.0))):
        lines = [
            f'{n},a.jpg,"What, then?",N,x,{task},4.5,{n + 1},{n + 1},{result}'
            for n, (task, result) in enumerate(zip(("MCQ", "VQA", "CAP"), results, strict=True))
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    return tmp_path


def run(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["evaluate", "rbench", *map(str, words)])
    return evaluate.main()


def test_the_command_prints_json(files, monkeypatch, capsys):
    words = ["--distorted", files / "dis.csv", "--relative", files / "com.csv", "--reference", files / "ref.csv"]
    assert run(monkeypatch, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["items"] == 3 and found["absolute"]["overall"][ITEMS]["value"] == 0.5
    assert found["relative"]["cell"]["VQA mid"]["value"] == pytest.approx(0.2)
    assert found["relative"]["overall"][ITEMS]["value"] == pytest.approx((1 + 0.2 + 0.6) / 3)
    assert run(monkeypatch, "--distorted", files / "dis.csv") == 0
    assert "relative" not in json.loads(capsys.readouterr().out)


def test_results_come_as_parquet_too(files):
    items = read_results(files / "dis.csv")
    rows = [{"type": i.task, "distortion": i.distortion, "strength": i.strength, "result": i.result} for i in items]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), files / "dis.parquet")
    assert read_results(files / "dis.parquet") == items


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        ((",result", ",grade"), "--distorted {0}/dis.csv", "needs the columns type, distortion, strength, result"),
        ((",1.0\n", ",2\n"), "--distorted {0}/dis.csv", "a result is from 0 to 1"),
        ((",1,1,1.0\n", ",34,1,1.0\n"), "--distorted {0}/dis.csv", "a distortion 1 to 33"),
        ((",1.0\n", ",\n"), "--distorted {0}/dis.csv", "row 0 of .*dis.csv: could not convert"),
        (("VQA", "CAP"), "--distorted {0}/dis.csv --relative {0}/com.csv --reference {0}/ref.csv", "about other items"),
        (("x", "x"), "--distorted {0}/dis.csv --relative {0}/com.csv", "needs --relative .* and --reference"),
    ],
)
def test_files_that_cannot_be_scored_are_refused(files, monkeypatch, capsys, change, words, reason):
    file = files / "dis.csv"
    file.write_text(file.read_text().replace(*change))
    assert run(monkeypatch, *words.format(files).split()) == 2
    error = capsys.readouterr().err
    assert re.search(reason, error), error


def test_a_sides_answers_are_scored_by_either_grading():
    rows = [
        {"id": 0, "options": ["cat", "dog"], "answer": "dog", "answer_index": 1, "task": "MCQ", "strength": 1},
        {"id": 1, "options": [], "answer": "steel", "answer_index": None, "task": "VQA", "strength": 2},
    ]
    rows = [
        row | {"distortion": 1, "made_of": [], "kind": "x", "recipes": {"clean": "none", "degraded": None}}
        for row in rows
    ]
    said = {
        "clean": [Reply("dog", 1), Reply("steel", 1, grade=1.0)],
        "degraded": [Reply("dog", 1), Reply("blue steel", 1, grade=0.5, agreement=0.6)],
    }
    own = columns(rows, said, chain=False)
    judged, proxied = measure(rows, own, JUDGE), measure(rows, own, PROXY)
    assert judged["absolute"]["overall"][ITEMS]["value"] == 0.75 and proxied["absolute"]["overall"][ITEMS]["value"] == 1
    assert judged["relative"]["cell"]["VQA mid"]["value"] == pytest.approx(0.6)
    assert judged["relative"]["cell"]["MCQ low"]["value"] == 1
    # Paired: how far one side is above another on the same items.
    worse = {state: [Reply("cat", 1), one] for state, (_, one) in said.items()}
    less = measure_difference(rows, own, columns(rows, worse, chain=False), JUDGE)
    assert less["absolute"]["overall"][ITEMS]["value"] == 0.5 and less["absolute"]["cell"]["VQA mid"]["value"] == 0
    assert less["absolute"]["cell"]["MCQ low"]["p"] is not None and less["relative"]["overall"][ITEMS]["value"] == 0.5
    ungraded = {state: [Reply(one.text, 1) for one in replies] for state, replies in said.items()}
    assert measure(rows, columns(rows, ungraded, chain=False), JUDGE) is None
    assert measure_difference(rows, own, columns(rows, ungraded, chain=False), JUDGE) is None


def test_a_difference_has_the_p_of_the_exact_test():
    """Twelve items better, four worse, forty alike; both overall figures are tested, and figures of a part of them."""
    one = [Item("MCQ", 1, 1, float(right)) for right in [1] * 12 + [0] * 4 + [1] * 40]
    two = [Item("MCQ", 1, 1, float(right)) for right in [0] * 12 + [1] * 4 + [1] * 40]
    found = differences_of(one, two, range(len(one)))
    value = found["overall"][ITEMS]
    assert value.value == pytest.approx(8 / 56) and value.low < 8 / 56 < value.high
    assert value.p == pytest.approx(exact(12, 4), abs=0.02) and found["cell"]["MCQ low"].p == value.p
    assert found["cell"]["CAP low"].value is None and found["cell"]["CAP low"].p is None
    assert [name for part in found.values() for name in part] == [name for part in score(one).values() for name in part]


# --- the published figures ---


def test_a_table_of_levels_needs_no_clean_pictures():
    own = {accuracy_of("100 %"): {"value": 0.5, "low": 0.4, "high": 0.6}}
    found = {"states": ["100 %"], "sides": {"m": own}, "by type": {}}
    rows = papers_tables({"sets": {"MMStar": found}})["Right answers by strength of the degradation, in per cent"]
    assert rows["m"]["MMStar, 100 %"]["value"] == 50
    assert rows["Qwen2.5-VL-3B (published)"]["MMStar, 100 %"] == "48.66"


def test_the_published_figures_are_consistent():
    """An overall figure of R-Bench's table is the mean of its nine cells, to the digits that were published."""
    for part in (published.RBENCH, published.ABLATION):
        for name, own in published.figures()[part].items():
            assert np.mean([own[cell] for cell in CELLS]) == pytest.approx(own["overall"], abs=0.002), name
    rows = published.rbench()
    assert rows["Robust-R1 SFT+RL (published)"]["MCQ high"] == 0.6097
    assert rows["BAGEL (published)"] == {"overall": 0.577, "CAP high": 0.4288}
    assert published.levels("MMMB_en")["Qwen2.5-VL-3B (published)"]["100 %"] == 74.5
    assert published.levels("RealWorldQA")["TeCoA (published)"]["clean"] == 40.0
    assert (
        published.levels("MMMB")["Robust-U1 (published)"] == {"100 %": 83.18} and published.levels("validation") == {}
    )
