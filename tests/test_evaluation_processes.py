"""One evaluation in processes of its own: killed, gone on with by two processes at once; the answers are one's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.trainer_runs import one_thread  # noqa: F401  (a fixture)
from training import evaluate

ROOT = Path(__file__).resolve().parent.parent
TWO = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]

pytestmark = pytest.mark.usefixtures("one_thread")


def start(words: list[str], *launcher: str) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, *launcher, "-m", "training.evaluate", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def answers(folder: Path) -> dict[str, str]:
    table = folder / "answers.jsonl"
    lines = table.read_bytes().splitlines(keepends=True) if table.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert len({row["key"] for row in rows}) == len(rows), "an answer is stored twice"
    return {row["key"]: row["text"] for row in rows}


def test_a_killed_run_is_finished_by_two_processes(tmp_path, monkeypatch):
    base, samples = tiny.fast_vlm(tmp_path / "base"), tiny.samples(tmp_path / "samples", 6)
    adapter = tiny.adapter(base, tmp_path / "adapter")
    words = ["--side", f"baseline={base}", "--side", f"robust={base}+{adapter}", "--samples", str(samples)]
    words += ["--max-new-tokens", "24", "--batch-size", "2", "--output"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *words, str(tmp_path / "whole")])
    assert evaluate.main() == 0
    whole = answers(tmp_path / "whole")

    killed = start([*words, str(tmp_path / "out")])
    deadline = time.monotonic() + 1200
    while len(answers(tmp_path / "out")) < 2:
        assert killed.poll() is None and time.monotonic() < deadline, killed.communicate()[0].decode()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    some = answers(tmp_path / "out")
    assert 2 <= len(some) < len(whole) and some.items() <= whole.items()

    both = start([*words, str(tmp_path / "out")], *TWO)
    output, _ = both.communicate(timeout=1800)
    assert both.returncode == 0, output.decode()
    assert answers(tmp_path / "out") == whole and not list((tmp_path / "out").glob("answers.*.jsonl"))
    found, expected = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("out", "whole"))
    assert found["hashes"] == expected["hashes"]
    assert (
        found["sets"]["samples"]["sides"]["robust"]["tokens"]
        == expected["sets"]["samples"]["sides"]["robust"]["tokens"]
    )
