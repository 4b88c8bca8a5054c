"""How fast one comparison is: both answers streamed at once against plain generate, one answer after the other.

    python -m tests.benchmarks.compare_speed

Runs the embedded pair on the first example, greedily; prints medians. Nothing else should run on the machine.
"""

import argparse
import statistics
import time

import torch

from degradations import degrade
from demo import photos
from demo.chain import question_with_options
from demo.examples import load_examples
from demo.models import Pair, load_pair
from demo.replies import Stats
from demo.streaming import stream


def together(pair: Pair, image, question: str) -> tuple[float, dict[str, Stats]]:
    """Seconds until both sides are done, and their own figures."""
    begin = time.perf_counter()
    events = list(stream(pair, image, question, temperature=0))
    seconds = time.perf_counter() - begin
    return seconds, {event.side: event.stats for event in events if event.done}


@torch.inference_mode()
def one_after_the_other(pair: Pair, image, question: str) -> tuple[float, int]:
    """Seconds for both answers by plain ``generate``, and the tokens of both."""
    begin, tokens = time.perf_counter(), 0
    for side in pair.sides:
        checkpoint = side.checkpoint
        inputs = checkpoint.inputs(image, [side.prompt_for(question)])
        options = {"do_sample": False, "max_new_tokens": pair.max_new_tokens}
        if side.adapter:
            output = checkpoint.model.generate(**inputs, **options)
        else:
            with checkpoint.model.disable_adapter():
                output = checkpoint.model.generate(**inputs, **options)
        tokens += output.shape[1] - inputs["input_ids"].shape[1]
    return time.perf_counter() - begin, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    pair, example = load_pair("embedded", fallback=False), load_examples()[0]

    photo = pair.fit(photos.load(example.image))
    image = degrade(photo, example.recipe, example.seed)
    question = question_with_options(example.question, list(example.options))
    together(pair, image, question)  # the first call warms up
    one_after_the_other(pair, image, question)
    both = [together(pair, image, question) for _ in range(repeats)]
    plain = [one_after_the_other(pair, image, question) for _ in range(repeats)]

    def median(values) -> float:
        return statistics.median(values)

    print(f"{torch.get_num_threads()} threads for plain generate, {pair.robust.checkpoint.threads} for the stream")
    for side in pair.sides:
        stats = [run[1][side.name] for run in both]
        print(
            f"{side.name}: {stats[0].tokens} tokens, first after {median(s.ttft_s for s in stats):.2f} s, "
            f"{median(s.tokens_per_s or 0 for s in stats):.0f} tokens/s"
        )
    print(f"both streamed at once: {median(run[0] for run in both):.2f} s")
    print(f"one after the other:   {median(run[0] for run in plain):.2f} s ({plain[0][1]} tokens)")


if __name__ == "__main__":
    main()
