"""What a training run says about itself: one folder one run, its hours, and the model card that it fills in.

Every stage uses it the same way::

    run = Run.of("SFT", (arguments, training, model_config), data=[samples / "samples.jsonl"], start="runs/base")
    with run.alone_in(training.output_dir):                  # before anything is written there
        trainer = Trainer(..., callbacks=[Clock()])
        ...
        run.write_card(training.output_dir, trainer.state)   # at the end, and as often as wanted before
"""

import dataclasses
import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from huggingface_hub import HfApi, ModelCard, ModelCardData
from transformers import TrainerCallback, TrainerState, TrainingArguments

from degradations import jobs

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")

ASIDE = (
    "output_dir", "log", "report_to", "run_name", "project", "trackio", "disable_tqdm", "save", "eval", "push_to_hub",
    "hub", "dataloader", "use_cpu", "num_completions_to_print", "ddp_", "local_rank",
)  # fmt: skip
"""Beginnings of the names of settings that change nothing in what is learned: a run may be resumed with others."""

LOCK = "_lock"
"""Folder that a running process holds; the trainers push nothing to the Hub that begins with an underscore."""

SECRET = "hub_token"
"""End of the names of settings that nobody is told."""

UNPUBLISHED = ("_*", "checkpoint-*", "*.f16")
"""What stays here of a folder that is pushed: the lock, checkpoints, cached features."""

UNTOLD = ("step", "epoch", "hours", "learning_rate", "num_tokens", "total_flos", "step_time")
"""Columns of the log that are no figures, beside those that begin with ``train_``."""


@dataclass(frozen=True)
class Run:
    """One run of one stage.

    Attributes:
        stage: the stage's name, as the card's heading has it.
        settings: name -> value of everything that was not left at its default, as JSON can hold it.
        data: the tables that were trained on.
        sha256: of these tables, one after the other.
        start: the model that the run began with: a Hub name or a folder.
        commit: the code's git commit when the process started, whether it was changed since; or that there is none.
    """

    stage: str
    settings: dict[str, Any]
    data: tuple[str, ...]
    sha256: str
    start: str
    commit: str

    @classmethod
    def of(cls, stage: str, arguments: Iterable[Any], data: Iterable[Path], start: str | Path) -> "Run":
        """Describe a run by its argument dataclasses.

        Raises:
            FileNotFoundError: a table of the data is missing.
        """
        settings = {name: value for part in arguments for name, value in chosen(part).items()}
        data = [Path(path) for path in data]
        digest = hashlib.sha256()
        for path in data:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return cls(stage, settings, tuple(map(str, data)), digest.hexdigest(), str(start), commit())

    @contextmanager
    def alone_in(self, output_dir: str | Path) -> Iterator[None]:
        """Make a folder this run's, or find that it is already: what is begun there is gone on with.

        Of several processes the main one does it for all.

        Raises:
            degradations.jobs.OtherRunError: it holds a run with other settings or other data, or foreign files.
            degradations.jobs.StoppedError: the same run is at work there, perhaps as a process that a kill left over.
        """
        if not PartialState().is_main_process:
            yield
            return
        kept = {name: value for name, value in self.settings.items() if not name.startswith(ASIDE)}
        identity = {"stage": self.stage, "sha256": self.sha256, "processes": PartialState().num_processes}
        jobs.claim(Path(output_dir), identity | kept)
        with jobs.alone_in(Path(output_dir) / LOCK):
            yield

    def write_card(
        self,
        output_dir: str | Path,
        state: TrainerState,
        library: str = "transformers",
        use: str | None = None,
        pipeline: str = "image-text-to-text",
    ) -> None:
        """Write README.md: what was trained, from what, how, with which figures.

        Args:
            state: the trainer's; figures and hours come from its log.
            library: ``peft`` if the folder holds an adapter; ``transformers``, or ``pytorch`` for a plain network.
            use: what is done with it, a sentence; by default, how the demo loads it.
            pipeline: the Hub's name for what the model does.
        """
        output_dir = Path(output_dir)
        load = f"Load it with the demo of this repository: `{_command_line(library, self.start, output_dir)}`."
        metadata = ModelCardData(
            library_name=library,
            pipeline_tag=pipeline,
            # The Hub refuses a card whose base model is a folder.
            base_model=None if Path(self.start).exists() else self.start,
            tags=["degradation", "visual-reasoning", self.stage.lower(), *(["lora"] if library == "peft" else [])],
        )
        settings = yaml.safe_dump(self.settings, sort_keys=True, allow_unicode=True, width=120)
        parts = (
            f"---\n{metadata.to_yaml()}\n---",
            f"# {output_dir.resolve().name}",
            f"{self.stage}, {_progress(state)}, {_what(library, self.start)}. Written by the run itself.",
            use or load,
            "## The run",
            _table({"": "", **self._facts(state)}),
            "## Figures",
            figures(state.log_history) or "Nothing was logged.",
            f"## Settings\n\nWhat was not left at its default:\n\n```yaml\n{settings}```",
        )
        ModelCard("\n\n".join(parts) + "\n", ignore_metadata_errors=True).save(output_dir / "README.md")

    def _facts(self, state: TrainerState) -> dict[str, str]:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
        return {
            "started from": f"`{self.start}`",
            "command": f"`{' '.join(map(shlex.quote, _command()))}`",
            "data": f"`{'`, `'.join(self.data)}`",
            "sha256 of the data": f"`{self.sha256}`",
            "commit": self.commit,
            "hours": f"{hours(state):.2f}",
            "processes": f"{PartialState().num_processes} on {_device()}",
            "versions": f"Python {platform.python_version()}, {versions}",
        }


def hide_token(training: TrainingArguments) -> None:
    """Hand the Hub's token over to the environment, where the Hub's library looks for one first.

    Trainers write their settings beside the weights, and what lies there is pushed.
    """
    if training.hub_token:
        os.environ["HF_TOKEN"], training.hub_token = training.hub_token, None


def keep_from_pushing(training: TrainingArguments) -> bool:
    """Have a trainer push nothing by itself, and say whether it was to.

    What it would push with every checkpoint is not what the stage leaves in the end, and its caches with it.
    """
    hide_token(training)
    wanted, training.push_to_hub = training.push_to_hub, False
    return wanted


def push(output_dir: str | Path, training: TrainingArguments) -> None:
    """Put a finished folder on the Hub, where the training's settings say, as the trainers of the chain do."""
    api = HfApi()
    name = training.hub_model_id or Path(output_dir).resolve().name
    made = api.create_repo(name, private=training.hub_private_repo, exist_ok=True)
    api.upload_folder(repo_id=made.repo_id, folder_path=output_dir, ignore_patterns=list(UNPUBLISHED))


class Clock(TrainerCallback):
    """Puts the hours of training so far into every line of the log; a resumed run goes on counting."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = time.monotonic() - 3600 * hours(state)

    def on_log(self, args, state, control, **kwargs):
        state.log_history[-1]["hours"] = (time.monotonic() - self.start) / 3600


def hours(state: TrainerState) -> float:
    """The hours of training that a log tells of, those before a kill included up to the checkpoint."""
    return max((line.get("hours", 0.0) for line in state.log_history), default=0.0)


def chosen(arguments: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults, as JSON can hold them; secrets are left out."""
    result = {}
    for field in dataclasses.fields(arguments):
        default = field.default_factory() if callable(field.default_factory) else field.default
        value = getattr(arguments, field.name)
        if field.init and value != default and not field.name.endswith(SECRET):
            result[field.name] = _plain(value)
    return {name: value for name, value in result.items() if value not in ({}, [])}


def figures(log_history: list[dict]) -> str:
    """The log's columns as a table: the mean of its first tenth and of its last; empty without a log."""
    names = [name for name in dict.fromkeys(name for line in log_history for name in line) if _is_figure(name)]
    rows = []
    for name in names:
        values = [line[name] for line in log_history if isinstance(line.get(name), int | float)]
        if values:
            tenth = max(1, len(values) // 10)
            first, last = (sum(part) / tenth for part in (values[:tenth], values[-tenth:]))
            rows.append(f"| {name} | {first:.4g} | {last:.4g} |")
    return "\n".join(["| | first tenth | last tenth |", "|---|---:|---:|", *rows]) if rows else ""


def commit() -> str:
    """The git commit of this code, and whether its tree was changed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not in a git tree"


def _is_figure(name: str) -> bool:
    return name not in UNTOLD and not name.startswith("train_")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return chosen(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _progress(state: TrainerState) -> str:
    return f"{state.global_step} of {state.max_steps} steps"


def _what(library: str, start: str) -> str:
    return f"an adapter on `{start}`" if library == "peft" else f"all weights, from `{start}`"


def _command_line(library: str, start: str, output_dir: Path) -> str:
    model = f"{start} --adapter {output_dir}" if library == "peft" else output_dir
    return f"python app.py --model {model}"


def _command() -> list[str]:
    module = getattr(sys.modules["__main__"].__spec__, "name", None)
    given, secret = [], False
    for word in sys.argv[1:]:
        name, equals, _ = word.partition("=")
        if equals and name.endswith(SECRET):
            word = f"{name}=HIDDEN"
        given.append("HIDDEN" if secret else word)
        secret = word.endswith(SECRET)
    return ["python", *(["-m", module] if module else [sys.argv[0]]), *given]


def _device() -> str:
    device = PartialState().device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _table(rows: dict[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([lines[0], "|---|---|", *lines[1:]])
