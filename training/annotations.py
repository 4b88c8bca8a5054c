"""What people said about predictions (the demo's tab Annotate), read as corrected samples.

An export of demo/annotate/exports.py, JSON Lines or an image dataset, is a row an item with what its annotators agree
on::

    {"file_name": "pictures/a.png", "question": "…", "options": […], "corrected": "lens blur(0.5)", "verdicts": "[…]",
     "sound": true, "chain": "<TYPE>…", "predicted": "…", "correct_answer": "cat", …}
"""

from collections.abc import Mapping
from pathlib import Path

from degradations import Recipe
from training.formats import Record, picture_of, pictures_of


def read_annotation(raw: Mapping, folder: Path) -> Record:
    """A record of the demo's annotations: the corrected recipe, and the chain if it was found sound in every part.

    A chain whose types or intensities were corrected is not taken: its reasoning speaks of others. Nor is one that was
    written from a recovered picture, too: it may speak of what the degraded one does not show.
    """
    if raw.get("verdicts") in (None, "", "[]"):
        raise ValueError("nobody has judged it")
    if raw.get("corrected") is None:
        raise ValueError("its annotators are split over a type, or gave no intensity for one that they corrected")
    if not raw.get("correct_answer"):
        raise ValueError("its answer was found wrong, or not judged, and the right one is not known")
    recipe = Recipe.parse(raw["corrected"])
    sound = raw.get("sound") is True and raw.get("chain") and Recipe.parse(raw.get("predicted") or "") == recipe
    sound = sound and not raw.get("recovered_file_name")
    clean = raw.get("clean_file_name") or raw.get("clean")
    return Record(
        pictures_of(raw.get("file_name") or raw.get("image"), folder),
        str(raw.get("question") or ""),
        tuple(raw.get("options") or ()),
        str(raw["correct_answer"]),
        source=raw.get("key"),
        recipe=str(recipe),
        clean=picture_of(clean, folder) if clean else None,
        chain=raw["chain"] if sound else None,
        corrected=True,
    )
