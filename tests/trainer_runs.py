"""Short runs of the stages, in this process or as a script in processes of their own."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from transformers import Trainer

from training import grpo, perceive, pretrain, recover_align, recover_decoder, recover_sft, sft

STAGES = (perceive, pretrain, sft, grpo, recover_sft, recover_align, recover_decoder)
MAINS = {module.__name__.split(".")[1]: module.main for module in STAGES}
QUICK = {
    "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none", "disable_tqdm": True,
    "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 3, "max_steps": 5, "per_device_train_batch_size": 4,
}  # fmt: skip
LORA = {"use_peft": True, "lora_r": 4, "lora_target_modules": "all-linear", "lora_dropout": 0.1}
GROUPS = {"num_generations": 2, "max_completion_length": 6, "beta": 0.04, "disable_dropout": True}
TIMES = ("hours", "step_time")


@pytest.fixture(scope="module")
def one_thread():
    """As processes beside each other have it: sums in another order would be other sums; small ones are faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(stage: str, **options) -> Path:
    """Run a stage in this process as its command would; returns its output folder."""
    options = QUICK | (GROUPS if stage == "grpo" else {}) | options
    before, sys.argv = sys.argv, [f"training.{stage}", *words(options)]
    try:
        MAINS[stage]()
    finally:
        sys.argv = before
    return Path(options["output_dir"])


def words(options: dict) -> list[str]:
    """Options as the words of a command line."""
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", *(map(str, value) if isinstance(value, list | tuple) else [str(value)]))
    ]


def log_of(folder: Path) -> list[dict]:
    """What a run logged, step by step, without times; SFT's count of tokens begins anew when a run goes on."""
    lines = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    steps = [line for line in lines if "loss" in line]
    return [{k: v for k, v in line.items() if k not in (*TIMES, "num_tokens")} for line in steps]


def killed_at(step: int) -> None:
    """Have this process killed while it writes the checkpoint of a step: weights and optimizer are there, no more."""
    save = Trainer._save_rng_state

    def die(trainer: Trainer, folder: str) -> None:
        if trainer.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        save(trainer, folder)

    Trainer._save_rng_state = die


def begun(whole: Path, folder: Path, step: int) -> None:
    """Leave in a folder what a run that was killed after a step's checkpoint would have left there."""
    if PartialState().is_main_process:
        shutil.copytree(whole / f"checkpoint-{step}", folder / f"checkpoint-{step}")
        shutil.copy(whole / "run.json", folder / "run.json")
    PartialState().wait_for_everyone()


if __name__ == "__main__":
    for run in json.loads(sys.argv[1]):
        if "killed_at" in run:
            killed_at(run.pop("killed_at"))
        if "whole" in run:
            begun(Path(run.pop("whole")), Path(run["output_dir"]), step=3)
        train(**run)
    PartialState().destroy_process_group()
