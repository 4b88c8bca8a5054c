"""Sets of every source as rows: tables of VLMEvalKit, R-Bench, JSON Lines; levels on the fly and from a folder."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from degradations import COPIES, Recipe
from degradations.datasets import benchmark, dealt
from degradations.files import PhotoError
from demo.examples import load_examples
from demo.settings import EXAMPLES
from tests.pictures import picture
from tests.vlmevalkit import read_data_set
from training.evaluation import rows as told
from training.evaluation.levels import Levels
from training.evaluation.rbench_questions import options_of, read_rbench
from training.evaluation.rows import CLEAN, DEGRADED, applied, photo_of, pictures_of, states_of, task_of
from training.evaluation.sets import read_set
from training.evaluation.tsv import question_of_row


def png(seed: int, height: int = 40, width: int = 48) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(height, width, seed=seed)).save(file, "PNG")
    return file.getvalue()


def coded(seed: int) -> str:
    return base64.b64encode(png(seed)).decode()


@pytest.fixture
def table(tmp_path) -> Path:
    """Four rows: with options, one that shares a picture, two pictures, without options."""
    lines = [
        "index\timage\timage_path\tquestion\thint\tA\tB\tC\tanswer\tcategory",
        f"7\t{coded(1)}\ta.png\tWhich?\t\tcat\tdog\that\tB\tanimals",
        "8\t7\ta.png\tAnd this?\tLook well.\tcat\tdog\t\tA\tanimals",
        f"9\t\"['{coded(2)}', '{coded(3)}']\"\t\"['b.png', 'c.png']\"\tBoth?\t\tyes\tno\t\tA\tpairs",
        f"10\t{coded(4)}\td.png\tHow many?\t\t\t\t\tthree\tnumbers",
    ]
    path = tmp_path / "Bench.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_vlmevalkit(table, tmp_path):
    rows = read_set(str(table), tmp_path / "kept")
    assert [row["question"] for row in rows] == ["Which?", "Look well.\nAnd this?", "Both?", "How many?"]
    assert [(row["options"], row["answer"], row["answer_index"]) for row in rows] == [
        (["cat", "dog", "hat"], "dog", 1), (["cat", "dog"], "cat", 0), (["yes", "no"], "yes", 0), ([], "three", None),
    ]  # fmt: skip
    assert [task_of(row) for row in rows] == ["MCQ", "MCQ", "MCQ", "VQA"]
    assert photo_of(rows[0]) == photo_of(rows[1]) != photo_of(rows[2])  # questions about one photo belong together
    assert states_of(rows) == ["clean", "25 %", "50 %", "100 %"]
    assert [len(pictures_of(row, CLEAN)) for row in rows] == [1, 1, 2, 1]
    assert (np.asarray(pictures_of(rows[2], CLEAN)[1].read()) == picture(40, 48, seed=3)).all()
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 4  # by their content, once each
    assert read_set(str(table), tmp_path / "kept", limit=2) == rows[:2]


def test_levels_are_those_of_the_published_protocol(table, tmp_path):
    """On the fly as from the folder that the command writes: the same types, seeds and pixels."""
    made, _ = benchmark(table, tmp_path / "copies", seed=3, question="?", workers=1)
    assert made.done == 4
    flying = read_set(str(table), tmp_path / "kept", Levels(seed=3))
    stored = read_set(str(table), tmp_path / "kept", Levels(seed=3, folder=tmp_path / "copies"))
    for one, other in zip(flying, stored, strict=True):
        assert states_of([one]) == states_of([other]) and one["recipes"] == other["recipes"]
        for state in states_of([one]):
            for ours, theirs in zip(pictures_of(one, state), pictures_of(other, state), strict=True):
                assert (np.asarray(ours.read()) == np.asarray(theirs.read())).all()
                assert ours.digest() != theirs.digest() or state == CLEAN
    kind, _ = dealt(3, 0)
    assert [applied(flying[0], state) for state in ("25 %", "100 %")] == [
        Recipe({kind: COPIES[c]}) for c in ("25", "100")
    ]
    # The pictures are also those that VLMEvalKit itself reads of the copies.
    theirs = read_data_set(tmp_path / "copies", "Bench_50")
    table.write_text(table.read_text().replace(coded(4), coded(5)))
    with pytest.raises(ValueError, match="holds copies of another table than"):
        read_set(str(table), tmp_path / "kept", Levels(seed=3, folder=tmp_path / "copies"))
    assert (np.asarray(theirs["7"][0].convert("RGB")) == np.asarray(pictures_of(flying[0], "50 %")[0].read())).all()


def test_levels_are_chosen(table, tmp_path):
    rows = read_set(str(table), tmp_path, Levels.parse("100,clean"))
    assert states_of(rows) == ["clean", "100 %"]
    with pytest.raises(ValueError, match="levels are some of clean,25,50,100, or a folder of copies, not '75'"):
        Levels.parse("clean,75")
    with pytest.raises(ValueError, match=r"holds no manifest.jsonl: python -m degradations benchmark Bench.tsv"):
        read_set(str(table), tmp_path, Levels(folder=tmp_path))


def test_a_picture_is_known_by_what_it_follows_from(monkeypatch, tmp_path):
    (tmp_path / "a").write_bytes(png(1))
    path, recipe = str(tmp_path / "a"), Recipe({"gaussian noise": 0.5})
    digests = {
        told.Picture(path).digest(), told.Picture(path, recipe).digest(), told.Picture(path, recipe, 1).digest(),
        told.Picture(path, Recipe({"gaussian noise": 0.6})).digest(),
    }  # fmt: skip
    monkeypatch.setattr(told, "what_degrading_does", lambda: "otherwise")  # a type was changed
    digests.add(told.Picture(path, recipe).digest())
    assert len(digests) == 5
    assert told.Picture(path).read().size == (48, 40) and told.Picture(path, recipe).read().size == (48, 40)


def test_a_table_is_found_by_its_name_in_vlmevalkits_cache(table, tmp_path, monkeypatch):
    monkeypatch.setenv("LMUData", str(tmp_path))
    assert [row["id"] for row in read_set("Bench", tmp_path / "kept", Levels.parse("clean"))] == ["7", "8", "9", "10"]


def test_an_option_that_reads_like_an_empty_cell_keeps_its_letter(table, tmp_path):
    """pandas takes "None" for an empty cell; VLMEvalKit hands such a cell on as nan."""
    text = (
        table.read_text().replace("\tcat\tdog\that\tB", "\tcat\tNone\that\tC").replace("cat\tdog\t\tA", "cat\tNA\t\tB")
    )
    table.write_text(text)
    rows = read_set(str(table), tmp_path / "kept")
    assert (rows[0]["options"], rows[0]["answer_index"]) == (["cat", "None", "hat"], 2)
    assert (rows[1]["options"], rows[1]["answer"]) == (["cat", "NA"], "NA")
    assert question_of_row({"question": "What?", "A": "cat", "B": "nan", "C": "hat", "D": "nan"}) == (
        "What?\n0. cat\n1. None\n2. hat"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("\n8\t7", "\n7\t7"), "holds several questions of the number 7"),
        (("\tB\tanimals", "\tD\tanimals"), "row 7 of Bench has 3 options, and its answer is 'D'"),
        (("\tB\tanimals", "\t\tanimals"), "row 7 of Bench has no answer"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(table, tmp_path, change, reason):
    table.write_text(table.read_text().replace(*change))
    with pytest.raises(ValueError, match=reason):
        read_set(str(table), tmp_path / "kept")


def test_the_examples_that_ship_are_asked_at_the_published_levels(tmp_path):
    rows, shipped = read_set(str(EXAMPLES), tmp_path), load_examples()
    assert len(rows) == len(shipped) >= 15 and states_of(rows) == ["clean", "25 %", "50 %", "100 %"]
    assert [row["options"][row["answer_index"]] for row in rows] == [one.options[one.answer] for one in shipped]
    assert [len(applied(row, "100 %")) for row in rows] == [1] * len(rows)
    assert pictures_of(rows[0], CLEAN)[0].path == str(shipped[0].image) and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="copies are taken from a folder for tables of VLMEvalKit only"):
        read_set(str(EXAMPLES), tmp_path, Levels(folder=tmp_path))


# --- R-Bench ---

CHOICES = [
    ("A.running; B.Play football; C.x", ["running", "Play football", "x"]),
    ("A.1;B.2;C.3", ["1", "2", "3"]),
    ("A.red;B.a; b;C.black；D.orange", ["red", "a; b", "black", "orange"]),
    ("N", []),
]


@pytest.mark.parametrize(("choice", "options"), CHOICES)
def test_the_options_of_r_bench(choice, options):
    assert options_of(choice) == options


RBENCH_ROWS = [
    {"name": "a.jpg", "question": "What?", "choice": "A.cat; B.dog", "answer": "B", "type": "MCQ", "score": 4.1}
    | {"distortion": 1, "strength": 2},
    {"name": "b.jpg", "question": "Which metal?", "choice": "N", "answer": "steel", "type": "VQA", "score": 3.2}
    | {"distortion": 15, "strength": 3},
    {"name": "c.jpg", "question": "Describe.", "choice": "N", "answer": "['A cat.', 'A cat sits.']", "type": "CAP"}
    | {"score": 3.0, "distortion": 33, "strength": 1},
]


@pytest.mark.parametrize("container", ["csv", "parquet"])
def test_r_bench_from_its_files(container, tmp_path):
    path = tmp_path / f"bench.{container}"
    if container == "csv":
        for name in ("ref_image", "dis_image"):
            (tmp_path / name).mkdir()
            for number in range(3):
                (tmp_path / name / f"{number}.png").write_bytes(png(number + 10 * (name == "dis_image")))
        rows = [row | {n: f"{n}/{k}.png" for n in ("ref_image", "dis_image")} for k, row in enumerate(RBENCH_ROWS)]
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        rows = [
            row | {"ref_image": {"bytes": png(k), "path": None}, "dis_image": {"bytes": png(k + 10), "path": None}}
            for k, row in enumerate(RBENCH_ROWS)
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    rows = read_set(str(path), tmp_path / "kept")
    assert [(task_of(row), row["distortion"], row["strength"]) for row in rows] == [
        ("MCQ", 1, 2), ("VQA", 15, 3), ("CAP", 33, 1),
    ]  # fmt: skip
    assert rows[0]["options"] == ["cat", "dog"] and rows[0]["answer"] == "dog" and rows[1]["answer"] == "steel"
    assert rows[2]["references"] == ["A cat.", "A cat sits."]
    assert states_of(rows) == [CLEAN, DEGRADED]
    assert applied(rows[0], CLEAN) == Recipe() and applied(rows[0], DEGRADED) is None
    seen = [np.asarray(pictures_of(row, DEGRADED)[0].read()) for row in rows]
    assert all((own == picture(40, 48, seed=k + 10)).all() for k, own in enumerate(seen))


def test_what_is_no_r_bench_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("question,answer\nWhat?,A\n")
    with pytest.raises(ValueError, match="row 0 of R-Bench has no ref_image or dis_image; it has question, answer"):
        read_set(str(tmp_path / "a.csv"), tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "['A cat's.']"}, "row 2 of R-Bench is a CAP, and its answer is no list of captions"),
        ({"answer": "A cat."}, "row 2 of R-Bench is a CAP, and its answer is no list of captions"),
        ({"strength": 0}, r"row 2 of R-Bench has distortion 33 \(1 to 33\) at strength 0"),
        ({"strength": None}, "row 2 of R-Bench has no strength; it has name, question"),
    ],
)
def test_a_record_that_is_not_r_benchs_is_told(tmp_path, change, reason):
    image = {"ref_image": png(0), "dis_image": png(1)}
    records = [row | image for row in RBENCH_ROWS]
    records[2] |= change
    with pytest.raises(ValueError, match=reason):
        read_rbench(records, tmp_path, tmp_path / "kept")


# --- JSON Lines ---


def test_a_folder_with_json_lines(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(2):
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(number))
    records = [
        {"image": "photos/0.png", "question": "What?", "options": ["cat", "dog"], "answer": "dog"},
        {"image": ["photos/0.png", "photos/1.png"], "question": "Same?", "options": ["yes", "no"], "answer": 1},
        {"image": "photos/1.png", "question": "How?", "answer": "so", "recipe": "graffiti(0.5)"},
    ]

    def read(records: list[dict]) -> list[dict]:
        (tmp_path / "own.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return read_set(str(tmp_path), tmp_path / "kept")

    rows = read(records[:2])
    assert [row["answer"] for row in rows] == ["dog", "no"]
    assert list(rows[0]["recipes"]) == ["clean", "25 %", "50 %", "100 %"] and len(rows[1]["pictures"]["50 %"]) == 2
    # Every picture has a place of its own in the deal.
    kinds = [pictures_of(rows[0], "50 %")[0], *pictures_of(rows[1], "50 %")]
    assert [next(iter(one.recipe)) for one in kinds] == [dealt(0, place)[0] for place in range(3)]
    (row,) = read(records[2:])
    assert (row["answer"], row["recipes"]) == ("so", {DEGRADED: "graffiti(0.5)"})
    with pytest.raises(ValueError, match="no state in common"):
        read(records)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(png(1)[:200])
    with pytest.raises(PhotoError, match=r"the picture .*broken\.png is broken or incomplete"):
        told.Picture(str(tmp_path / "broken.png")).read()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{folder}", "holds no samples.jsonl, nor questions as .jsonl"),
        ("{folder}/none.tsv", "there is no table"),
        ("NoBench", "there is no NoBench here, and no NoBench.tsv in VLMEvalKit's cache"),
        ("{folder}/none.jsonl", "there is no file or folder"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, source, reason):
    with pytest.raises(ValueError, match=reason):
        read_set(source.format(folder=tmp_path), tmp_path / "kept")
