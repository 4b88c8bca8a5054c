"""Put a trained pair into ``demo/embedded`` with its model card.

``python -m training.release --base runs/base --adapter runs/sft --results runs/evaluation/results.json``

The card's figures are those of the results file, written by ``training.evaluate`` for this very pair.
"""

import argparse
import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file

from demo.settings import EMBEDDED
from training.evaluate import table

VALIDATION = """python -m training.synthesize CORPUS data/validation --split validation --count 1000 --seed 1 \\
    --open-share 0 --intensity 0.1 1.0"""
COMMANDS = """python -m training.synthesize CORPUS data/train --count 21500
python -m training.perceive --config training/configs/perceive.yaml
python -m training.pretrain --config training/configs/pretrain.yaml
python -m training.sft --config training/configs/sft_embedded.yaml"""


def release(base: Path, adapter: Path, results: Path, hours: str, target: Path = EMBEDDED) -> None:
    """Copy the checkpoint's files and write the card; the prompt file stays as it is.

    Raises:
        FileNotFoundError: a part is missing.
    """
    config = json.loads((base / "config.json").read_text())
    lora = json.loads((adapter / "adapter_config.json").read_text())
    figures = json.loads(results.read_text())
    for source, name in ((base, "base"), (adapter, "adapter")):
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            if path.suffix in (".safetensors", ".json", ".jinja") and (
                name == "base" or path.name.startswith("adapter_")
            ):
                shutil.copy(path, folder / path.name)
    lora["base_model_name_or_path"] = "../base"
    (target / "adapter" / "adapter_config.json").write_text(json.dumps(lora, indent=2, sort_keys=True) + "\n")
    types = figures.pop("by type")
    text = config["text_config"]
    card = (
        Path(__file__)
        .with_name("card.md")
        .read_text()
        .format(
            parameters=_parameters(target),
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            rank=lora["r"],
            samples=_count(COMMANDS),
            commands=COMMANDS,
            hours=hours,
            validation=figures["all"]["samples"],
            figures=table(figures),
            by_type=table(types),
            synthesize=VALIDATION,
        )
    )
    (target / "README.md").write_text(card)


def _parameters(target: Path) -> float:
    """Millions of weights in base and adapter."""
    return sum(weight.size for path in target.glob("*/*.safetensors") for weight in load_file(path).values()) / 1e6


def _count(commands: str) -> str:
    return commands.partition("--count ")[2].split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="results.json of training.evaluate for this pair")
    parser.add_argument("--hours", required=True, help="what the stages took, for the card")
    release(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
