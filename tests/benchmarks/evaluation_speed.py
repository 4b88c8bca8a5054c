"""How much batches gain: answers of the embedded pair's degradation-aware side, in batches against one at a time.

    python -m tests.benchmarks.evaluation_speed data/validation

Both ways answer the same questions, which are as many as a batch holds; prints medians of answers a second and their
ratio. Nothing else should run on the machine.
"""

import argparse
import statistics
import time
from pathlib import Path

from demo import models
from demo.settings import PRESETS
from training.data import read_samples
from training.evaluation import local
from training.evaluation.rows import DEGRADED, pictures_of
from training.evaluation.sides import Asking, Side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path, help="folder made by training.synthesize")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    spec = PRESETS["embedded"]
    side = Side("robust", spec.robust, spec.adapter, chain=True)
    asking = Asking(models.read_prompt(spec), spec.max_new_tokens, spec)
    ((checkpoint, _, adapter),) = local.loaded([side], spec)
    rows = read_samples(arguments.samples, arguments.batch_size)
    prompts, pictures = [asking.prompt(side, row) for row in rows], [pictures_of(row, DEGRADED) for row in rows]

    def seconds(size: int) -> float:
        begin = time.perf_counter()
        with local.speaking(checkpoint, adapter):
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                local.generate(checkpoint, pictures[part], prompts[part], asking.max_new_tokens)
        return time.perf_counter() - begin

    seconds(len(rows))  # the first call warms up
    took = {size: statistics.median(seconds(size) for _ in range(arguments.repeats)) for size in (1, len(rows))}
    for size, spent in took.items():
        print(f"batches of {size}: {len(rows) / spent:.2f} answers/s")
    print(f"batched is {took[1] / took[len(rows)]:.2f} times as fast")


if __name__ == "__main__":
    main()
