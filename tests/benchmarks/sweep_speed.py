"""A sweep of 11 steps × 2 sides against 22 single answers: ``python -m tests.benchmarks.sweep_speed``.

Both say the same; the sweep may take at most 60 % of the time.
"""

import time

from demo.api import Workbench
from demo.chain import question_with_options
from demo.examples import load_examples
from demo.models import load_pair
from demo.settings import SWEEP_STEPS, SWEEP_TYPE
from demo.streaming import on_gpu
from demo.sweep.actions import begin
from demo.sweep.engine import sweep


def main() -> None:
    bench = Workbench(load_pair("embedded"))
    example = load_examples()[0]
    question = question_with_options(example.question, list(example.options))
    asked = 0, 0.0, bench.pair.max_new_tokens
    run = begin(bench, "type", SWEEP_TYPE, example.recipe, SWEEP_STEPS, 1, 0, question, "")
    images = [bench.degraded(example.image, step.recipe, step.seed) for step in run.steps]

    def alone() -> list[str]:
        texts = []
        for image in images:
            for side in bench.pair.sides:
                events = on_gpu([side])([image], question, asked[1], asked[2], asked[0])
                texts.append("".join(event.text for event in events))
        return texts

    alone()  # warm up
    begun = time.perf_counter()
    texts = alone()
    singles = time.perf_counter() - begun
    begun = time.perf_counter()
    *_, last = sweep(bench, example.image, run, *asked)
    whole = time.perf_counter() - begun
    same = texts == [reply.text for pair in last.replies for reply in pair.values()]
    print(f"{len(texts)} single answers {singles:.1f} s, the sweep {whole:.1f} s: {whole / singles:.0%}")
    print("they say the same" if same else "THEY DO NOT SAY THE SAME")


if __name__ == "__main__":
    main()
