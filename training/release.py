"""Put a trained pair into ``demo/embedded`` with its model card.

    python -m training.release --base runs/base --adapter runs/grpo --results runs/evaluation/results.json \\
        --ceiling runs/ceiling/ceiling.json --hours "…"

The card's figures are those of the two results files, written by ``training.evaluate`` and ``training.ceiling``; its
commands are those of training/README.md.
"""

import argparse
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from safetensors.numpy import load_file

from degradations.jobs import SETTINGS
from demo.checkpoints import CheckpointError
from demo.fingerprint import weights_hash
from demo.settings import EMBEDDED, Spec
from training import ceiling as ceilings
from training.evaluation import local
from training.evaluation.report import report
from training.evaluation.sides import Side
from training.evaluation.tables import table

CONTROL = "control"
NOTICE, README = (Path(__file__).with_name(name) for name in ("NOTICE", "README.md"))

OF_THE_RUN = (SETTINGS, "trainer_state.json")
"""What a stage leaves beside the model that no demo loads."""

MADE, MEASURED = "## The embedded pair, on two CPU cores", "## Measuring"
"""Headings of the README; the commands that the card lists are the first block below each."""


def release(
    base: Path, adapter: Path, results: Path, ceiling: Path, hours: str, target: Path = EMBEDDED, readme: Path = README
) -> dict:
    """Copy the checkpoint's files and write notice and card; the prompt file stays as it is.

    Returns:
        The results with the size of what is released among them.

    Raises:
        FileNotFoundError, CheckpointError: a part is missing.
        ValueError: the results are those of another pair, or the README has no commands.
    """
    made, measuring = (commands(readme, heading) for heading in (MADE, MEASURED))
    found, head = json.loads(results.read_text()), json.loads(ceiling.read_text())
    measured, weights = found["hashes"]["sides"][found["main"]]["weights"], weights_of(base, adapter)
    if measured != weights:
        raise ValueError(
            f"{results} measures other weights ({found['sides'][-1]}: {measured}) than {base} with {adapter} has: "
            f"{weights}. Run training.evaluate on these, with --renew if their folders are the same."
        )
    config = json.loads((base / "config.json").read_text())
    lora = json.loads((adapter / "adapter_config.json").read_text())
    for source, name in ((base, "base"), (adapter, "adapter")):
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            loaded = path.suffix in (".safetensors", ".json", ".jinja") and path.name not in OF_THE_RUN
            if loaded and (name == "base" or path.name.startswith("adapter_")):
                shutil.copy(path, folder / path.name)
    lora["base_model_name_or_path"] = "../base"
    (target / "adapter" / "adapter_config.json").write_text(json.dumps(lora, indent=2, sort_keys=True) + "\n")
    shutil.copy(NOTICE, target / NOTICE.name)
    found["megabytes"] = sum(path.stat().st_size for path in target.glob("*/*")) / 1e6
    text = config["text_config"]
    card = (
        Path(__file__)
        .with_name("card.md")
        .read_text()
        .format(
            parameters=_parameters(target),
            megabytes=found["megabytes"],
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            rank=lora["r"],
            weights=weights,
            samples=_count(made),
            making=made,
            measuring=measuring,
            hours=hours,
            resamples=found["resamples"],
            figures=report(found),
            control=against(found, CONTROL),
            ceiling=ceilings.report(head),
            ceiling_set=head["measured on"],
            ceiling_count=head["learned from"]["count"],
        )
    )
    (target / "README.md").write_text(card)
    return found


def commands(readme: Path, heading: str) -> str:
    """The first indented block below a heading, without its indentation.

    Raises:
        ValueError: there is none.
    """
    section = readme.read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    block = re.search(r"(?:^ {4}.*\n)+", section, re.MULTILINE)
    if block is None:
        raise ValueError(f"{readme} has no commands below {heading!r}, which the card repeats")
    return textwrap.dedent(block[0]).rstrip()


def against(results: Mapping, other: str) -> str:
    """How much more often the last side answers rightly than another one, on every set, as Markdown."""
    key = f"{results['main']} - {other}"
    columns = {
        name: {figure: value for figure, value in found["differences"][key].items() if figure.startswith("accuracy")}
        for name, found in results["sets"].items()
        if key in found["differences"]
    }
    if not columns:
        return f"Not measured: there was no side called {other}."
    return f"Accuracy of {results['main']} less that of {other}, on the same pictures:\n\n{table(columns)}"


def weights_of(base: Path, adapter: Path) -> str:
    """The hash of a pair's weights, as ``training.evaluate`` writes it into its results."""
    side = Side("pair", str(base), str(adapter), True)
    spec = Spec("pair", baseline=side.checkpoint, robust=side.checkpoint, adapter=side.adapter)
    ((checkpoint, _, name),) = local.loaded([side], spec)
    return weights_hash(checkpoint.model, name)


def _parameters(target: Path) -> float:
    """Millions of weights in base and adapter."""
    return sum(weight.size for path in target.glob("*/*.safetensors") for weight in load_file(path).values()) / 1e6


def _count(commands: str) -> str:
    return commands.partition("--count ")[2].split()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="results.json of training.evaluate for this pair")
    parser.add_argument("--ceiling", type=Path, required=True, help="ceiling.json of training.ceiling for its tower")
    parser.add_argument("--hours", required=True, help="what the stages took, for the card")
    try:
        release(**vars(parser.parse_args()))
    except (OSError, ValueError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
