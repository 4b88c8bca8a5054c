"""What a run says about itself, for any stage."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import TrainerState

from degradations.jobs import OtherRunError
from training import record
from training.record import Clock, Run


class Kind(Enum):
    PLAIN = "plain"
    FANCY = "fancy"


@dataclass
class Arguments:
    samples: Path = Path("data")
    rate: float = 0.1
    kind: Kind = Kind.PLAIN
    parts: list[float] = field(default_factory=lambda: [0.0, 1.0])
    names: list[str] | None = None
    hub_token: str | None = None
    logging_steps: int = 10
    length: int | None = 512


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"id": 0}\n')
    return path


def run_of(data: Path, **options) -> Run:
    return Run.of("SFT", [Arguments(**options)], [data], "some/base")


def state(*log: dict) -> TrainerState:
    return TrainerState(global_step=2, max_steps=4, log_history=list(log))


def test_settings_are_what_differs_from_the_defaults(data):
    options = {"samples": Path("x"), "kind": Kind.FANCY, "parts": [0.0, 0.5], "hub_token": "hf_secret", "length": None}
    settings = run_of(data, **options, names=[]).settings
    assert settings == {"samples": "x", "kind": "fancy", "parts": [0.0, 0.5], "length": None}
    assert run_of(data).settings == {}


def test_figures_are_means_of_the_first_and_the_last_tenth():
    log = [{"loss": float(n), "step": n, "learning_rate": 0.1} for n in range(20)]
    log += [{"r_deg": 0.5, "note": "x"}, {"train_runtime": 7.0, "hours": 1.0}]
    assert record.figures(log).splitlines()[2:] == ["| loss | 0.5 | 18.5 |", "| r_deg | 0.5 | 0.5 |"]
    assert record.figures([{"step": 1}]) == ""


def test_a_card_says_what_was_done(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--hub_token", "hf_one", "--hub_token=hf_two", "--rate", "0.2"])
    run_of(data, rate=0.2).write_card(tmp_path, state({"loss": 2.0, "hours": 1.5}), "peft")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.to_dict() == {
        "base_model": "some/base", "library_name": "peft", "pipeline_tag": "image-text-to-text",
        "tags": ["degradation", "visual-reasoning", "sft", "lora"],
    }  # fmt: skip
    for said in ("2 of 4 steps", "an adapter on `some/base`", "| hours | 1.50 |", "| loss | 2 | 2 |", "rate: 0.2",
                 run_of(data).sha256, "--model some/base --adapter"):  # fmt: skip
        assert said in card.text
    assert (
        "hf_one" not in card.text and "hf_two" not in card.text and "--hub_token HIDDEN --hub_token=HIDDEN" in card.text
    )


def test_the_hash_is_that_of_the_tables(data, tmp_path):
    other = tmp_path / "chains.jsonl"
    other.write_text("x")
    both = Run.of("SFT", [], [data, other], "base")
    assert both.sha256 == hashlib.sha256(b'{"id": 0}\nx').hexdigest()
    with pytest.raises(FileNotFoundError):
        Run.of("SFT", [], [tmp_path / "missing.jsonl"], "base")


def test_the_commit_is_told_with_changes_or_that_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record.commit() == "not in a git tree"

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert record.commit() == head
    (tmp_path / "code.py").write_text("2")
    assert record.commit() == f"{head} with uncommitted changes"


def test_hours_go_on_where_a_run_was_killed(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(record.time, "monotonic", lambda: now[0])
    clock, before = Clock(), state({"loss": 1.0, "hours": 2.0})
    clock.on_train_begin(None, before, None)
    now[0] += 1800
    before.log_history.append({"loss": 0.9})
    clock.on_log(None, before, None)
    assert before.log_history[-1]["hours"] == pytest.approx(2.5)
    assert record.hours(before) == pytest.approx(2.5) and record.hours(state()) == 0


def test_a_folder_is_one_runs(data, tmp_path):
    folder = tmp_path / "run"
    with run_of(data, rate=0.2).alone_in(folder):
        pass
    with run_of(data, rate=0.2, logging_steps=3).alone_in(folder):  # of no influence on what is learned
        pass
    with pytest.raises(OtherRunError, match=r"rate was 0\.2 and is now null"), run_of(data).alone_in(folder):
        pass
    data.write_text('{"id": 1}\n')
    with pytest.raises(OtherRunError, match="sha256"), run_of(data, rate=0.2).alone_in(folder):
        pass
