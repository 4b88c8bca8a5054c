"""Where questions come from: containers and formats told apart, and samples made of what they hold."""

import json
import sys

import datasets
import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Image
from PIL import Image as Pictures

from degradations import COPIES, REGISTRY, Recipe, degrade
from degradations.datasets import dealt_type
from degradations.jobs import OtherRunError, read_table
from demo.chain import format_chain
from training import sources, synthesize
from training.formats import question_fields
from training.sources import is_corpus, open_source

A_OKVQA = {
    "question_id": ["22jbM6gDxdaMaunuzgrsBB", "2Aq5RiEn7eyfWjEbpuYy2c"],
    "question": ["What is in the motorcyclist's mouth?", "Which number is on the cap?"],
    "choices": [["toothpick", "food", "popsicle stick", "cigarette"], ["4", "1", "2", "3"]],
    "correct_choice_idx": [3, 1],
    "direct_answers": ["['cigarette', 'cigarette']", "['1']"],
    "difficult_direct_answer": [False, False],
    "rationales": [["He is smoking."], ["It is a one."]],
}
"""Two rows with the columns of HuggingFaceM4/A-OKVQA; the questions are made up."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keeps what `datasets` converts out of the home folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """Four photos of noise, of which the third is broken."""
    paths = [tmp_path / f"photos/{number}.png" for number in range(4)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Pictures.fromarray(noise).resize((320, 240)).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:99])
    return paths


@pytest.fixture
def questions(tmp_path, photos):
    """JSON Lines of a question on each photo; the last one shows two of them, and its answer is no option."""
    rows = [{"image": f"photos/{path.name}", "question": "Which?\n0. a\n1. b", "answer": "b"} for path in photos]
    rows += [{"image": ["photos/1.png", "photos/3.png"], "question": "Same?", "answer": "no", "source": "pairs"}]
    rows += [{"image": "photos/0.png", "question": "Which?", "options": ["a", "b"], "answer": "c"}]
    return write_lines(tmp_path / "questions.jsonl", rows)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def a_okvqa(photos) -> Dataset:
    return Dataset.from_dict({"image": [str(photos[0]), str(photos[1])], **A_OKVQA}).cast_column("image", Image())


def fields(source) -> list[dict]:
    return [question_fields(source.read(record)) for record in source.records]


# --- opening ---


@pytest.mark.parametrize("container", ["parquet", "folder of parquet", "on disk", "file"])
def test_a_okvqa_is_read_from_a_dataset(photos, tmp_path, container):
    dataset, path = a_okvqa(photos), tmp_path / "aokvqa"
    options = {}
    if container == "parquet":
        path = tmp_path / "train.parquet"
        dataset.to_parquet(path)
    elif container == "folder of parquet":
        (path / "data").mkdir(parents=True)
        dataset.to_parquet(path / "data/validation-00000-of-00001.parquet")
        options = {"split": "validation"}
    elif container == "on disk":
        DatasetDict(train=dataset.select([0]), validation=dataset).save_to_disk(path)
        options = {"split": "validation"}
    else:
        dataset.save_to_disk(path)
    assert not is_corpus(str(path))
    source = open_source(str(path), **options)
    assert source.format == "questions"
    first, second = fields(source)
    assert first == {
        "question": "What is in the motorcyclist's mouth?", "options": A_OKVQA["choices"][0], "answer": "cigarette",
        "answer_index": 3,
    }  # fmt: skip
    assert (second["answer"], second["answer_index"]) == ("1", 1)
    (picture,) = source.read(source.records[0]).pictures
    content = picture if isinstance(picture, bytes) else picture.read_bytes()
    assert content == photos[0].read_bytes()


def test_a_name_goes_to_the_hub_with_its_config_and_split(photos, monkeypatch):
    asked = []
    monkeypatch.setattr(
        sources, "load_dataset", lambda *name, **options: asked.append((*name, options)) or a_okvqa(photos)
    )
    assert open_source("HuggingFaceM4/A-OKVQA:default", split="validation").name == "HuggingFaceM4/A-OKVQA"
    assert open_source("lmms-lab/multimodal").name == "lmms-lab/multimodal"
    assert asked == [
        ("HuggingFaceM4/A-OKVQA", "default", {"split": "validation"}),
        ("lmms-lab/multimodal", None, {"split": "train"}),
    ]  # fmt: skip


def test_a_hub_out_of_reach_is_told_as_such(monkeypatch):
    def unreachable(*name, **options):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(sources, "load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"owner/name is no file or folder here, .* Couldn't reach"):
        open_source("owner/name")


def said(role="from", content="value", human="human", gpt="gpt"):
    return [{role: human, content: "Which?"}, {role: gpt, content: "a hat"}]


@pytest.mark.parametrize(
    ("name", "record", "format"),
    [
        ("a.jsonl", {"image": "x.png", "conversations": said()}, "vlm-r1"),
        ("a.json", {"image": "x.png", "conversations": said()}, "vlm-r1"),
        ("a.json", {"images": ["x.png"], "conversations": said()}, "llama-factory"),
        (
            "a.json",
            {"images": ["x.png"], "conversations": said("role", "content", "user", "assistant")},
            "llama-factory",
        ),
        ("a.jsonl", {"images": ["x.png"], "messages": said("role", "content", "user", "assistant")}, "llama-factory"),
        ("a.jsonl", {"image": "x.png", "prompt": "Which?", "completion": "a hat"}, "trl"),
        ("a.jsonl", {"image": "x.png", "problem": "Which?", "solution": "a hat"}, "questions"),
    ],
)
def test_formats_are_told_by_their_keys(tmp_path, name, record, format):
    (tmp_path / name).write_text(json.dumps([record] if name.endswith(".json") else record))
    source = open_source(str(tmp_path / name))
    assert (source.format, source.name) == (format, "a")
    (record,) = map(source.read, source.records)
    assert (record.prompt, record.answer) == ("Which?", "a hat")
    assert record.pictures == (tmp_path / "x.png",)


def test_llama_factorys_list_names_columns_and_tags(tmp_path):
    spoken = [{"by": "sys", "says": "Be brief."}, {"by": "me", "says": "<image>Which?"}, {"by": "it", "says": "a hat"}]
    (tmp_path / "mine.json").write_text(json.dumps([{"talk": spoken, "shown": ["x.png"]}]))
    tags = {"role_tag": "by", "content_tag": "says", "user_tag": "me", "assistant_tag": "it", "system_tag": "sys"}
    listed = {
        "mine": {"file_name": "mine.json", "formatting": "sharegpt", "tags": tags}
        | {"columns": {"messages": "talk", "images": "shown"}},
        "words": {"file_name": "words.json"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(listed))
    for source, options in ((tmp_path, {"dataset": "mine"}), (tmp_path / "mine.json", {})):
        opened = open_source(str(source), **options)
        record = opened.read(opened.records[0])
        assert (record.prompt, record.answer, record.pictures) == ("Which?", "a hat", (tmp_path / "x.png",))
    assert not is_corpus(str(tmp_path))
    with pytest.raises(ValueError, match="lists mine, words; choose one with --dataset"):
        open_source(str(tmp_path))
    with pytest.raises(ValueError, match="words is of the formatting 'alpaca'"):
        open_source(str(tmp_path), dataset="words")


@pytest.mark.parametrize(
    ("name", "content", "options", "reason"),
    [
        ("a.jsonl", '{"image": "x.png", "caption": "y"}\n', {}, "have image, caption. Give --format"),
        ("a.jsonl", '{"question": "?"}\n{"question', {}, "line 2: not a JSON object"),
        ("a.jsonl", "", {}, "holds no records"),
        ("a.jsonl", '{"question": "?"}\n', {"split": "test"}, "--split chooses"),
        ("a.jsonl", '{"question": "?"}\n', {"dataset": "mine"}, "--dataset names an entry"),
        ("a.jsonl", '{"prompt": "?"}\n', {"columns": {"question": "prompt"}, "format": "trl"}, "--columns is for"),
        ("a.json", '{"question": "?"}', {}, "must be a list of records"),
        ("a.csv", "question\n?\n", {}, "none of .jsonl, .json and .parquet"),
        ("a.json", '[{"question"', {}, r"a\.json is no JSON in UTF-8"),
        ("a.jsonl", "\xff\xfe", {}, r"a\.jsonl, line 1: not a JSON object"),
        ("dataset_info.json", "{words}", {}, r"dataset_info\.json is no JSON"),
        ("dataset_info.json", "[]", {}, r"dataset_info\.json is to hold entries by their names"),
    ],
)
def test_a_source_that_cannot_be_opened_says_what_to_do(tmp_path, name, content, options, reason):
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=reason):
        open_source(str(tmp_path / name), **options)


def test_folders_are_told_apart(tmp_path, photos, questions):
    assert is_corpus(str(photos[0].parent))
    assert not is_corpus(str(tmp_path / "nowhere"))
    assert not is_corpus(str(tmp_path))  # its table asks questions
    write_lines(tmp_path / "more.jsonl", [{"image": "a.png", "question": "?"}])
    with pytest.raises(ValueError, match=r"name the file that holds the records .*more\.jsonl, questions\.jsonl"):
        open_source(str(tmp_path))
    with pytest.raises(ValueError, match="there is no file or folder"):
        open_source(str(tmp_path / "nowhere.jsonl"))
    a_okvqa(photos).save_to_disk(tmp_path / "disk")
    with pytest.raises(ValueError, match="--split chooses"):
        open_source(str(tmp_path / "disk"), split="validation")


# --- samples of records ---


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_records_become_samples_and_what_cannot_says_why(questions, photos, tmp_path):
    out = tmp_path / "out"
    table = synthesize.synthesize(questions, out, size=64, seed=3, types=(1, 3), workers=1)
    rows = {row["id"]: row for row in read_table(table)}
    assert "photos/2.png is broken" in rows[2]["error"] and "'c' is none of its options" in rows[5]["error"]
    for number in (0, 1, 3, 4):
        row = rows[number]
        clean, degraded = (Pictures.open(out / row[name]).convert("RGB") for name in ("clean", "image"))
        assert clean.size == (64, 48)
        assert np.array_equal(degrade(np.asarray(clean), row["recipe"], row["seed"]), np.asarray(degraded))
        assert row["made_of"][0] == str(photos[1 if number == 4 else number])
    assert {name: rows[0][name] for name in ("question", "options", "answer", "answer_index", "source", "kind")} == {
        "question": "Which?", "options": ["a", "b"], "answer": "b", "answer_index": 1, "source": "questions",
        "kind": "other",
    }  # fmt: skip
    assert (rows[4]["source"], rows[4]["more_images"]) == ("pairs", ["more/000004_1.png"])
    with Pictures.open(photos[3]) as third, Pictures.open(out / "more/000004_1.png") as kept:
        assert np.array_equal(np.asarray(kept), np.asarray(third.resize((64, 48), Pictures.Resampling.LANCZOS)))


def test_records_go_on_after_a_kill_and_are_tried_again(questions, photos, tmp_path):
    broken, whole, cut = photos[2].read_bytes(), tmp_path / "whole", tmp_path / "cut"
    table = synthesize.synthesize(questions, cut, count=3, workers=1)
    assert [("error" in row) for row in read_table(table)] == [False, False, True]
    table.write_text(table.read_text()[:-200])
    photos[2].write_bytes(photos[1].read_bytes())
    synthesize.synthesize(questions, cut, workers=2)
    synthesize.synthesize(questions, whole, workers=1)
    assert tree(cut) == tree(whole)
    assert broken != photos[2].read_bytes() and sum("error" in row for row in read_table(table)) == 1
    with pytest.raises(OtherRunError, match="seed was 0 and is now 1"):
        synthesize.synthesize(questions, cut, seed=1)


def test_nothing_is_degraded_twice(photos, tmp_path):
    chain = format_chain(Recipe.parse("graffiti(0.5)"), "A", "B", "C", "a hat")
    question = {"image": str(photos[0]), "question": "Which?"}
    rows = [question | {"answer": chain}, question | {"answer": "a hat", "recipe": "graffiti(0.5)"}]
    rows += [question | {"answer": "a hat", "recipe": "none"}]
    made = list(read_table(synthesize.synthesize(write_lines(tmp_path / "q.jsonl", rows), tmp_path / "out", workers=1)))
    assert ["--as-is" in row.get("error", "") for row in made] == [True, True, False]


def test_three_copies_by_the_published_protocol(photos, tmp_path):
    rows = [{"image": str(photos[number % 2]), "question": "Which?", "answer": "noise"} for number in range(8)]
    source, out = write_lines(tmp_path / "q.jsonl", rows), tmp_path / "out"
    made = list(read_table(synthesize.synthesize(source, out, size=48, seed=5, copies=True, workers=1)))
    stages = []
    for row in made:
        (name,) = Recipe.parse(row["recipe"])
        assert name == dealt_type(5, row["id"])
        assert row["recipe"] == f"{name}(0.9)" and row["copies"]["100"] == row["image"]
        assert row["copies"].keys() == COPIES.keys()
        clean = np.asarray(Pictures.open(out / row["clean"]).convert("RGB"))
        for copy, intensity in (("25", 0.23), ("50", 0.45), ("100", 0.9)):
            degraded = np.asarray(Pictures.open(out / row["copies"][copy]).convert("RGB"))
            assert np.array_equal(degrade(clean, {name: intensity}, row["seed"]), degraded)
        stages.append(REGISTRY[name].stage)
    assert all(len(set(four)) == 4 for four in (stages[:4], stages[4:]))


# --- the command line ---


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["synthesize", *map(str, arguments)])
    return synthesize.main()


def test_the_command_counts_what_it_could_not_use(questions, tmp_path, monkeypatch, capsys):
    arguments = ("--columns", "question=question", "answer=answer", "--workers", "1", "--size", "32")
    assert run(monkeypatch, questions, tmp_path / "out", *arguments) == 1
    told = capsys.readouterr()
    assert "Not done: 2 of 6 records." in told.err and "record 5: its answer 'c'" in told.err
    assert told.out.endswith("samples.jsonl: 4 samples\n")
    assert run(monkeypatch, questions, tmp_path / "taken", "--as-is") == 1
    assert "Not done: 6 of 6 records." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["photos", "out", "--count", "1", "--split", "test"],
            "--split of train, development, validation, not 1 and test",
        ),
        (["photos", "out"], "a corpus takes --count"),
        (["questions.jsonl", "out", "--copies", "--types", "1", "2"], "--copies is one type"),
        (["questions.jsonl", "out", "--prompt-file", "nowhere.txt"], "nowhere.txt"),
        (["questions.jsonl", "out", "--prompt-file", "questions.jsonl"], "needs the placeholder {question}"),
        (["questions.jsonl", "out", "--count", "-5"], "--count must be at least 1, not -5"),
        (["questions.jsonl", "out", "--size", "0"], "--size must be at least 1, not 0"),
        (["questions.jsonl", "out", "--workers", "0"], "--workers must be at least 1, not 0"),
        (["questions.jsonl", "out", "--open-share", "3"], "--open-share lies in 0..1, not 3.0"),
        (["questions.jsonl", "out", "--types", "4", "0"], "count must be a range within 0..16"),
        (["questions.jsonl", "out", "--intensity", "0", "1"], "intensity must be a range within (0, 1]"),
    ],
)
def test_the_command_says_what_is_wrong(questions, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
