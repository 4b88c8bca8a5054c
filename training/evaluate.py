"""Measure models on sample sets.

The shipped pair on one set::

    python -m training.evaluate --preset embedded --samples data/validation --output runs/evaluation

Any sides on any sets; the last side is the one that the others are compared with, picture by picture::

    python -m training.evaluate --prompt-file demo/embedded/prompt.txt --max-new-tokens 320 \\
        --side baseline=runs/base --side control=runs/base+runs/control:direct \\
        --side sft=runs/base+runs/sft --side robust=runs/base+runs/grpo \\
        --samples data/validation --samples natural=data/natural --samples data/protocol \\
        --data data/train --output runs/evaluation

A side is NAME=CHECKPOINT, which is asked directly, or NAME=CHECKPOINT+ADAPTER, which is asked for a chain; ``:direct``
or ``:chain`` behind it says otherwise. A set is a folder made by ``training.synthesize``. Every question is asked on
the clean and on the degraded picture, or where there are ``copies`` on those of every strength; greedily, in batches.

OUTPUT receives ``answers.jsonl``, every answer as it comes, so that a run which was killed goes on and nothing is asked
twice; ``results.json``, every figure with its 95 % bootstrap interval; ``results.md``, the same as tables.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from degradations.files import write_whole
from degradations.jobs import StoppedError, alone_in
from demo import checkpoints, models, settings
from demo.chain import question_with_options
from demo.streaming import stream
from training import figures
from training.answers import Asking, Replies, Side, answer_all, replies_of
from training.data import read_chained, read_picture, read_samples
from training.figures import DEGRADED, columns, differences, figures_by_type, intervals, photo_of, states_of, table
from training.targets import check, targets_table

ANSWERS, RESULTS, REPORT = "answers.jsonl", "results.json", "results.md"

SMALLEST_GROUP = 30
"""Sources and kinds with fewer pictures are not told by themselves."""

TIMED = 8
"""Pictures that a speed is the median of."""


def named_folder(text: str) -> tuple[str, Path]:
    """``NAME=FOLDER``, or a folder, which is called by its last part."""
    name, equals, folder = text.partition("=")
    return (name, Path(folder)) if equals else (Path(text).name, Path(text))


# --- figures ---


def measure(sides: Sequence[Side], sets: Mapping[str, list[dict]], replies: Replies) -> dict[str, dict]:
    """The figures of every set, as JSON can hold them."""
    result = {}
    for name, rows in sets.items():
        cells = {side.name: columns(rows, replies[side.name, name], side.chain) for side in sides}
        main, photos = sides[-1].name, [photo_of(row) for row in rows]
        result[name] = {"states": states_of(rows), **_section(cells, main, photos, range(len(rows)))}
        for grouping in ("source", "kind"):
            groups = _groups([row[grouping] for row in rows])
            result[name][f"by {grouping}"] = {key: _section(cells, main, photos, own) for key, own in groups.items()}
        weights = figures.weights(photos)
        result[name]["by type"] = {
            side.name: {key: intervals(found) for key, found in figures_by_type(cells[side.name], weights).items()}
            for side in sides
            if side.chain
        }
    return result


def _section(cells: dict[str, figures.Columns], main: str, photos: list, places: Sequence[int]) -> dict:
    """Figures of some of the pictures: of each side, and how far the main one is above each other one."""
    places = list(places)
    own_photos = [photos[place] for place in places]
    weights = figures.weights(own_photos)
    found = {
        side: figures.figures({key: column[places] for key, column in own.items()}, weights)
        for side, own in cells.items()
    }
    return {
        "samples": len(places),
        "photos": len(set(own_photos)),
        "sides": {side: intervals(own) for side, own in found.items()},
        "differences": {
            f"{main} - {side}": intervals(differences(found[main], own)) for side, own in found.items() if side != main
        },
    }


def _groups(labels: list[str]) -> dict[str, list[int]]:
    """Places of each label that is frequent enough; none where all are of one."""
    frequent = [label for label, count in Counter(labels).most_common() if count >= SMALLEST_GROUP]
    if len(set(labels)) < 2:
        return {}
    return {label: [place for place, own in enumerate(labels) if own == label] for label in frequent}


def measure_chains(folder: Path, tokenizer) -> dict:
    """The figures of a dataset's written chains, as if a side had said them about its degraded pictures."""
    rows = read_chained(folder)
    replies = replies_of([row["chain"] for row in rows], tokenizer)
    told = columns(rows, {DEGRADED: replies}, chain=True)
    found = figures.figures(told, figures.weights([photo_of(row) for row in rows]))
    return {"samples": len(rows), **intervals(found)}


def measure_speed(spec: settings.Spec, rows: list[dict]) -> dict[str, float]:
    """Median tokens a second of both sides of a pair, streamed at once as the demo does; the first call warms up."""
    pair = models.load_pair(spec, fallback=False)
    speeds = {side.name: [] for side in pair.sides}
    for row in [rows[0], *rows[:TIMED]]:
        question = question_with_options(row["question"], row["options"])
        for event in stream(pair, pair.fit(read_picture(row["image"])), question):
            if event.done and event.stats.tokens_per_s:
                speeds[event.side].append(event.stats.tokens_per_s)
    return {side: statistics.median(found[1:]) for side, found in speeds.items() if found[1:]}


# --- tables ---


def report(results: Mapping) -> str:
    """The results as Markdown: the targets, then every set."""
    parts = ["## Targets", targets_table(check(results))]
    for name, found in results["sets"].items():
        parts += [f"## {name}: {found['samples']} questions on {found['photos']} photos", table(found["sides"])]
        if found["differences"]:
            parts += [f"{results['main']} less each other side, on the same pictures:", table(found["differences"])]
        for grouping in ("by source", "by kind"):
            if found[grouping]:
                parts += [f"{grouping.capitalize()}:", table(_grouped(found[grouping]))]
        if found["by type"]:
            parts += ["By degradation:", types_table(found["by type"])]
    for name, written in results["data"].items():
        told = {key: written[key] for key in ("samples", *TOLD_OF_CHAINS)}
        parts += [f"## The chains of {name}", table({"as written": told})]
    return "\n\n".join(parts) + "\n"


TOLD_OF_CHAINS = (figures.TOKENS, figures.MILD_TOKENS, figures.HEAVY_TOKENS, figures.GROWTH, figures.LENGTHS)


def _grouped(groups: Mapping[str, Mapping]) -> dict[str, dict]:
    """Group -> every side's accuracies, and what the chains named."""
    told = {}
    for group, section in groups.items():
        told[group] = {"questions": section["samples"], "photos": section["photos"]}
        for side, own in section["sides"].items():
            wanted = [name for name in own if name.startswith("accuracy")] + [figures.F1, figures.ERROR]
            told[group] |= {f"{name}, {side}": own[name] for name in wanted if name in own}
    return told


def types_table(by_type: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Degradations below one another; side by side F1 and intensity error of every side."""
    heads = {
        f"{name}, {side}": {key: found[name] for key, found in own.items()}
        for name in (figures.F1, figures.ERROR)
        for side, own in by_type.items()
    }
    return table(heads)


# --- the command line ---


def main() -> int:
    arguments = _parser().parse_args()
    try:
        results = evaluate(arguments)
    except (OSError, ValueError, StoppedError, checkpoints.CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report(results))
    return 0


def evaluate(arguments: argparse.Namespace) -> dict:
    """Ask, measure, and write what was found."""
    sides, spec = chosen(arguments)
    asking = Asking(models.read_prompt(spec), spec.max_new_tokens, spec, arguments.batch_size)
    sets = {name: read_samples(folder, arguments.limit) for name, folder in arguments.samples}
    with alone_in(arguments.output):
        replies = answer_all(sides, sets, arguments.output / ANSWERS, asking)
        results = {
            "main": sides[-1].name,
            "sides": [str(side) for side in sides],
            "prompt": asking.template,
            "max_new_tokens": asking.max_new_tokens,
            "resamples": figures.RESAMPLES,
            "sets": measure(sides, sets, replies),
        }
        tokenizer = checkpoints.load_processor(sides[-1].checkpoint).tokenizer
        results["data"] = {name: measure_chains(folder, tokenizer) for name, folder in arguments.data}
        results["speed"] = measure_speed(spec, next(iter(sets.values()))) if arguments.speed else None
        results["targets"] = check(results)
        write_whole(arguments.output / RESULTS, (json.dumps(results, indent=2) + "\n").encode())
        write_whole(arguments.output / REPORT, report(results).encode())
    return results


def chosen(arguments: argparse.Namespace) -> tuple[list[Side], settings.Spec]:
    """The sides, and the pair of the first and the last with its prompt, budgets and dtype.

    Raises:
        ValueError: two sides or two sets of one name, or a prompt file that cannot be used.
    """
    if arguments.preset:
        spec = settings.PRESETS[arguments.preset]
        sides = [Side("baseline", spec.baseline, None, False), Side("robust", spec.robust, spec.adapter, True)]
    else:
        sides = arguments.side
        first, last = sides[0], sides[-1]
        spec = settings.Spec("custom", baseline=first.checkpoint, robust=last.checkpoint, adapter=last.adapter)
    for kind, names in (("sides", [s.name for s in sides]), ("sets", [name for name, _ in arguments.samples])):
        if len(set(names)) < len(names):
            raise ValueError(f"two {kind} have one name: {', '.join(names)}")
    given = {name: getattr(arguments, name) for name in ("prompt_file", "max_new_tokens") if getattr(arguments, name)}
    return sides, replace(spec, **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--preset", choices=list(settings.PRESETS), help="both sides of one of the demo's pairs")
    who.add_argument("--side", type=_side, action="append", metavar="NAME=MODEL", help="see above; several")
    text = "folder made by training.synthesize; several"
    add("--samples", type=named_folder, action="append", required=True, metavar="[NAME=]FOLDER", help=text)
    text = "dataset folder whose written chains are measured, too; several"
    add("--data", type=named_folder, action="append", default=[], metavar="[NAME=]FOLDER", help=text)
    add("--output", type=Path, required=True, help="folder for answers and figures; an unfinished run in it goes on")
    add("--prompt-file", help="the prompt for a chain, with {question} in it (default: the preset's, or the demo's)")
    text = f"where answers are cut off (default: the preset's, or {settings.NEW_TOKENS})"
    add("--max-new-tokens", type=int, help=text)
    add("--batch-size", type=int, default=32)
    add("--limit", type=int, help="use the first samples of every set only")
    text = "also time the first and the last side as the demo streams them; nothing else should run then"
    add("--speed", action="store_true", help=text)
    return parser


def _side(text: str) -> Side:
    try:
        return Side.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
