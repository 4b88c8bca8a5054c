"""Sets of questions from every source, as rows (`training.evaluation.rows`).

What a source is, is told by what lies there:

- a folder with ``samples.jsonl``, made by ``training.synthesize``: its own pictures in its own states;
- a TSV of VLMEvalKit, by its path, or by its name in VLMEvalKit's cache (``$LMUData``, else ``~/LMUData``);
- R-Bench, CSV or Parquet or a name on the Hub, known by its columns ``ref_image`` and ``dis_image``;
- a folder with ``examples.json``, as the one that ships: the questions that have a right answer; their own recipes,
  which were chosen to show something, play no part;
- a JSON Lines file of questions or a folder with one, and whatever else `training.sources` opens.

A name on the Hub is ``owner/name``, ``owner/name:config``, with ``#split`` behind it for another split than train.
Questions of TSV, examples and JSON Lines are asked at the published levels: clean, and one type of degradation a
picture at 25, 50 and 100 %, dealt and seeded as by ``python -m degradations benchmark``, so the pictures are those that
it writes. Those of TSV can be taken from the folder that it wrote.
"""

from collections import Counter
from itertools import islice
from pathlib import Path

from degradations import Recipe
from demo.examples import load_examples
from training.data import read_samples
from training.evaluation.levels import PUBLISHED, Levels, States, keep
from training.evaluation.rbench_questions import csv_records, is_rbench, read_rbench
from training.evaluation.rows import CLEAN, DEGRADED, MCQ, VQA, Picture, make_row, states_of
from training.evaluation.tsv import cache, find_table, read_tsv
from training.formats import question_fields
from training.sources import Source, open_source

SAMPLES, EXAMPLES = "samples.jsonl", "examples.json"


def read_set(source: str, kept: Path, levels: Levels = PUBLISHED, limit: int | None = None) -> list[dict]:
    """The rows of a source.

    Args:
        kept: folder that receives pictures which lie inside of a table; they are called by their content.
        limit: the first rows only.

    Raises:
        ValueError: there is no such source, or nothing tells how to read it, or it holds no questions, two of one
            number, or such that have no state in common.
    """
    path = Path(source)
    if (path / SAMPLES).exists():
        rows = read_samples(path, limit)
    elif table := find_table(source):
        rows = read_tsv(table, kept, levels, limit)
    elif path.suffix == ".csv" and path.is_file():
        rows = read_rbench(csv_records(path), path.parent, kept, limit)
    elif (path / EXAMPLES).exists():
        rows = _read_examples(path, levels, limit)
    else:
        rows = _of_records(source, kept, levels, limit)
    if not rows:
        raise ValueError(f"{source} holds no questions")
    if twice := [number for number, count in Counter(row["id"] for row in rows).items() if count > 1]:
        raise ValueError(f"{source} holds several questions of the number {twice[0]}; give each its own")
    if not states_of(rows):
        raise ValueError(f"{source} holds photos as they are and degraded ones, which are asked in no state in common")
    return rows


def _read_examples(folder: Path, levels: Levels, limit: int | None) -> list[dict]:
    _refuse_copies(levels, folder)
    rows = []
    for number, example in enumerate(load_examples(folder)[:limit]):
        if example.answer is not None:
            options, states = list(example.options), levels.on_the_fly([(number, str(example.image))])
            asked = (example.question, options, options[example.answer], example.answer)
            rows.append(make_row(number, *asked, "example", folder.name, MCQ) | states.keys())
    return rows


def _refuse_copies(levels: Levels, source: str | Path) -> None:
    if levels.folder:
        raise ValueError(f"copies are taken from a folder for tables of VLMEvalKit only, and {source} is none")


def _of_records(source: str, kept: Path, levels: Levels, limit: int | None) -> list[dict]:
    path, (name, _, split) = Path(source), source.partition("#")
    if not path.exists() and "/" not in source:
        raise ValueError(f"there is no {source} here, and no {source}.tsv in VLMEvalKit's cache ({cache()})")
    if path.is_dir():
        tables = [*path.glob("*.jsonl"), *path.rglob("*.parquet")]
        if not tables:
            raise ValueError(f"{source} holds no {SAMPLES}, nor questions as .jsonl; see python -m training.synthesize")
    opened = open_source(source if path.exists() else name, split=split or None)
    if is_rbench(opened.records[0]):
        return read_rbench(opened.records, path if path.is_dir() else path.parent, kept, limit)
    return _read_questions(opened, kept, levels, limit)


def _read_questions(source: Source, kept: Path, levels: Levels, limit: int | None) -> list[dict]:
    """Rows of an opened source; a record that was degraded already keeps its pictures.

    Raises:
        ValueError: a record cannot be read, or copies are to come from a folder.
    """
    _refuse_copies(levels, source.given)
    rows, place = [], 0
    for number, raw in enumerate(islice(source.records, limit)):
        try:
            record = source.read(raw)
            fields = question_fields(record)
            told = record.recipe or record.sample.get("recipe")
            recipe = None if told is None else Recipe.parse(told)
        except ValueError as error:
            raise ValueError(f"record {number} of {source.given}: {error}") from error
        files = [str(_file(picture, kept)) for picture in record.pictures]
        if record.degraded:
            states = States()
            if record.clean:
                states.add(CLEAN, [Picture(str(_file(record.clean, kept)))], Recipe())
            states.add(DEGRADED, list(map(Picture, files)), recipe)
        else:
            states = levels.on_the_fly(list(enumerate(files, place)))
        place += len(files)
        asked = (fields["question"], fields["options"], fields["answer"], fields["answer_index"])
        task = MCQ if fields["options"] else VQA
        rows.append(make_row(number, *asked, record.source or source.name, source.name, task) | states.keys())
    return rows


def _file(picture: Path | bytes, kept: Path) -> Path:
    return picture if isinstance(picture, Path) else keep(picture, kept)
