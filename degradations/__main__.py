"""Degrade photos: one, a contact sheet of every type, a benchmark's three copies, training samples.

The result of every command follows from its arguments and the seed alone: not from the number of workers, the order in
which they finish, or how often the run was interrupted.
"""

import argparse
import io
import itertools
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from degradations.apply import degrade
from degradations.datasets import MANIFEST, Made, benchmark, synthesize
from degradations.files import ENCODERS, PhotoError, encode, read_photo, write_whole
from degradations.jobs import SETTINGS, StoppedError, read_table
from degradations.recipe import Recipe
from degradations.registry import COPIES
from degradations.sheet import INTENSITIES, WORKING_SIDE, contact_sheet

LISTED = 20
"""Unreadable photos that are named at the end; the manifest names all."""

STATUS = """exit status:
  0    all done
  1    done, but some photos could not be read: the first are listed, the manifest has all
  2    the arguments do not fit, or OUT holds something else; nothing was made
  3    stopped by something else (disk full, a worker killed); the same command goes on
  130  stopped by Ctrl-C; the same command goes on"""

RUNS = f"""OUT receives {MANIFEST}: a line of JSON for each file with its source, recipe, seed, file and sha256, or
with the error of a source that could not be read. Files appear whole or not at all. A run that was killed in
whatever way goes on where it stopped when the same command is given again; OUT/{SETTINGS} tells whether it is
the same. Photos that could not be read are tried again.

{STATUS}"""


APPLY = """Degrade one photo. Prints a line of JSON with source, recipe, seed, file and sha256."""

SHEET = f"""Draw one photo under every type at {", ".join(map(str, INTENSITIES))}, labelled, as one PNG less than 1600
pixels wide. The photo is fitted inside {WORKING_SIDE} pixels first. Prints a line of JSON, as apply does."""

BENCHMARK = f"""Make three copies of a benchmark by the published protocol. One type is dealt to each photo, the same
for its three copies: {", ".join(f"{copy} % is intensity {intensity}" for copy, intensity in COPIES.items())}.
Each stage has a quarter of the photos, split evenly among its types.

OUT is a data folder for VLMEvalKit:

    python -m degradations benchmark MMBench_DEV_EN.tsv OUT
    LMUData=OUT python run.py --data MMBench_DEV_EN_25 MMBench_DEV_EN_50 MMBench_DEV_EN_100 --model ...

  images/NAME_25/    the pictures; of a folder with its subfolders and names (a.jpg becomes a.jpg.png)
  NAME_25.tsv        every column of the source, the pictures inside: the table to pass on
  NAME_25_local.tsv  the same with the paths of the pictures instead. VLMEvalKit reads it by itself where the other
                     is above 1 GB. Versions before image_path of a single picture counted save NAME_25.tsv's as
                     JPEG, which degrades once more: there name the data set NAME_25_local

Pictures of a list get a type each; rows that point to another row's picture share its copy. The column image_path is
written anew. VLMEvalKit keeps what it decoded under the name of the table: after a run with another seed give another
--name.

{RUNS}"""

SYNTHESIZE = f"""Make training samples: every photo degraded by recipes of several types over the stages. OUT receives
degraded/*.png and, with --clean, clean/*.png; the manifest's rows have the recipes.

{RUNS}"""

QUESTION = "What does this picture show?"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    how = " The same command goes on from here." if command in (make_benchmark, make_samples) else ""
    try:
        return command(**options)
    except ValueError as error:
        return _say(f"{parser.prog}: {error}", 2)
    except StoppedError as error:
        return _say(f"Stopped: {error}.", 3)
    except OSError as error:
        return _say(f"Stopped: {error}.{how}", 3)
    except KeyboardInterrupt:
        return _say(f"\nStopped.{how}", 130)
    except Exception:  # whose status would be 1 otherwise, which has a meaning of its own
        traceback.print_exc()
        return 3


def apply_recipe(photo: Path, recipe: str, out: Path, *, seed: int, format: str) -> int:
    """Degrade one photo; prints the row that a manifest would have."""
    suffixes = {"png": (".png",), "jpeg": (".jpg", ".jpeg")}[format]
    if out.suffix.lower() not in suffixes:
        raise ValueError(
            f"{out} does not end in {' or '.join(suffixes)}; a JPEG takes --format jpeg: it degrades once more"
        )
    recipe = Recipe.parse(recipe)
    content = encode(degrade(_read(photo, out), recipe, seed), format)
    _print_row(source=str(photo), recipe=str(recipe), seed=seed, file=str(out), sha256=write_whole(out, content))
    return 0


def make_sheet(photo: Path, out: Path, *, seed: int) -> int:
    """Draw the contact sheet of one photo; prints the row that a manifest would have."""
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} does not end in .png")
    content = io.BytesIO()
    contact_sheet(_read(photo, out), seed).save(content, "PNG", optimize=True)
    sha256 = write_whole(out, content.getvalue())
    _print_row(source=str(photo), intensities=INTENSITIES, seed=seed, file=str(out), sha256=sha256)
    return 0


def make_benchmark(**options) -> int:
    made, lacking = benchmark(**options)
    status = _report(made)
    if lacking:
        _say(f"In the tables {lacking} rows are without a picture: empty in NAME.tsv, left out of NAME_local.tsv.")
    return status


def make_samples(*, types: list[int], intensity: list[float], **options) -> int:
    return _report(synthesize(types=tuple(types), intensity=tuple(intensity), **options))


def _read(photo: Path, out: Path) -> Image.Image:
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name a file in it")
    if out.exists() and photo.exists() and out.samefile(photo):
        raise ValueError(f"{out} is the photo itself, which is never overwritten; name another file")
    try:
        return read_photo(photo)
    except PhotoError as error:
        raise ValueError(f"{photo} is {error}") from error


def _report(made: Made) -> int:
    if made.passed_over:
        _say(f"Passed over: {made.passed_over} files without the suffix of a picture.")
    if made.failed:
        failures = (row for row in read_table(made.manifest) if "error" in row)
        for row in itertools.islice(failures, LISTED):
            _say(f"  {row['source']}: {row['error']}")
        more = f" (the first {LISTED} above, all in {made.manifest})" if made.failed > LISTED else ""
        _say(f"Not done: {made.failed} of {made.failed + made.done} photos{more}.")
    _say(f"Done: {made.done} photos, listed in {made.manifest}.")
    return 1 if made.failed else 0


def _print_row(**row) -> None:
    print(json.dumps(row))


def _say(text: str, status: int = 0) -> int:
    print(text, file=sys.stderr)  # which writes out what is not UTF-8 in a name; the standard output would fail
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m degradations",
        description=__doc__,
        epilog=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[..., int], name: str, summary: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        added.set_defaults(command=function)
        return added

    def shared(added: argparse.ArgumentParser, *, formats: bool = True, workers: bool = True) -> None:
        added.add_argument("--seed", type=whole_number, default=0, help="what is drawn (default %(default)s)")
        if formats:
            text = "png keeps every pixel (default); jpeg is smaller, but a degradation of its own"
            added.add_argument("--format", choices=ENCODERS, default="png", help=text)
        if workers:
            added.add_argument("--workers", type=positive_number, help="processes (default: one a core)")

    one = command(apply_recipe, "apply", "one photo, one recipe", APPLY)
    one.add_argument("photo", type=Path, metavar="PHOTO")
    one.add_argument("recipe", metavar="RECIPE", help="such as 'motion blur(0.45), jpeg compression(0.7)'")
    one.add_argument("out", type=Path, metavar="OUT", help="the PNG to write")
    shared(one, workers=False)

    sheet = command(make_sheet, "sheet", "one photo, every type at three strengths", SHEET)
    sheet.add_argument("photo", type=Path, metavar="PHOTO")
    sheet.add_argument("out", type=Path, metavar="OUT", help="the PNG to write")
    shared(sheet, formats=False, workers=False)

    copies = command(
        make_benchmark, "benchmark", "a folder or table, three copies by the published protocol", BENCHMARK
    )
    copies.add_argument("source", type=existing_path, metavar="SOURCE", help="a folder of photos, or a table (.tsv)")
    copies.add_argument("out", type=Path, metavar="OUT", help="a new folder, or that of the run to go on with")
    copies.add_argument("--name", type=plain_name, help="what the copies' names begin with (default: SOURCE's name)")
    copies.add_argument(
        "--question", default=QUESTION, help="asked about the photos of a folder (default '%(default)s')"
    )
    shared(copies)

    samples = command(
        make_samples, "synthesize", "a folder, training samples with recipes of several types", SYNTHESIZE
    )
    samples.add_argument("source", type=existing_path, metavar="SOURCE", help="a folder of photos")
    samples.add_argument("out", type=Path, metavar="OUT", help="a new folder, or that of the run to go on with")
    samples.add_argument(
        "--types", type=int, nargs=2, default=(0, 4), metavar=("LEAST", "MOST"), help="types at once (default 0 4)"
    )
    samples.add_argument(
        "--intensity",
        type=float,
        nargs=2,
        default=(0.1, 1.0),
        metavar=("LOW", "HIGH"),
        help="of each (default 0.1 1.0)",
    )
    samples.add_argument(
        "--copies", type=positive_number, default=1, help="samples of each photo (default %(default)s)"
    )
    samples.add_argument("--size", type=positive_number, help="fit photos inside a square of so many pixels first")
    samples.add_argument("--clean", action="store_true", help="write each photo as it was before, too")
    shared(samples)
    return parser


def whole_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {number}")
    return number


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def existing_path(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text}")
    return path


def plain_name(text: str) -> str:
    if not text or text != Path(text).name:
        raise argparse.ArgumentTypeError(f"must be a name without folders, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
