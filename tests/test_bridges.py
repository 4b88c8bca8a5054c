"""The bridges to VLMEvalKit and lmms-eval, against minimal copies of their interfaces (tests/harnesses.py)."""

import json
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests import harnesses, tiny
from tests.pictures import picture
from training.bridges import answerer
from training.bridges.answerer import Answerer, question_of
from training.evaluation.extraction import vlmevalkit_choice

SAID = ["<TYPE>none<TYPE_END><ANSWER>1<ANSWER_END>", "<ANSWER>a cat", "<TYPE>none<TYPE_END> I do not know"]
"""One answer by index, one by words that breaks off, one that names no option."""

ROWS = [
    {"index": n, "question": question, "A": "hat", "B": "cat", "C": "dog"}
    for n, question in enumerate(("What is it?", "And here?", "And there?"))
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.fast_vlm(tmp_path_factory.mktemp("base"))


@pytest.fixture
def scripted(monkeypatch):
    """Answers as `SAID` has them, in turn; returns what was asked."""
    asked, answers = [], iter(SAID)

    def say(checkpoint, pictures, prompts, max_new_tokens):
        asked.append((prompts[0], [image.size for image in pictures[0]], max_new_tokens))
        return [next(answers)]

    monkeypatch.setattr(answerer.local, "say", say)
    return asked


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(picture(40, 48)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def rows_of(table: Path) -> list[dict]:
    return [json.loads(line) for line in table.read_text().splitlines()]


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("Question: Which?\nOptions:\nA. hat\nB. cat\nPlease select the correct answer from the options above. \n",
         "Question: Which?", ["hat", "cat"]),
        ("Which?\nA. hat\nB. cat\nAnswer with the option's letter from the given choices directly.", "Which?",
         ["hat", "cat"]),
        ("Which?\nOptions: A: a hat, B: two, three, C: dog", "Which?", ["a hat", "two, three", "dog"]),
        ("Which?\n0. hat\n1. cat", "Which?", ["hat", "cat"]),
        ("How many?\nA. Smith asks.", "How many?\nA. Smith asks.", []),
    ],
)  # fmt: skip
def test_a_harness_question_is_taken_apart(text, question, options):
    assert question_of(text) == (question, options)


def test_vlmevalkit_gets_letters_and_the_chains_are_kept(base, scripted, photo, tmp_path, monkeypatch):
    harnesses.vlmevalkit(monkeypatch, {"MMStar": "MCQ"})
    monkeypatch.delitem(sys.modules, "training.bridges.vlmevalkit", raising=False)
    bridge = import_module("training.bridges.vlmevalkit")
    model = bridge.RobustChain(str(base), raw=str(tmp_path / "raw" / "chains.jsonl"), max_new_tokens=7)
    predictions = harnesses.vlmevalkit_predictions(model, ROWS, "MMStar", lambda row: [photo])
    assert predictions == ["B", "B", ""]
    assert [vlmevalkit_choice(text, ["hat", "cat", "dog"]) for text in predictions] == ["B", "B", None]
    assert "What is it?\n0. hat\n1. cat\n2. dog\n" in scripted[0][0] and scripted[0][1:] == ([(48, 40)], 7)
    kept = rows_of(tmp_path / "raw" / "chains.jsonl")
    assert [row["text"] for row in kept] == SAID and [row["read"] for row in kept] == [True, True, False]
    assert (model.answerer.asked, model.answerer.unread) == (3, 1)
    assert {"robust-r1-rl", "robust-r1-sft", "embedded-robust"} == set(bridge.MODELS)
    monkeypatch.delitem(sys.modules, "training.bridges.vlmevalkit")


def test_every_process_keeps_its_chains_in_a_file_that_is_opened_once(base, scripted, tmp_path, monkeypatch):
    """Opening a table reads it: once an answer that would take longer and longer."""
    opened, appending = [], answerer.appending
    monkeypatch.setattr(answerer, "appending", lambda table: opened.append(table.name) or appending(table))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    asked = Answerer(str(base), raw=str(tmp_path / "c.jsonl"))
    for _ in range(3):
        asked.answer([Image.fromarray(picture(40, 48))], "What?\n0. hat\n1. cat")
    assert opened == ["c.1.jsonl"] and [row["text"] for row in rows_of(tmp_path / "c.1.jsonl")] == SAID


def test_vlmevalkits_own_wording_is_read_as_well(base, scripted, photo, monkeypatch):
    """A data set of another type words its questions itself."""
    harnesses.vlmevalkit(monkeypatch, {})
    monkeypatch.delitem(sys.modules, "training.bridges.vlmevalkit", raising=False)
    model = import_module("training.bridges.vlmevalkit").RobustChain(str(base))
    assert harnesses.vlmevalkit_predictions(model, ROWS, "Other", lambda row: [photo]) == ["B", "B", ""]
    assert "Question: What is it?\n0. hat\n1. cat\n2. dog\n" in scripted[0][0]
    assert "options above" not in scripted[0][0]
    monkeypatch.delitem(sys.modules, "training.bridges.vlmevalkit")


def test_lmms_eval_gets_letters_by_its_entry_point(base, scripted, tmp_path, monkeypatch):
    harnesses.lmms_eval(monkeypatch)
    monkeypatch.delitem(sys.modules, "training.bridges.lmms_eval", raising=False)
    plugin = tomllib.loads(Path("training/bridges/lmms_plugin/pyproject.toml").read_text())
    ((name, target),) = plugin["project"]["entry-points"]["lmms_eval.models"].items()
    module, function = target.split(":")
    manifest = getattr(import_module(module), function)()
    assert manifest.model_id == name
    path, _, kind = manifest.simple_class_path.rpartition(".")
    model = getattr(import_module(path), kind)(str(base), raw=str(tmp_path / "c.jsonl"), batch_size=1, device="cuda")
    assert isinstance(model, harnesses.Lmms) and model.is_simple
    documents = [{**row, "image": Image.fromarray(picture(40, 48)).convert("L")} for row in ROWS]

    def word(row: dict) -> str:
        options = "".join(f"{letter}. {row[letter]}\n" for letter in "ABC")
        return f"{row['question']}\n{options}Answer with the option's letter from the given choices directly."

    requests = harnesses.lmms_requests(model, "mmstar", documents, word)
    assert model.generate_until(requests) == ["B", "B", ""]
    assert scripted[0][2] == 1024  # not the 16 tokens that the task asks for
    assert [row["place"] for row in rows_of(tmp_path / "c.jsonl")] == [f"mmstar test {n}" for n in range(3)]
    with pytest.raises(NotImplementedError, match="likelihoods"):
        model.loglikelihood(requests)
    monkeypatch.delitem(sys.modules, "training.bridges.lmms_eval")


def test_the_shipped_yaml_names_what_is_there():
    (run,) = yaml.safe_load(Path("training/configs/lmms_eval.yaml").read_text())
    told = dict(pair.split("=") for pair in run["model_args"].split(","))
    assert run["model"] == "robust_chain" and all(
        Path(told[name]).exists() for name in ("pretrained", "adapter", "prompt_file")
    )


def test_a_real_model_answers_through_it(base, tmp_path):
    asked = Answerer(str(base), max_new_tokens=4, raw=str(tmp_path / "c.jsonl"))
    image = Image.fromarray(picture(224, 224))
    asked.answer([image], "What?\n0. hat\n1. cat")
    (row,) = rows_of(tmp_path / "c.jsonl")
    assert row["options"] == ["hat", "cat"] and row["prompt"].startswith("What?\n0. hat\n1. cat\nBefore you answer")
    assert asked.asked == 1 and row["read"] == (asked.unread == 0)
