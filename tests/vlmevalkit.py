"""Reads a table as VLMEvalKit does: its image_base.py, tools.py and smp/ as of 2025, told in our own words."""

import ast
import base64
import io
from pathlib import Path

import pandas as pd
from PIL import Image


def as_list(cell: str) -> list[str]:
    return [str(part) for part in ast.literal_eval(cell)] if cell[0] == "[" and cell[-1] == "]" else [cell]


def read_data_set(data_folder: Path, name: str, shared_folder: str | None = None) -> dict[str, list[Image.Image]]:
    """index -> the pictures that a model would get, in the order of the rows that are asked.

    `shared_folder` is where tables of some names decode their pictures instead of into images/NAME.
    """
    root = data_folder / "images" / (shared_folder or name)
    data = pd.read_csv(data_folder / f"{name}.tsv", sep="\t")
    assert "question" in data
    inside = "image" in data
    if inside:
        data = data[~pd.isna(data["image"])]
        known = dict(zip(map(str, data["index"]), map(str, data["image"]), strict=True))
        for index, cell in known.items():
            if len(cell) <= 64:
                assert len(known[cell]) > 64, f"row {index} points to nothing"
                known[index] = known[cell]
    pictures = {}
    for _, row in data.iterrows():
        index, paths = str(row["index"]), as_list(row["image_path"])
        if inside:
            root.mkdir(parents=True, exist_ok=True)
            files = [root / path for path in paths]
            for file, text in zip(files, as_list(known[index]), strict=True):
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.open(io.BytesIO(base64.b64decode(text))).save(file)
        else:
            files = [Path(path) for path in paths]  # not resolved: they have to be absolute
        pictures[index] = [Image.open(file) for file in files]
    return pictures
