"""Minimal copies of what VLMEvalKit and lmms-eval expect of a model, told in our own words.

VLMEvalKit: vlmeval/vlm/base.py and inference.py as of 2025. lmms-eval: lmms_eval/api/model.py and models/registry_v2.py
as of its version 0.6. Both packages need torchvision, which has no build for every machine that runs these tests.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members) -> None:
    """A module of this name for the time of a test, its packages included."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        own = ".".join(parts[:end])
        if own not in sys.modules:
            monkeypatch.setitem(sys.modules, own, ModuleType(own))
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


# --- VLMEvalKit ---


class BaseModel:
    """Its models: a message is a list of parts, each with a type and a value; pictures are paths."""

    allowed_types = ("text", "image")

    def set_dump_image(self, function: Callable) -> None:
        self.dump_image_func = function

    def dump_image(self, line, dataset):
        return self.dump_image_func(line)

    def use_custom_prompt(self, dataset):
        return False

    def generate(self, message, dataset=None):
        for part in message:
            assert set(part) == {"type", "value"} and part["type"] in self.allowed_types
            assert part["type"] == "text" or Path(part["value"]).is_file()
        return self.generate_inner(message, dataset)


def vlmevalkit(monkeypatch: pytest.MonkeyPatch, types: dict[str, str]) -> None:
    """Install it; `types` are those of data sets."""
    module(monkeypatch, "vlmeval.vlm.base", BaseModel=BaseModel)
    module(monkeypatch, "vlmeval.dataset", DATASET_TYPE=types.get)


def vlmevalkit_predictions(model: BaseModel, rows: list[dict], name: str, dump: Callable) -> list[str]:
    """What its inference stores of every row; a data set words questions that the model does not."""
    model.set_dump_image(dump)
    result = []
    for row in rows:
        if model.use_custom_prompt(name):
            message = model.build_prompt(row, dataset=name)
        else:
            text = f"Question: {row['question']}\n"
            options = {letter: row[letter] for letter in "ABCD" if letter in row}
            if options:
                text += "Options:\n" + "".join(f"{letter}. {option}\n" for letter, option in options.items())
                text += "Please select the correct answer from the options above. \n"
            message = [*({"type": "image", "value": path} for path in dump(row)), {"type": "text", "value": text}]
        result.append(model.generate(message, dataset=name))
    return result


# --- lmms-eval ---


class Lmms:
    """Its models: rank and size of a distributed run, and the tasks' documents."""

    is_simple = True

    def __init__(self):
        self._rank, self._world_size, self.task_dict = 0, 1, {}

    @property
    def rank(self):
        return self._rank

    @property
    def world_size(self):
        return self._world_size


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple = ()


@dataclass(frozen=True)
class Request:
    """An instance: the arguments of a model's function."""

    args: tuple


def lmms_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "lmms_eval.api.model", lmms=Lmms)
    module(monkeypatch, "lmms_eval.models.registry_v2", ModelManifest=ModelManifest)


def lmms_requests(model: Lmms, task: str, documents: list[dict], word: Callable[[dict], str]) -> list[Request]:
    """The requests of a task's documents, each with its pictures under "image"."""
    model.task_dict[task] = {"test": documents}

    def visuals(document: dict) -> list[Image.Image]:
        return [document["image"]]

    return [
        Request((word(document), {"max_new_tokens": 16}, visuals, number, task, "test"))
        for number, document in enumerate(documents)
    ]
