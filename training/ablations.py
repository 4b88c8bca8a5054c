"""What each part of the training gives: train every variant, ask all of them the same, and draw.

``python -m training.ablations --config training/configs/ablations.yaml``

The configuration lists the runs. One with a ``script`` (sft or grpo) is trained by ``python -m training.SCRIPT`` with
its ``config`` and ``overrides``; with ``accelerate``, by ``accelerate launch`` with these options. Runs that have come
to their end are not trained again, unfinished ones go on. One without a script is a ``checkpoint`` as it is. ``prompt``
is chain or direct. The last run is the one that the others are compared with.

OUTPUT receives what ``training.evaluate`` writes and ``ablations.md``, the tables; PLOTS the pictures.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from degradations.files import write_whole
from degradations.jobs import SETTINGS, StoppedError, alone_in
from demo import checkpoints, models, settings
from training.data import read_samples
from training.evaluation import length, naming
from training.evaluation.answers import answer_all
from training.evaluation.choice import accuracy_of
from training.evaluation.measuring import ANSWERS, RESULTS, measure
from training.evaluation.plots import Points, draw
from training.evaluation.sides import CHAIN, DIRECT, Asking, Side
from training.evaluation.tables import table

REPORT = "ablations.md"


@dataclass(frozen=True)
class Run:
    """One row of the table.

    Attributes:
        name: what tables and plots call it.
        prompt: ``chain`` or ``direct``.
        script: ``sft`` or ``grpo``; None for a checkpoint as it is.
        config: the script's YAML.
        overrides: what is set otherwise than there.
        accelerate: options of ``accelerate launch``; None to start the script itself.
        environment: variables that its process gets besides those of this one.
        checkpoint: of a run without a script.
    """

    name: str
    prompt: str = CHAIN
    script: str | None = None
    config: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    accelerate: list | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that its script is told.

        Raises:
            ValueError: no output folder is among it.
        """
        told = {**yaml.safe_load(Path(self.config).read_text()), **self.overrides}
        if "output_dir" not in told:
            raise ValueError(f"{self.name}: neither {self.config} nor the overrides name an output_dir")
        return told

    def command(self) -> list[str]:
        module = ["-m", f"training.{self.script}", "--config", str(self.config)]
        words = [word for name, value in self.overrides.items() for word in (f"--{name}", *_words(value))]
        launch = [] if self.accelerate is None else ["-m", "accelerate.commands.launch", *map(str, self.accelerate)]
        return [sys.executable, *launch, *module, *words]

    def finished(self) -> bool:
        """Whether it has been trained to its end.

        Raises:
            ValueError: its folder holds a run with other settings.
        """
        folder = Path(self.settings["output_dir"])
        _check(folder / SETTINGS, self.settings)
        try:
            state = json.loads((folder / "trainer_state.json").read_text())
        except (OSError, ValueError):
            return False
        # The trainer writes its arguments last.
        return state["global_step"] >= state["max_steps"] and (folder / "training_args.bin").exists()

    def side(self) -> Side:
        """What answers for it once it is trained."""
        if self.script is None:
            return Side(self.name, str(self.checkpoint), None, self.prompt == CHAIN)
        folder = self.settings["output_dir"]
        if (Path(folder) / "adapter_config.json").exists():
            return Side(self.name, self.settings["model_name_or_path"], str(folder), self.prompt == CHAIN)
        return Side(self.name, str(folder), None, self.prompt == CHAIN)


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [word for item in value for word in _words(item)]
    return [json.dumps(value) if isinstance(value, bool | dict) else str(value)]


def _check(marker: Path, told: Mapping[str, Any]) -> None:
    """Compare what a folder's run was told, where it is known, with what it would be told now."""
    if marker.exists():
        before = json.loads(marker.read_text())
        both = [name for name in told if name in before and _plain(before[name]) != _plain(told[name])]
        if both:
            differing = [f"{name} was {before[name]} and is now {told[name]}" for name in both]
            raise ValueError(f"{marker.parent} holds another run ({'; '.join(differing)}): give another output_dir")


def _plain(value: Any) -> Any:
    """A setting as it can be compared: YAML reads 1e-4 as a text and 1 as another number than 1.0."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return str(value)


def read_config(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """The settings and the runs of a configuration.

    Raises:
        ValueError: a run is not whole, or two have one name.
    """
    try:
        config = yaml.safe_load(path.read_text())
        runs = [Run(**run) for run in config.pop("runs")]
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}; a run has {', '.join(Run.__dataclass_fields__)}") from error
    if missing := {"output", "plots", "samples"} - set(config):
        raise ValueError(f"{path} does not say {', '.join(sorted(missing))}")
    for run in runs:
        if run.prompt not in (CHAIN, DIRECT) or run.script not in (None, "sft", "grpo"):
            raise ValueError(f"{path}: {run.name} has the prompt {run.prompt!r} and the script {run.script!r}")
        if (run.script is None) == (run.checkpoint is None) or (run.script is None) != (run.config is None):
            raise ValueError(f"{path}: {run.name} needs a script with its config, or a checkpoint")
    if len({run.name for run in runs}) < len(runs):
        raise ValueError(f"{path}: two runs have one name")
    return config, runs


def train(runs: list[Run]) -> None:
    """Train what is not finished, in the given order.

    Raises:
        degradations.jobs.StoppedError: a script failed.
    """
    for run in runs:
        if run.script is None:
            continue
        if run.finished():
            print(f"{run.name}: finished in {run.settings['output_dir']}")
            continue
        print(f"{run.name}: {' '.join(run.command()[1:])}", flush=True)
        variables = {key: str(value) for key, value in run.environment.items()}
        done = subprocess.run(run.command(), env=os.environ | variables)
        if done.returncode or not run.finished():
            raise StoppedError(f"{run.name} stopped (exit status {done.returncode}); started again it goes on")


# --- what came of it ---


def compare(config: Mapping[str, Any], runs: list[Run]) -> str:
    """Ask every run, measure, draw; returns the tables as Markdown."""
    output, prompt_file = Path(config["output"]), config.get("prompt_file")
    spec = settings.Spec("ablations", baseline="", robust="", prompt_file=prompt_file)
    asking = Asking(models.read_prompt(spec), config.get("max_new_tokens", settings.NEW_TOKENS), spec)
    sides = [run.side() for run in runs]
    sets = {name: read_samples(Path(folder), config.get("limit")) for name, folder in config["samples"].items()}
    with alone_in(output):
        # A run that was trained on is asked anew under its name.
        replies = answer_all(sides, sets, output / ANSWERS, asking, renew=True)
        results = {"main": sides[-1].name, "sides": list(map(str, sides)), "sets": measure(sides, sets, replies)}
        write_whole(output / RESULTS, (json.dumps(results, indent=2) + "\n").encode())
        text = report(results)
        write_whole(output / REPORT, text.encode())
    points = {
        side.name: Points.of(rows, replies[side.name, name])
        for name, rows in list(sets.items())[:1]
        for side in sides
        if side.chain
    }
    ceiling = json.loads(Path(config["ceiling"]).read_text()) if config.get("ceiling") else None
    draw(Path(config["plots"]), results, points, ceiling)
    return text


SHOWN = (naming.F1, naming.ERROR, naming.TOTALS, naming.R_DEG, length.TOKENS, length.GROWTH)


def report(results: Mapping) -> str:
    """A table for every set, a row a run; and one of what the last run has more than each other."""
    parts = []
    for name, found in results["sets"].items():
        chosen = [*(accuracy_of(state) for state in found["states"]), *SHOWN]
        parts += [f"### {name}: {found['samples']} questions on {found['photos']} photos"]
        parts += [table(_turned(found["sides"], chosen))]
        parts += [f"{results['main']} less each other run, on the same pictures:"]
        parts += [table(_turned(found["differences"], chosen))]
    return "\n\n".join(parts) + "\n"


def _turned(rows: Mapping[str, Mapping], names: list[str]) -> dict[str, dict]:
    return {name: {row: own.get(name) for row, own in rows.items()} for name in names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--train-only", action="store_true", help="leave the measuring for later")
    arguments = parser.parse_args()
    try:
        config, runs = read_config(arguments.config)
        train(runs)
        if not arguments.train_only:
            print(compare(config, runs))
    except (OSError, ValueError, StoppedError, checkpoints.CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
