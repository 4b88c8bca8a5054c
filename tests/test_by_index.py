"""Models that answer by the option's index: who does, and that every tab reads them so where options are numbers."""

import argparse
import csv
import io
import json
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from degradations import Recipe
from demo import api, settings
from demo.annotate import api as annotate_api
from demo.annotate import exports, hub, panels
from demo.annotate.batches import Wanted
from demo.annotate.desk import Desk
from demo.annotate.found import find
from demo.annotate.predicting import predict
from demo.chain import format_chain, meant
from demo.models import add_arguments, spec_from
from demo.replies import Event, Stats
from demo.store.database import MIGRATIONS, Store
from demo.store.tables import Item
from demo.sweep.engine import Run, grid, steps_of
from tests.batch_making import database, open_batches, picture, write_folder
from tests.spoken import spoken

OPTIONS = ["2", "3", "1"]
QUESTION = "How many?\n0. 2\n1. 3\n2. 1"
CHAIN = format_chain(Recipe(), "none", "I count them", "so many", "2")
PUBLISHED = "Jiaqi-hkust/Robust-R1-RL"


def events(by_index: bool) -> list[Event]:
    """Both sides' answer to one picture: 2."""
    end = Stats(9, 0.1, 9.0, "eos")
    return [
        Event("baseline", "2", True, end),
        Event("robust", CHAIN, tokens=9, by_index=by_index),
        Event("robust", "", True, end, tokens=9, by_index=by_index),
    ]


# --- who does ---


@pytest.mark.parametrize(
    ("line", "environ", "by_index"),
    [
        ("--preset embedded", {}, False),
        ("--preset robust-r1", {}, True),
        ("--preset robust-r1-sft", {}, True),
        ("--preset robust-r1 --model a/m", {}, False),
        ("--preset robust-r1 --baseline a/b", {}, True),
        ("--preset robust-r1 --baseline a/b --adapter a/l", {}, False),
        ("--preset embedded --model Jiaqi-hkust/Robust-R1-SFT", {}, True),
        (f"--model {PUBLISHED}", {}, True),
        ("--model a/m", {}, False),
        ("--model a/m --by-index", {}, True),
        ("--model a/m", {"DEMO_BY_INDEX": "1"}, True),
        (f"--model {PUBLISHED}", {"DEMO_BY_INDEX": "0"}, False),
        ("--model a/m --no-by-index", {"DEMO_BY_INDEX": "1"}, False),
    ],
)
def test_it_follows_from_the_checkpoint_or_is_said(line, environ, by_index):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert spec_from(parser.parse_args(line.split()), environ).by_index is by_index


def test_a_switch_that_is_neither_is_told():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ValueError, match="DEMO_BY_INDEX is 'perhaps'"):
        spec_from(parser.parse_args(["--model", "a/m"]), {"DEMO_BY_INDEX": "perhaps"})


@pytest.mark.parametrize(("by_index", "words"), [(False, "2"), (True, "1")])
def test_what_is_meant_is_an_option(by_index, words):
    assert meant("2", OPTIONS, by_index) == words
    assert meant("many", OPTIONS, by_index) == "many"


# --- asked on the page and by scripts ---


@pytest.mark.parametrize(("by_index", "choice"), [(False, 0), (True, 2)])
def test_a_comparison_and_a_sweep_read_it_so(by_index, choice):
    *_, last = api.states((one for one in events(by_index)), OPTIONS)
    assert (last["robust"]["choice"], last["robust"]["answer"]) == (choice, OPTIONS[choice])
    assert last["baseline"]["choice"] == 0, "the baseline answers as anybody does"
    run = Run("type", steps_of("type", "noise", Recipe(), grid(2), [0])[:1], QUESTION, "1",
              {"baseline": "a", "robust": "b"})  # fmt: skip
    for event in events(by_index):
        run.take(0, event)
    (step,) = run.as_json()["steps"]
    assert step["robust"]["verdict"] == ("right" if by_index else "wrong")
    assert step["baseline"]["verdict"] == "wrong"


# --- annotated ---


def counted(tmp_path, **row):
    """A batch of one picture whose prediction is 2."""
    batches = open_batches(tmp_path / "data")
    asked = {"question": "How many?", "options": OPTIONS, "answer": "1", "chain": CHAIN}
    source = write_folder(tmp_path / "source", 1, **asked | row)
    return batches, batches.open_path(source, Wanted("counted", blind=False), "olga").batch


@pytest.mark.parametrize(
    ("row", "choice"),
    [
        ({}, 0),
        ({"by_index": True}, 2),
        ({"by_index": False, "model": PUBLISHED}, 0),
        ({"model": PUBLISHED}, 2),
    ],
)
def test_an_annotator_sees_which_option_it_is(tmp_path, row, choice):
    batches, batch = counted(tmp_path, **row)
    task = Desk(batches.store).next(batch, "anna")
    assert task.choice == choice
    form = spoken(panels.form(task))
    assert ("That is the option 1." in form) is (choice == 2)
    right, wrong = (f'name="answer" value="{code}" checked' in form for code in ("yes", "no"))
    assert (right, wrong) == (choice == 2, choice == 0), "the truth is 1"


def test_a_blind_item_does_not_tell_how_its_model_answers(tmp_path):
    batches = open_batches(tmp_path / "data")
    source = write_folder(tmp_path / "source", 1, options=OPTIONS, chain=CHAIN, model=PUBLISHED)
    batch = batches.open_path(source, Wanted("blind"), "olga").batch
    service = SimpleNamespace(batches=SimpleNamespace(pictures=SimpleNamespace(shown=lambda name, _: name)))
    told = annotate_api._item(service, Desk(batches.store).next(batch, "anna"))
    assert told["choice"] == 2
    assert not {"by_index", "model"} & set(told)


def judge(batches, batch) -> None:
    """Somebody finds the prediction right in every part."""
    desk = Desk(batches.store)
    task = desk.next(batch, "anna")
    desk.save(task.id, "anna", {"marks": {}, "influence": True, "reasoning": True, "answer": True}, 0)


def test_an_export_says_it_and_gives_the_right_answer_in_words(tmp_path):
    batches, batch = counted(tmp_path, by_index=True, answer=None)
    judge(batches, batch)
    exports.write_folder(batches.store, batches.pictures, batch, tmp_path / "export")
    (line,) = (tmp_path / "export/metadata.jsonl").read_text().splitlines()
    assert (json.loads(line)["by_index"], json.loads(line)["correct_answer"]) == (True, "1")
    (row,) = csv.DictReader(io.StringIO(exports.as_csv(batches.store, batch)))
    assert row["by_index"] == "True"
    other = open_batches(tmp_path / "other")
    again = other.open_path(tmp_path / "export", Wanted("again"), "olga").batch
    assert Desk(other.store).next(again, "ben").choice == 2


def test_parquet_of_the_hub_says_it_too(tmp_path):
    row = {"image": {"bytes": picture(0), "path": None}, "question": "How many?", "options": OPTIONS, "chain": CHAIN,
           "by_index": True}  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "train.parquet")
    hub._unpack(tmp_path, settings.BATCH_BOUNDS)
    (found,) = find(["metadata.jsonl", "unpacked/000001"], lambda name: (tmp_path / name).read_bytes())
    assert found.by_index


def test_a_table_that_says_neither_is_refused(tmp_path):
    with pytest.raises(ValueError, match="by_index is 'perhaps'"):
        counted(tmp_path, by_index="perhaps")


@pytest.mark.parametrize("by_index", [False, True])
def test_what_the_pages_model_predicts_is_kept_with_it(tmp_path, by_index):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.png").write_bytes(picture(0))
    batches = open_batches(tmp_path)
    batch = batches.open_path(tmp_path / "in", Wanted("bare", options=tuple(OPTIONS)), "olga").batch
    pair = SimpleNamespace(
        robust=SimpleNamespace(name="robust", label="tiny"), max_new_tokens=9, fit=lambda photo: photo,
        answers=lambda *_, **__: (one for one in events(by_index)),
    )  # fmt: skip
    list(predict(batches, batch, pair))
    assert Desk(batches.store).next(batch, "anna").choice == (2 if by_index else 0)


def test_training_takes_the_option_that_was_meant(tmp_path):
    from degradations.jobs import read_table
    from training.imports import take_as_they_are
    from training.sources import open_source

    batches, batch = counted(tmp_path, by_index=True, answer=None)
    judge(batches, batch)
    exports.write_folder(batches.store, batches.pictures, batch, tmp_path / "export")
    source = open_source(str(tmp_path / "export/metadata.jsonl"))
    (sample,) = read_table(take_as_they_are(source, tmp_path / "samples"))
    assert (sample["answer"], sample["answer_index"]) == ("1", 2)


def test_a_database_from_before_learns_it_from_the_models_name(tmp_path):
    url = database(tmp_path)
    store = Store(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        connection.execute(
            text(
                "INSERT INTO batches (id, name, source, blind, per_item, opened_by, opened_at) "
                "VALUES (1, 'old', 'a test', false, 1, 'olga', '2026-01-01 00:00:00')"
            )
        )
        for number, model in enumerate((PUBLISHED, "small", None)):
            connection.execute(
                text(
                    'INSERT INTO items (batch_id, number, "key", picture, question, options, model) '
                    "VALUES (1, :number, :key, 'a.png', 'How many?', '[]', :model)"
                ),
                {"number": number, "key": str(number), "model": model},
            )
    store.close()
    with Store(url).reading() as session:
        assert session.scalars(select(Item.by_index).order_by(Item.number)).all() == [True, False, False]
