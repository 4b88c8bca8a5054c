"""Seconds and memory of a step of SFT and of GRPO on a Qwen2.5-VL of the 3B shape with random weights, on one GPU.

    python -m tests.benchmarks.qwen_steps            # needs a GPU with 40 GB or more, and 8 GB of disk
    python -m tests.benchmarks.qwen_steps --tiny     # the same way through the code, on any machine

The settings are those of training/configs/*_qwen_lora.yaml, with completions from transformers instead of vLLM: random
weights hardly ever end a text, so all completions have the length that is given, and a step costs what it can cost.
"""

import argparse
import gc
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import torch

from tests import tiny
from tests.trainer_runs import MAINS, words

SHAPE_3B = {
    "text": {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 128000,
        "initializer_range": 0.02,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision": {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip
STEPS = 3


def measure(stage: str, base: Path, samples: Path, folder: Path, length: int, options: dict) -> dict:
    """Train for a few steps; returns seconds of each and the largest memory in GiB, None on the CPU."""
    config = f"training/configs/{stage}_qwen_lora.yaml"
    options = options | {
        "samples": samples, "model_name_or_path": base, "output_dir": folder / stage, "max_steps": STEPS,
        "part": [0.0, 1.0], "logging_steps": 1, "save_steps": STEPS, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    if stage == "grpo":
        options |= {"adapter": folder / "sft", "use_vllm": False, "max_completion_length": length}
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    sys.argv = [f"training.{stage}", "--config", config, *words(options)]
    MAINS[stage]()
    gc.collect()
    log = json.loads((folder / stage / "trainer_state.json").read_text())["log_history"]
    times = [0.0, *(3600 * line["hours"] for line in log if "loss" in line)]
    return {
        "seconds": [later - sooner for sooner, later in pairwise(times)],
        "memory": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape on the CPU, to try the code")
    parser.add_argument("--length", type=int, default=256, help="tokens of GRPO's completions")
    arguments = parser.parse_args()
    if not arguments.tiny and not torch.cuda.is_available():
        sys.exit("There is no GPU here, so nothing was measured; --tiny tries the code on the CPU.")
    options, length = {}, arguments.length
    if arguments.tiny:
        small = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "dataloader_num_workers": 0}
        options, length = {"use_cpu": True, "bf16": False, "dtype": "float32", **small}, 4
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        samples = tiny.samples(folder / "samples", 64, size=64 if arguments.tiny else 448)
        torch.set_default_dtype(torch.float32 if arguments.tiny else torch.bfloat16)
        base = tiny.qwen(folder / "base", **({} if arguments.tiny else SHAPE_3B))
        torch.set_default_dtype(torch.float32)
        for stage in ("sft", "grpo"):
            more = {"num_generations": 2} if arguments.tiny and stage == "grpo" else {}
            result = measure(stage, base, samples, folder, length, options | more)
            seconds = ", ".join(f"{value:.1f}" for value in result["seconds"])
            memory = f"at most {result['memory']:.1f} GiB" if result["memory"] else "memory not measured on the CPU"
            print(f"{stage}: steps of {seconds} s, {memory}", flush=True)


if __name__ == "__main__":
    main()
