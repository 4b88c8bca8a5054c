"""Record the examples' runs: ``python -m demo.present record``, with the models and the recovery of `app.py`'s choice.

Each example is asked once; the run goes to examples/runs, named as its photo. A talk can then play it back without a
model, at its true pace. Record anew when the models change: a recording says which they were.
"""

import argparse
import sys
from pathlib import Path

from degradations import files
from demo import settings
from demo.api import Workbench
from demo.chain import question_with_options
from demo.checkpoints import CheckpointError
from demo.examples import Example, load_examples
from demo.models import add_arguments, load_pair, spec_from
from demo.present.recording import Recorder
from demo.provenance import provenance
from demo.recovery import joint
from demo.recovery.run import events


def record(bench: Workbench, example: Example, folder: Path) -> Path:
    """Ask all sides about an example and keep the run; the third where the bench has a recovery.

    Raises:
        RuntimeError: a model failed; a failure is nothing to show.
    """
    question = question_with_options(example.question, list(example.options))
    numbers = example.seed, settings.TEMPERATURE, bench.pair.max_new_tokens
    recover = bench.joint is not None
    about = question, example.recipe, *numbers, example.image.name
    recorder = Recorder(bench.models(recover), *about, provenance(bench.pair, bench.joint))
    asked = example.image, question, example.recipe, *numbers
    for event in recorder.record(events(bench, *asked, recover=recover)):
        if event.error:
            raise RuntimeError(f"{example.title}: {event.side} failed: {event.error}")
    path = folder / f"{example.image.stem}.json"
    files.write_whole(path, recorder.recording().as_json())
    return path


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.present", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="ask the models about the examples and keep the runs")
    add_arguments(recording)
    joint.add_arguments(recording)
    recording.add_argument("--output", type=Path, default=settings.RUNS, help="folder for the recordings")
    recording.add_argument("--only", nargs="*", help="file names of the photos to record; all without it")
    chosen = parser.parse_args(arguments)
    examples = [one for one in load_examples() if not chosen.only or one.image.name in chosen.only]
    if not examples:
        parser.error(f"none of the examples is called {', '.join(chosen.only)}")
    try:
        # Without a fallback: a recording of other models than those that were asked for would deceive.
        pair = load_pair(spec_from(chosen), fallback=False)
        bench = Workbench(pair, joint.joint_from(chosen, pair))
        for example in examples:
            print(record(bench, example, chosen.output))
    except (CheckpointError, ValueError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
