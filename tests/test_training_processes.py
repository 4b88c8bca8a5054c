"""SFT and GRPO in processes of their own: killed and started again; two at once, each on half of the data (gloo)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import tiny
from tests.trainer_runs import LORA, log_of, one_thread, train  # noqa: F401  (a fixture)

ROOT = Path(__file__).resolve().parent.parent
ADAPTER = LORA | {"lora_dropout": 0.0}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """The settings of all runs; three steps of four rows (GRPO: of two questions) are an epoch, and five a run."""
    base, samples = tiny.qwen(tmp_path_factory.mktemp("base")), tiny.samples(tmp_path_factory.mktemp("samples"), 12)
    return {"samples": str(samples), "model_name_or_path": str(base)}


def start(runs: list[dict], *launcher: str) -> subprocess.Popen:
    command = [sys.executable, *launcher, "-m", "tests.trainer_runs", json.dumps(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def approximately(log: list[dict]) -> list:
    return [pytest.approx(line, rel=1e-4, abs=1e-6) for line in log]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(common, tmp_path):
    """Killed in the midst of writing a checkpoint; the same command then goes on from the one before."""
    runs = {
        "sft": common | LORA | {"save_steps": 2},
        "grpo": common | LORA | {"save_steps": 2, "limit": 6},
    }
    killed = {
        stage: start([options | {"stage": stage, "output_dir": str(tmp_path / stage), "killed_at": 4}])
        for stage, options in runs.items()
    }
    for stage, options in runs.items():
        whole = train(stage, **options, output_dir=tmp_path / f"{stage}-whole")
        output, _ = killed[stage].communicate()
        assert killed[stage].returncode == -signal.SIGKILL, output.decode()
        torn = tmp_path / stage / "checkpoint-4"
        assert (torn / "optimizer.pt").exists() and not (torn / "trainer_state.json").exists()
        resumed = train(stage, **options, output_dir=tmp_path / stage)
        assert len(log_of(whole)) == 5
        assert log_of(resumed) == approximately(log_of(whole))


def test_two_processes_train_as_one_and_go_on_where_they_were(common, tmp_path):
    half = {"per_device_train_batch_size": 2}
    runs = [
        common | ADAPTER | half | {"stage": "sft", "output_dir": str(tmp_path / "sft")},
        common | LORA | half | {"stage": "sft", "output_dir": str(tmp_path / "sft-whole"), "limit": 8},
        common | LORA | half | {"stage": "sft", "output_dir": str(tmp_path / "sft-resumed"), "limit": 8},
        common | ADAPTER | half | {"stage": "grpo", "output_dir": str(tmp_path / "grpo-whole"), "limit": 4},
        common | ADAPTER | half | {"stage": "grpo", "output_dir": str(tmp_path / "grpo-resumed"), "limit": 4},
    ]
    for run in runs:
        if "resumed" in run["output_dir"]:
            run["whole"] = run["output_dir"].replace("resumed", "whole")
        if run["stage"] == "grpo":
            run |= {"log_completions": True, "num_completions_to_print": 0, "cache_features": True}
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2")
    two = start(runs, *launcher, "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no")
    alone = train("sft", **common, **ADAPTER, output_dir=tmp_path / "alone")
    output, _ = two.communicate()
    assert two.returncode == 0, output.decode()
    assert "| processes | 2 on cpu |" in (tmp_path / "sft" / "README.md").read_text()
    assert log_of(tmp_path / "sft") == approximately(log_of(alone))
    for stage in ("sft", "grpo"):  # in the midst of the second epoch
        assert len(log_of(tmp_path / f"{stage}-whole")) == 5
        assert log_of(tmp_path / f"{stage}-resumed") == approximately(log_of(tmp_path / f"{stage}-whole"))
    table = pd.read_parquet(tmp_path / "grpo-whole" / "completions" / "completions_00001.parquet")
    assert len(table) == 4 and table["id"].nunique() == 2  # both processes' completions
    assert table["completion"].astype(str).nunique() == 4  # each process draws its own
