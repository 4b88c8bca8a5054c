"""Measure models on sets of questions: the papers' tables by one command.

The shipped pair on one set, offline::

    python -m training.evaluate --preset embedded --samples data/validation --output runs/evaluation

Any sides on any sets at any levels; the last side is the one that the others are compared with, picture by picture::

    python -m training.evaluate --side qwen2.5-vl-3b --side served=NAME@http://HOST:8000/v1:letters \\
        --side robust-r1-rl \\
        --set MMStar --set RealWorldQA.tsv --set lcysyzxdxc/R-Bench#test --levels clean,25,50,100 \\
        --judge NAME@https://HOST/v1 --output runs/papers

A side is NAME=CHECKPOINT, which is asked directly, or NAME=CHECKPOINT+ADAPTER, which is asked for a chain;
``,tower=TOWER`` behind it swaps a LLaVA's vision tower, ``,temperature=T`` draws its answers instead of taking the
likeliest words; ``@URL`` makes it a model behind an OpenAI-compatible endpoint; ``:direct``, ``:chain`` or ``:letters``
says how it is asked. Published models have names (see training/README.md).

Recover first, then reason: ``,sees=recovered`` and ``,sees=both`` show a side the recovered picture instead of the
given one, or beside it; ``--recovery`` names what recovers (see ``training.recover_measure``). Three sides of one model
are three rows: degraded only, recovered only, both.

A set is a folder made by ``training.synthesize``, whose questions are asked in the states that it has; a table of
VLMEvalKit; R-Bench; a file or folder of JSON Lines: see `training.evaluation.sets`. The last three are degraded on the
fly by the published protocol, or taken from a folder of ``degradations benchmark`` (``--levels FOLDER``).

``--config FILE.yaml`` holds the same options, lists for those that can be given several times; what stands on the
command line comes after it. ``accelerate launch … -m training.evaluate …`` shares the asking out among processes.

OUTPUT receives ``answers.jsonl``, every answer as it comes, so that a run which was killed goes on and nothing is asked
twice; ``results.json``, every figure with its 95 % bootstrap interval, differences with their p; ``results.md`` and
``results.tex``, tables; ``plots``. ``--rescore`` makes all but the answers anew, without models and pictures.

    python -m training.evaluate rbench --distorted dis.csv [--relative com.csv --reference ref.csv]

scores result files of R-Bench (`training.evaluation.rbench`).
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from degradations.files import write_whole
from degradations.jobs import StoppedError, alone_in
from demo import checkpoints, models, settings
from demo.chain import question_with_options
from demo.streaming import stream
from training.evaluation import rbench
from training.evaluation.answers import ASKED, Asking, Replies, answer_all, stored
from training.evaluation.choice import right
from training.evaluation.command_line import chosen, endpoint_of, judge_of, parse
from training.evaluation.judge import grade_all, grading_judge
from training.evaluation.levels import Levels
from training.evaluation.measuring import ANSWERS, LATEX, PLOTS, REPORT, RESULTS, measure, measure_chains
from training.evaluation.plots import Points, draw, draw_recovery
from training.evaluation.recovered import Recoverer, measure_recoveries, told_of
from training.evaluation.report import report, report_latex
from training.evaluation.resampling import RESAMPLES
from training.evaluation.rows import CLEAN, applied, pictures_of, states_of
from training.evaluation.said import Reply, Said
from training.evaluation.sets import read_set
from training.evaluation.shards import this_process
from training.evaluation.sides import Side
from training.evaluation.targets import check
from training.recovery.load import load_recovery
from training.recovery.rewards import load_encoder

PICTURES = "pictures"
"""Folder of pictures that lay inside of tables."""

TIMED = 8
"""Pictures that a speed is the median of."""


def main() -> int:
    if sys.argv[1:2] == ["rbench"]:
        return rbench.main(sys.argv[2:])
    arguments = parse(__doc__, sys.argv[1:])
    try:
        results = evaluate(arguments)
    except (OSError, ValueError, StoppedError, checkpoints.CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    if results:
        print(report(results))
    return 0


def evaluate(arguments: argparse.Namespace) -> dict | None:
    """Ask, measure, and write what was found; None in all processes but the first."""
    output, shard = arguments.output, this_process()
    with alone_in(output) if shard.first else nullcontext():
        if arguments.rescore:
            sides, sets, replies, told = stored(output, ANSWERS)
            results = told["results"]
        else:
            sides, spec = chosen(arguments)
            recoverer = Recoverer(load_recovery(arguments.recovery), output) if arguments.recovery else None
            asking = Asking(models.read_prompt(spec), spec.max_new_tokens, spec, arguments.batch_size, recoverer)
            levels = Levels.parse(arguments.levels, arguments.level_seed)
            sets = {
                name: read_set(source, output / PICTURES, levels, arguments.limit) for name, source in arguments.samples
            }
            replies = answer_all(
                sides, sets, output / ANSWERS, asking,
                endpoints=partial(endpoint_of, arguments), renew=arguments.renew, shard=shard,
            )  # fmt: skip
            shard.end()
            if not shard.first:
                return None
            results = {
                "main": sides[-1].name,
                "sides": [str(side) for side in sides],
                "prompt": asking.template,
                "max_new_tokens": asking.max_new_tokens,
            }
            if recoverer:
                measure_recoveries(sets, recoverer, load_encoder(arguments.encoder), output)
                results["recovery by"] = recoverer.recovery.name
            results["speed"] = measure_speed(spec, next(iter(sets.values()))) if arguments.speed else None
            results["data"] = _measure_data(arguments.data, sides)
            _remember(output / ASKED, results)
        chains = {side.name: side.chain for side in sides}
        judge = judge_of(arguments)
        replies = grade_all(replies, sets, chains, output, judge)
        told = json.loads((output / ASKED).read_text())
        hashes = {
            "sides": {name: told["sides"][name] for name in chains},
            "sets": {name: told["sets"][name] for name in sets},
        }
        results |= {"resamples": RESAMPLES, "hashes": hashes, "judge": grading_judge(sets, output, judge)}
        results["sets"] = measure(sides, sets, replies)
        results["recovery"] = told_of(output, sets, _right(sides, sets, replies))
        own_samples = any("task" not in row for rows in sets.values() for row in rows)
        results["targets"] = check(results) if own_samples else []
        results["drawn"] = _drawn(sets)
        write_whole(output / RESULTS, (json.dumps(results, indent=2) + "\n").encode())
        write_whole(output / REPORT, report(results).encode())
        write_whole(output / LATEX, report_latex(results).encode())
        _draw(output / PLOTS, results, sides, sets, replies)
    return results


def _right(sides: Sequence[Side], sets: dict[str, list[dict]], replies: Replies) -> dict:
    """(side, set) -> state -> 1 or 0 for each row, as `choice.right` finds it; nan where there are no options."""

    def of(side: Side, row: dict, state: str, reply: Reply) -> float:
        said = Said(row, state, reply, side.chain, by_index=side.by_index, by_letter=side.letters)
        return right(said) if row["options"] else math.nan

    return {
        (side.name, name): {
            state: [of(side, row, state, reply) for row, reply in zip(rows, said, strict=True)]
            for state, said in replies[side.name, name].items()
        }
        for side in sides
        for name, rows in sets.items()
    }


def _remember(file: Path, results: dict) -> None:
    """Keep what was measured with a model, for `stored`."""
    told = json.loads(file.read_text()) | {"results": results}
    write_whole(file, (json.dumps(told, indent=2) + "\n").encode())


def _measure_data(folders: Sequence[tuple[str, Path]], sides: Sequence[Side]) -> dict:
    if not folders:
        return {}
    tokenizer = checkpoints.load_processor(sides[-1].checkpoint).tokenizer
    return {name: measure_chains(folder, tokenizer) for name, folder in folders}


def _drawn(sets: dict[str, list[dict]]) -> str | None:
    """The first set of which it is known what was done to its pictures."""
    for name, rows in sets.items():
        if any(applied(rows[0], state) is not None for state in states_of(rows) if state != CLEAN):
            return name
    return None


def _draw(folder: Path, results: dict, sides: Sequence[Side], sets: dict[str, list[dict]], replies: Replies) -> None:
    name = results["drawn"]
    chains = [side.name for side in sides if side.chain] if name else []
    draw(folder, results, {side: Points.of(sets[name], replies[side, name]) for side in chains}, None)
    draw_recovery(folder, results["recovery"], results["main"])


def measure_speed(spec: settings.Spec, rows: list[dict]) -> dict[str, float]:
    """Median tokens a second of both sides of a pair, streamed at once as the demo does; the first call warms up."""
    pair = models.load_pair(spec, fallback=False)
    state = states_of(rows)[-1]
    speeds = {side.name: [] for side in pair.sides}
    for row in [rows[0], *rows[:TIMED]]:
        question = question_with_options(row["question"], row["options"])
        for event in stream(pair, pair.fit(pictures_of(row, state)[0].read()), question):
            if event.done and event.stats.tokens_per_s:
                speeds[event.side].append(event.stats.tokens_per_s)
    return {side: statistics.median(found[1:]) for side, found in speeds.items() if found[1:]}


if __name__ == "__main__":
    sys.exit(main())
