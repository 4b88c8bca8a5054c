"""Make an adapter part of its model, for servers that take whole checkpoints.

``python -m training.merge --model Qwen/Qwen2.5-VL-3B-Instruct --adapter runs/grpo-qwen --output runs/merged``

The result is an ordinary checkpoint with its processor and the adapter's card: the demo takes it as ``--model``, and a
full training run as its start.
"""

import argparse
import sys
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import AutoModelForImageTextToText

from demo.checkpoints import CheckpointError, find
from training.stage import load_processor


def merge(model: str, adapter: str, output: Path, dtype: str = "auto", max_shard_size: str = "5GB") -> None:
    """Write the model with its adapter merged.

    Args:
        model, adapter: Hub names or folders.
        dtype: of the weights that are written; ``auto`` keeps the model's.

    Raises:
        ValueError: the output folder is not empty, or merging gives weights that are no numbers.
        CheckpointError: model or adapter cannot be had.
    """
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty; give another folder")
    find(model)
    find(adapter, "adapter_config.json")
    wanted = dtype if dtype == "auto" else getattr(torch, dtype)
    base = AutoModelForImageTextToText.from_pretrained(model, dtype=wanted)
    kept = base.dtype
    # In single precision: the sum of weights and adapter is rounded once, when it is written.
    merged = PeftModel.from_pretrained(base.float(), adapter).merge_and_unload(safe_merge=True)
    merged.to(kept).save_pretrained(output, max_shard_size=max_shard_size)
    load_processor(model).save_pretrained(output)
    card = Path(adapter) / "README.md"
    if card.is_file():
        whole = ModelCard.load(card)
        whole.data.library_name = "transformers"
        whole.text = whole.text.rstrip() + f"\n\nThis folder holds the adapter merged into `{model}`.\n"
        whole.save(output / "README.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the checkpoint that the adapter was trained on")
    parser.add_argument("--adapter", required=True, help="output of training.sft or training.grpo")
    parser.add_argument("--output", type=Path, required=True, help="an empty folder")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--max-shard-size", default="5GB", help="largest file of weights")
    try:
        merge(**vars(parser.parse_args()))
    except (OSError, ValueError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
