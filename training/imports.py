"""Datasets that have degraded pictures and chains already, taken as they are.

Pictures are copied byte by byte, chains go to ``chains.jsonl``; a record whose answer is no complete chain, or whose
picture cannot be read, goes to ``rejected.jsonl`` with the reason. Of annotations every sample that people have
corrected is taken; one whose chain they did not find sound has none, and its row in ``rejected.jsonl`` says so.
"""

import io
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from degradations import Recipe
from degradations.files import write_whole
from degradations.jobs import alone_in, claim
from training.formats import UNKNOWN, Record, complete_chain, open_picture, question_fields
from training.sources import Source

UNSOUND = "kept without its chain, which was corrected or not found sound"


def take_as_they_are(source: Source, out: Path, count: int | None = None, template: str | None = None) -> Path:
    """Copy the first `count` records of a source (default: all) to a dataset folder.

    Records that ``training.export`` wrote come back as the samples they were, with their ids. Others are numbered, have
    the recipe of their own column or else their chain's, no seed and no clean picture.

    Args:
        template: the prompt template that the records have put their questions into.

    Returns:
        The path of ``samples.jsonl``; ``chains.jsonl`` and ``rejected.jsonl`` lie beside it.
    """
    claim(out, {"source": source.given, "format": source.format, "as_is": True})
    with alone_in(out):
        samples, chains, rejected, taken = [], [], [], set()
        total = len(source.records) if count is None else min(count, len(source.records))
        for position, raw in enumerate(tqdm(islice(source.records, total), total=total, unit=" records")):
            said = ""
            try:
                record = source.read(raw)
                said = record.chain or str(record.answer)
                number = record.sample.get("id", position)
                if number in taken:
                    raise ValueError(f"another record is of the sample {number} as well")
                row, files = _sample(record, number, source.name, template)
            except ValueError as error:
                rejected.append({"id": position, "reason": str(error), "chain": said})
                continue
            for name, picture in files.items():
                write_whole(out / name, picture if isinstance(picture, bytes) else picture.read_bytes())
            samples.append(row)
            if record.corrected and record.chain is None:
                rejected.append({"id": number, "reason": UNSOUND, "chain": "", "kept": True})
            else:
                chains.append({"id": number, "chain": said, "writer": "imported"})
            taken.add(number)
        for name, rows in (("chains", chains), ("rejected", rejected), ("samples", samples)):
            write_whole(out / f"{name}.jsonl", _lines(rows))
    return out / "samples.jsonl"


def _sample(record: Record, number: int, source: str, template: str | None) -> tuple[dict, dict[str, Path | bytes]]:
    """The row of a sample, and its files."""
    chain = None if record.corrected and not record.chain else complete_chain(record.chain or str(record.answer))
    row = {"recipe": record.recipe or str(chain.recipe), "seed": None, "source": record.source or source, **UNKNOWN}
    row["made_of"] = [str(picture) for picture in record.pictures if isinstance(picture, Path)]
    row |= record.sample | question_fields(record, template)
    row["recipe"] = str(Recipe.parse(row["recipe"]))
    image, *more = (
        f"{folder}/{number:06d}{place}{_suffix(picture)}"
        for folder, place, picture in [
            ("degraded", "", record.pictures[0]),
            *(("more", f"_{place}", picture) for place, picture in enumerate(record.pictures[1:], 1)),
        ]
    )
    files = dict(zip([image, *more], record.pictures, strict=True))
    clean = None
    if record.clean is not None:
        clean = f"clean/{number:06d}{_suffix(record.clean)}"
        files[clean] = record.clean
    own = {"id": number, "image": image, "clean": clean}
    row = own | row | own  # first for the order, last as a record must not name files of its own
    return (row | {"more_images": more} if more else row), files


def _suffix(picture: Path | bytes) -> str:
    """What the file of a picture is called by; the picture is read to see whether it can be."""
    open_picture(picture)
    if isinstance(picture, Path):
        return picture.suffix.lower()
    with Image.open(io.BytesIO(picture)) as image:
        return {"JPEG": ".jpg"}.get(image.format, f".{image.format.lower()}")


def _lines(rows: Iterable[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
