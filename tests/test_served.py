"""Sides behind endpoints and judges: concurrency, retries, faults, going on; every answer paid once."""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tests.answering_endpoint import AnsweringEndpoint
from tests.pictures import picture
from tests.test_sets import RBENCH_ROWS, png
from training import evaluate
from training.evaluation.judge import JUDGEMENTS, read_grade
from training.evaluation.measuring import ANSWERS, RESULTS
from training.evaluation.rbench import ITEMS


@pytest.fixture
def bench(tmp_path) -> Path:
    """R-Bench in small: one item a task; the distorted picture is another one."""
    rows = [
        row | {"ref_image": {"bytes": png(k), "path": None}, "dis_image": {"bytes": png(k + 10), "path": None}}
        for k, row in enumerate(RBENCH_ROWS)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "bench.parquet")
    return tmp_path / "bench.parquet"


@pytest.fixture
def run(monkeypatch, tmp_path, bench):
    """Runs the command on R-Bench in small; returns its exit status and results."""

    def command(*words: object) -> tuple[int, dict]:
        told = ["--set", f"bench={bench}", "--output", tmp_path / "out", "--retries", 0, *words]
        monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, told)])
        status = evaluate.main()
        file = tmp_path / "out" / RESULTS
        return status, json.loads(file.read_text()) if file.exists() else {}

    return command


def model(prompt: str, pictures: list, before: int) -> str:
    """Right about the reference pictures; about the distorted ones right about the metal only."""
    clean = (np.asarray(pictures[0])[0, 0] == np.asarray(reference(prompt))[0, 0]).all()
    if prompt.startswith("What?"):
        return "B" if clean else "A"
    return "steel" if prompt.startswith("Which metal?") else "A cat sits." if clean else "Nothing."


def reference(prompt: str) -> np.ndarray:
    return picture(40, 48, seed=["What?", "Which", "Descr"].index(prompt[:5]))


def judge(prompt: str, pictures: list, before: int) -> str:
    assert not pictures
    wanted = re.search(r"(?:reference answer|the reference): (.*)", prompt)[1]
    said = re.search(r"response: (.*)", prompt)[1]
    return f"Score: {2 if said == wanted else int(said.startswith('A cat'))}"


def test_a_side_behind_an_endpoint_is_asked_and_judged(run, tmp_path):
    with AnsweringEndpoint(model, delay=0.05) as served, AnsweringEndpoint(judge) as graded:
        words = ["--side", f"m=vlm@{served.url}:letters", "--judge", f"llm@{graded.url}", "--concurrency", 4]
        status, results = run(*words)
        assert status == 0 and served.most_open > 1
        assert sum(served.asked.values()) == 6 and served.bodies[0]["temperature"] == 0
        assert "What?\nA. cat\nB. dog\nAnswer with the letter of the right option alone." in served.asked
        assert "Which metal?\nAnswer in at most 10 words." in served.asked and "Describe." in served.asked
        # Five judgements of "steel", which is what both answers, the reference and the clean answer say; one of each
        # description by each of two captions; of the agreement of the two descriptions four more.
        paid = sum(graded.asked.values())
        assert paid == 5 + 2 + 2 + 4
        assert run(*words)[1] == results
        assert sum(served.asked.values()) == 6 and sum(graded.asked.values()) == paid
    own = results["sets"]["bench"]
    assert own["states"] == ["clean", "degraded"]
    judged, proxied = own["R-Bench"]["judge's grade"]["m"], own["R-Bench"]["proxy grade (word overlap)"]["m"]
    value = {name: found["value"] for name, found in judged["absolute"]["cell"].items()}
    assert (value["MCQ mid"], value["VQA high"], value["CAP low"], value["CAP mid"]) == (0, 1, 0, None)
    assert judged["relative"]["overall"][ITEMS]["value"] == pytest.approx(1 / 3)
    assert proxied["absolute"]["cell"]["VQA high"]["value"] == 1
    assert own["sides"]["m"]["judge's grade, clean"]["value"] == pytest.approx((1 + 0.75) / 2)
    stored = [json.loads(line) for line in (tmp_path / "out" / ANSWERS).read_text().splitlines()]
    assert all(row["seconds"] >= 0.05 and row["tokens"] > 0 and row["prompt"] for row in stored)
    text = (tmp_path / "out" / "results.md").read_text()
    assert "questions without options by judge's grade" in text and "Robust-R1 SFT+RL (published)" in text
    assert "0.5017" in text and "0.5017" in (tmp_path / "out" / "results.tex").read_text()
    # Measured again from what is stored, with neither endpoint there.
    (tmp_path / "out" / RESULTS).unlink()
    status, again = run("--rescore")
    assert status == 0 and again["sets"] == results["sets"] and again["hashes"] == results["hashes"]
    assert again["judge"] == results["judge"] == "llm"
    # A judgement that was never asked for leaves its answer without a grade; one that cannot be read does not count.
    table = tmp_path / "out" / JUDGEMENTS
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    prompt = next(prompt for prompt in graded.asked if "Which metal?" in prompt)
    key = hashlib.sha256(json.dumps(["llm", prompt, 0]).encode()).hexdigest()[:16]
    place = [row["key"] for row in rows].index(key)
    table.write_text("".join(json.dumps(row) + "\n" for row in rows[:place] + rows[place + 1 :]))
    assert run("--rescore")[1]["sets"]["bench"]["R-Bench"]["judge's grade"]["m"] is None
    rows[place] |= {"grade": None}
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("--rescore")[1]["sets"] == results["sets"]


def test_two_sides_on_r_bench_are_compared(run, tmp_path):
    with AnsweringEndpoint(model) as good, AnsweringEndpoint(lambda *_: "I cannot say.") as bad:
        sides = ["--side", f"bad=vlm2@{bad.url}:letters", "--side", f"good=vlm@{good.url}:letters"]
        status, results = run(*sides)
    less = results["sets"]["bench"]["R-Bench, differences"]["proxy grade (word overlap)"]["good - bad"]
    assert status == 0 and less["absolute"]["cell"]["VQA high"]["value"] == 1
    assert 0 < less["relative"]["overall"][ITEMS]["p"] <= 1
    text = (tmp_path / "out" / "results.md").read_text()
    assert "Absolute robustness, proxy grade (word overlap): good less each other side" in text


def test_what_was_answered_before_a_fault_is_kept(run, tmp_path):
    down = True

    def answer(prompt: str, pictures: list, before: int):
        return (503, "overloaded") if down and prompt.startswith("Describe") else model(prompt, pictures, before)

    with AnsweringEndpoint(answer) as served:
        words = ["--side", f"m=vlm@{served.url}:letters", "--concurrency", 1]
        assert run(*words)[0] == 2
        stored = (tmp_path / "out" / ANSWERS).read_text().splitlines()
        assert len(stored) == 4 and not (tmp_path / "out" / RESULTS).exists()
        down = False
        assert run(*words)[0] == 0
        assert served.asked["Which metal?\nAnswer in at most 10 words."] == 2  # both states, once each
        assert len((tmp_path / "out" / ANSWERS).read_text().splitlines()) == 6


def test_a_key_is_sent_and_never_told(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MY_KEY", "secret-key")
    with AnsweringEndpoint(lambda *_: (401, "no secret-key here")) as served:
        words = ["--side", f"m=vlm@{served.url}:letters", "--api-key-env", "MY_KEY"]
        assert run(*words)[0] == 2
        assert served.keys == {"Bearer secret-key"}
    error = capsys.readouterr().err
    assert "the API key is missing or wrong" in error and "secret-key" not in error
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"secret-key" in path.read_bytes()]
    assert run("--side", "m=vlm@http://x/v1", "--api-key-env", "NO_KEY")[0] == 2
    assert "the environment has no NO_KEY" in capsys.readouterr().err


def test_an_endpoint_without_answers_is_not_asked_on(run, capsys):
    with AnsweringEndpoint(lambda *_: {"choices": []}) as served:
        assert run("--side", f"m=vlm@{served.url}:letters", "--concurrency", 1)[0] == 2
        assert sum(served.asked.values()) == 3  # of six
    assert "to 3 questions in succession (its responses hold no answer)" in capsys.readouterr().err


def test_a_refusal_is_what_the_model_said(run, tmp_path):
    refusing = {"message": {"content": None, "refusal": "I cannot."}}
    with AnsweringEndpoint(lambda *_: dict(refusing)) as served:
        status, results = run("--side", f"m=vlm@{served.url}:letters")
    assert status == 0 and results["sets"]["bench"]["sides"]["m"]["no option named, clean"]["value"] == 1
    stored = (tmp_path / "out" / ANSWERS).read_text().splitlines()
    assert {json.loads(line)["text"] for line in stored} == {"I cannot."}


@pytest.mark.parametrize(
    ("text", "grade"),
    [("Score: 2", 1.0), ("score:1", 0.5), ("0", 0.0), ("Score: 1/2", 0.5), ("I say 1 out of 2.", 0.5),
     ("Score: 1 (on a scale from 0 to 2)", 0.5), ("**Score:** 2\nAs 1 of the parts is there.", 1.0),
     ("Score: 2.0", 1.0), ("Score: 12", None), ("Score: 1.5, as 2 of 3 are there", None),
      ("great", None), ("0.5", None), ("", None), ("From 0 to 2 it is 1", 0.5)],
)  # fmt: skip
def test_a_grade_is_read(text, grade):
    assert read_grade(text) == grade


def test_a_judge_that_cannot_be_read_leaves_answers_without_a_grade(run):
    with AnsweringEndpoint(model) as served, AnsweringEndpoint(lambda *_: "Very good.") as graded:
        words = ["--side", f"m=vlm@{served.url}:letters", "--judge", f"llm@{graded.url}"]
        status, results = run(*words)
        assert status == 0 and set(graded.asked.values()) <= {3, 15}  # three times each
        paid = graded.asked.copy()
        assert run(*words)[0] == 0 and graded.asked == paid  # and not again
    own = results["sets"]["bench"]
    assert own["R-Bench"]["judge's grade"]["m"] is None
    assert not [name for name in own["sides"]["m"] if name.startswith("judge's grade")]
