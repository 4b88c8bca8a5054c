"""Build question-answer samples on degraded pictures: ``python -m training.synthesize SOURCE OUT --count 24000``.

SOURCE is a corpus of labelled pictures (see training/corpus.py), about which questions are made; or records that ask
their own: a file or folder in one of the published formats, Parquet, or a dataset of the Hub (see training/sources.py).

OUT receives ``clean/*.png``, ``degraded/*.png`` and ``samples.jsonl``. Sample n is drawn from (seed, n) alone: the
result does not depend on the number of workers, and a run that was killed goes on where it stopped. A record that
cannot be used becomes a row with an ``error``. Of a record of several pictures the first is degraded; the others stay
as they are, in ``more``, and its row lists them under ``more_images``. With --as-is nothing is degraded: see
training/imports.py.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from degradations import Recipe, degrade
from degradations.datasets import dealt_type
from degradations.files import encode, write_whole
from degradations.jobs import StoppedError, alone_in, claim, read_table, run_jobs
from degradations.registry import COPIES
from demo.chain import build_prompt
from training.corpus import SPLITS, read_corpus
from training.formats import COLUMNS, FORMATS, UNKNOWN, Record, open_picture, question_fields
from training.questions import QuestionMaker, fit_inside

TYPES = (0, 4)
INTENSITY = (0.05, 1.0)
"""Least and most degradations at once, and the range of each one's intensity."""

FULL = "100"
"""The key of `COPIES` whose picture is the sample's own."""

LISTED = 10
"""So many of the records that could not be used are told on the screen."""

_maker: QuestionMaker | None = None  # one per worker process, built by _start_worker


def _start_worker(corpus: Path, split: str, size: int, open_share: float) -> None:
    global _maker
    _maker = QuestionMaker(read_corpus(corpus, split), size, open_share, still=split != "train")


def make_sample(index: int, out: Path, seed: int, **degrading) -> list[dict]:
    """Draw, degrade and write sample `index` of a corpus; returns its row, as `run_jobs` takes it."""
    rng = np.random.default_rng([seed, index])
    question = _maker.draw(rng)
    row, files = degrade_sample(index, question.image, rng, seed, **degrading)
    _write(out, files)
    row |= {
        "kind": question.kind,
        "source": question.source,
        "question": question.text,
        "options": list(question.options),
        "answer": question.answer,
        "answer_index": question.answer_index,
        "cue": question.thing.cue,
        "thing": question.thing.name,
        "others": list(question.others),
        "place": question.place,
        "count": question.count,
        "made_of": list(question.paths),
    }
    return [row]


def make_record(
    job: tuple[int, Mapping], read: Callable[[Mapping], Record], name: str, template: str | None,
    out: Path, seed: int, size: int, **degrading,
) -> list[dict]:  # fmt: skip
    """Degrade and write the sample of a record; returns its row, or a row with the key "error"."""
    index, raw = job
    try:
        record = read(raw)
        if record.degraded:
            raise ValueError("it has a chain or a recipe, so its picture is degraded already: take it with --as-is")
        fields = question_fields(record, template)
        image, *more = (fit_inside(open_picture(picture), size) for picture in record.pictures)
        row, files = degrade_sample(index, image, np.random.default_rng([seed, index]), seed, **degrading)
        further = {f"more/{index:06d}_{place}.png": encode(picture, "png") for place, picture in enumerate(more, 1)}
    except Exception as error:  # a record may be anything; what cannot be written ends the run
        return [{"id": index, "error": str(error) if isinstance(error, ValueError) else repr(error)}]
    _write(out, files | further)
    row |= {**UNKNOWN, **fields, "source": record.source or name}
    row["made_of"] = [str(picture) for picture in record.pictures if isinstance(picture, Path)]
    return [row | {"more_images": list(further)} if further else row]


def degrade_sample(
    index: int, image: Image.Image, rng: np.random.Generator, seed: int,
    types: tuple[int, int], intensity: tuple[float, float], copies: bool,
) -> tuple[dict, dict[str, bytes]]:  # fmt: skip
    """Draw a recipe and degrade a picture; returns what the sample's row says of it, and its files.

    With `copies`, three degraded pictures of one type and one seed at the strengths of the published benchmarks; the
    types are dealt so that the stages come equally often, and so do the types of a stage.
    """
    if copies:
        recipes = {copy: Recipe({dealt_type(seed, index): strength}) for copy, strength in COPIES.items()}
    else:
        recipes = {FULL: Recipe.sample(rng, count=types, intensity=intensity)}
    degrade_seed = int(rng.integers(2**31))
    names = {copy: f"degraded{'' if copy == FULL else f'_{copy}'}/{index:06d}.png" for copy in recipes}
    files = {names[copy]: encode(degrade(image, recipe, degrade_seed), "png") for copy, recipe in recipes.items()}
    clean = f"clean/{index:06d}.png"
    row = {
        "id": index, "image": names[FULL], "clean": clean, "recipe": str(recipes[FULL]), "seed": degrade_seed,
    }  # fmt: skip
    return (row | {"copies": names} if copies else row), files | {clean: encode(image, "png")}


def _write(out: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_whole(out / name, content)


def synthesize(
    source: str | Path, out: Path, *, count: int | None = None, split: str | None = None, seed: int = 0,
    size: int = 224, open_share: float = 0.15, types: tuple[int, int] = TYPES,
    intensity: tuple[float, float] = INTENSITY, copies: bool = False, template: str | None = None,
    workers: int | None = None, **opening,
) -> Path:  # fmt: skip
    """Make `count` samples of a source (of records by default all); returns the path of their table.

    Args:
        template: the prompt template that records have put their questions into.
        opening: how to read records, as `training.sources.open_source` takes it.

    The module's docstring and ``--help`` tell the rest.
    """
    from training.sources import is_corpus, open_source  # `datasets` takes a second to load, which workers save

    _check(count, size, open_share, types, intensity, template, workers)
    of_corpus = opening.get("format") == "corpus" or (not opening.get("format") and is_corpus(str(source)))
    degrading = {"seed": seed, "types": list(types), "intensity": list(intensity), "copies": copies}
    settings = {"source": str(source), "size": size, "open_share": open_share, "template": template, **degrading}
    settings |= {name: str(value) for name, value in sorted(opening.items()) if value}
    if of_corpus:
        split = split or "train"
        if split not in SPLITS or count is None:
            raise ValueError(f"a corpus takes --count and --split of {', '.join(SPLITS)}, not {count} and {split}")
        jobs, work = range(count), partial(make_sample, out=out, **degrading)
        start = partial(_start_worker, Path(source), split, size, open_share)
    else:
        opened = open_source(str(source), split=split, **opening)
        count = len(opened.records) if count is None else min(count, len(opened.records))
        jobs, start = islice(enumerate(opened.records), count), None
        reading = {"read": opened.read, "name": opened.name, "template": template}
        work = partial(make_record, out=out, size=size, **reading, **degrading)
    claim(out, settings | {"split": split})
    table = out / "samples.jsonl"
    with alone_in(out):
        run_jobs(
            table, jobs, count, work, key="id", files=("image", "clean"), workers=workers, start=start,
            description=f"samples ({split or 'all'})",
        )  # fmt: skip
    return table


def _check(
    count: int | None, size: int, open_share: float, types: tuple[int, int], intensity: tuple[float, float],
    template: str | None, workers: int | None,
) -> None:  # fmt: skip
    """Refuse before a folder is made what no sample could be made with.

    Raises:
        ValueError: with the reason.
    """
    for name, number in (("count", count), ("size", size), ("workers", workers)):
        if number is not None and number < 1:
            raise ValueError(f"--{name} must be at least 1, not {number}")
    if not 0 <= open_share <= 1:
        raise ValueError(f"--open-share lies in 0..1, not {open_share}")
    Recipe.sample(np.random.default_rng(0), count=types, intensity=intensity)
    if template is not None:
        build_prompt("", template)


# --- the command line ---


def main() -> int:
    options = vars(_parser().parse_args())
    source, out, as_is, prompt_file = (options.pop(name) for name in ("source", "out", "as_is", "prompt_file"))
    opening = {name: options.pop(name) for name in ("format", "image_folder", "dataset")}
    opening["columns"] = dict(options.pop("columns") or {})
    options.update(types=tuple(options["types"]), intensity=tuple(options["intensity"]))
    try:
        options["template"] = prompt_file.read_text().strip() if prompt_file else None
        if options["copies"] and (as_is or (options["types"], options["intensity"]) != (TYPES, INTENSITY)):
            raise ValueError("--copies is one type at fixed strengths; leave --types, --intensity and --as-is out")
        if as_is:
            from training.imports import take_as_they_are
            from training.sources import open_source

            opened = open_source(source, split=options["split"], **opening)
            table = take_as_they_are(opened, out, options["count"], options["template"])
            refused = [(row["id"], row["reason"]) for row in read_table(out / "rejected.jsonl") if not row.get("kept")]
        else:
            table = synthesize(source, out, **options, **opening)
            refused = [(row["id"], row["error"]) for row in read_table(table) if "error" in row]
    except (OSError, ValueError, StoppedError) as error:
        print(error, file=sys.stderr)
        return 2
    done = sum("error" not in row for row in read_table(table))
    for number, reason in refused[:LISTED]:
        print(f"  record {number}: {reason}", file=sys.stderr)
    if refused:
        more = f" (the first {LISTED} above)" if len(refused) > LISTED else ""
        print(f"Not done: {len(refused)} of {len(refused) + done} records{more}.", file=sys.stderr)
    print(f"{table}: {done} samples")
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", help="folder of labelled pictures; .jsonl, .json, .parquet; folder of a dataset; owner/name[:config]")
    add("out", type=Path, help="folder for the samples; an unfinished run in it goes on")
    add("--count", type=int, help="number of samples; of records the first ones (default: all)")
    add("--split", help=f"of a corpus {', '.join(SPLITS)}; of a dataset one of its own (default: train)")
    add("--seed", type=int, default=0, help="what is drawn (default: %(default)s)")
    add("--size", type=int, default=224, help="pictures are fitted inside a square of this side (default: %(default)s)")
    text = "share of a corpus' photo questions without options (default: %(default)s)"
    add("--open-share", type=float, default=0.15, help=text)
    text = "least and most degradations at once (default: %(default)s)"
    add("--types", type=int, nargs=2, default=TYPES, metavar=("LEAST", "MOST"), help=text)
    text = "range of each intensity (default: %(default)s)"
    add("--intensity", type=float, nargs=2, default=INTENSITY, metavar=("LOW", "HIGH"), help=text)
    add("--copies", action="store_true", help="one type each, at the three strengths of the published benchmarks")
    add("--workers", type=int, help="processes (default: one a core)")
    records = parser.add_argument_group("for records")
    add = records.add_argument
    add("--as-is", action="store_true", help="they have degraded pictures and chains: copy both")
    add("--format", choices=("corpus", *FORMATS), help="of the source, where it does not tell itself")
    add("--image-folder", type=Path, help="what paths of pictures are relative to (default: the file's folder)")
    add("--columns", type=_pair, nargs="+", metavar="PART=NAME", help=f"names of columns; PART: {', '.join(COLUMNS)}")
    add("--dataset", metavar="NAME", help="an entry in a dataset_info.json of several")
    add("--prompt-file", type=Path, help="prompt template that the questions were put into")
    return parser


def _pair(text: str) -> tuple[str, str]:
    part, equals, name = text.partition("=")
    if part not in COLUMNS or not equals:
        raise argparse.ArgumentTypeError(f"write PART=NAME with one of {', '.join(COLUMNS)} as PART, not {text!r}")
    return part, name


if __name__ == "__main__":
    sys.exit(main())
