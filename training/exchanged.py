"""Samples about things that their pictures do not show: ``python -m training.exchanged SAMPLES OUT``.

SAMPLES is a folder of ``training.synthesize``. OUT receives its rows; of the questions about the main object most
(``--share``), of others some (``--others``) become questions about another one, about what is in a corner, or where it
is, and the row says under ``exchanged`` which classes of ImageNet its picture's features are to be exchanged for, and
in which shares (`training.exchange`). The pictures stay where they are. ``training.write`` writes the chains;
``training.sft`` and ``training.grpo`` read such samples, and nobody else.

An adapter that learns the chain on a thousand photos learns the photos, as its base would.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from tqdm import tqdm
from transformers import PreTrainedModel, ProcessorMixin

from degradations.files import write_whole
from degradations.jobs import StoppedError, alone_in, claim
from training.corpus import read_things
from training.data import read_picture, read_samples
from training.embedded import imagenet_classifier
from training.exchange import KINDS, QUARTERS, WHOLE, Classes, Exchange, class_things
from training.questions import PLACES, WORDING, options_with

SHARE, OTHERS = 0.75, 0.0
MOST_HIDDEN = 0.9
"""Share of a picture's positions that are hidden at most; what was done to it can still be told."""
STATISTICS_OF = 2000
"""Clean pictures whose features say how features vary."""


# --- the samples ---


class Exchanger:
    """Makes rows about things that their pictures do not show."""

    def __init__(self):
        vocabulary = read_things().values()
        self.right = {thing.name: thing.right for thing in vocabulary}
        self.names = sorted({thing.name for thing in vocabulary if thing.group == "object"})
        self.things, self.classes = class_things(), Classes()

    def __call__(self, row: dict, rng: np.random.Generator) -> dict:
        """The row about another object, or about things in its picture's corners."""
        kind = str(rng.choice(KINDS))
        number, asked = self._object(row, rng) if kind == "object" else self._corners(kind, row, rng)
        cue = self.things[number].cue if number in self.things else ""
        question = str(rng.choice(WORDING[kind])).format(thing=asked["thing"])
        answer = asked["place"] if kind == "where" else asked["thing"]
        index = asked["options"].index(answer) if asked["options"] else None
        # Nothing can be said about the looks of a thing that is no everyday one.
        kind = kind if cue else "other"
        return row | asked | {"kind": kind, "question": question, "answer": answer, "answer_index": index, "cue": cue}

    def _object(self, row: dict, rng: np.random.Generator) -> tuple[int | None, dict]:
        """What the whole picture shows: its class, if it is known, and what the row says of it."""
        if row["options"]:
            choice = self.classes.choose(rng)
            name, number, options, shares = choice.name, choice.number, choice.options, choice.shares
        else:
            (name,), (number,) = self.classes.draw(rng, 1)
            options, shares = [], {number: 1.0}
        exchanged = [{"place": "", "shares": list(shares.items())}]
        return number, {"thing": name, "others": [], "place": "", "options": options, "exchanged": exchanged}

    def _corners(self, kind: str, row: dict, rng: np.random.Generator) -> tuple[int, dict]:
        """What some corners show: the class of the first, and what the row says of them."""
        names, classes, corners = self.classes.corners(rng)
        places, options = [PLACES[corner] for corner in corners], list(PLACES)
        if kind == "which":
            # The corners in between still show what the picture does.
            there = [*names, row["thing"], *row["others"]]
            visible = set(there).union(*(self.right.get(name, ()) for name in there))
            options = list(options_with(rng, names[0], [name for name in self.names if name not in visible]))
        exchanged = [{"place": at, "shares": [(number, 1.0)]} for at, number in zip(places, classes, strict=True)]
        asked = {"thing": names[0], "others": names[1:], "place": places[0], "options": options, "exchanged": exchanged}
        return classes[0], asked


def exchange_samples(samples: Path, out: Path, share: float = SHARE, others: float = OTHERS, seed: int = 0) -> Path:
    """Write the table of a folder's samples with some of them exchanged; returns its path.

    Args:
        share: of the questions about the main object.
        others: share of all other questions.

    Raises:
        ValueError: there are no samples, or a share is none.
        StoppedError: another run is at work in the folder.
        OtherRunError: the folder holds another run.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of object questions to exchange lies in (0, 1], not {share}")
    if not 0 <= others <= 1:
        raise ValueError(f"the share of other questions to exchange lies in [0, 1], not {others}")
    rows, exchanger = read_samples(samples), Exchanger()
    table = out / "samples.jsonl"
    claim(out, {"samples": str(samples), "share": share, "others": others, "seed": seed})
    with alone_in(out):
        lines = []
        for row in tqdm(rows, desc="samples"):
            rng = np.random.default_rng([seed, row["id"], *b"exchanged"])  # by the first two the sample was drawn
            row |= {name: os.path.relpath(row[name], out) for name in ("image", "clean")}
            # Pictures that are black all over cannot be told apart when a trainer shows them.
            chosen = rng.random() < (share if row["kind"] == "object" else others) and _not_black(out / row["image"])
            lines.append(json.dumps(exchanger(row, rng) if chosen else row))
        write_whole(table, "".join(f"{line}\n" for line in lines).encode())
    return table


def _not_black(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.getbbox() is not None


# --- what a model sees of them ---


class Exchanging:
    """Has a model see exchanged features of the pictures of exchanged samples, between its tower and its projector.

    A picture is known again by its pixels, wherever a trainer shows it to the model.

    Args:
        model: a FastVLM on the tower that ImageNet's classifier was made for, with or without an adapter.
        processor: makes ``pixel_values`` of pictures.
        rows: all samples of the training.
        hidden_share: share of pictures, of all samples, of which a part is hidden.

    Raises:
        ValueError: two samples share a picture and want other things to be seen in it, or the share is none.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, processor: ProcessorMixin, rows: list[dict], hidden_share: float = 0.0
    ):
        if not 0 <= hidden_share <= 1:
            raise ValueError(f"the share of pictures to hide in part lies in [0, 1], not {hidden_share}")
        self.hidden_share = hidden_share
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self.tower, self.process = base.model.vision_tower, processor.image_processor
        self.exchange = Exchange(imagenet_classifier(), self._means(rows[:STATISTICS_OF]))
        self.wanted: dict[bytes, list[tuple[np.ndarray, dict[int, float]]]] = {}
        for row in tqdm([row for row in rows if "exchanged" in row], desc="pictures to exchange"):
            self._want(row)
        self.tower.register_forward_hook(self._see)

    def _want(self, row: dict) -> None:
        regions = dict(zip(("", *PLACES), (WHOLE, *QUARTERS), strict=True))
        wanted = [(regions[one["place"]], dict(one["shares"])) for one in row["exchanged"]]
        mine = set()
        # A recovered picture shows what the degraded one does.
        for name in ("image", "recovered"):
            if name not in row:
                continue
            key = picture_key(self._pixel_values([row[name]])[0])
            if key in self.wanted and key not in mine:
                raise ValueError(
                    f"another sample has the picture of {row['id']}, {row[name]}: they cannot be told apart"
                )
            mine.add(key)
            self.wanted[key] = wanted

    @torch.no_grad()
    def _see(self, tower, arguments, output):
        """Called with every batch of pictures and the tower's output, of shape (pictures, channels, rows, columns)."""
        keys = [picture_key(picture) for picture in arguments[0]]
        seen = output.last_hidden_state
        features = seen.flatten(2).transpose(1, 2).float().cpu().numpy().copy()
        for picture, key in zip(features, keys, strict=True):
            for positions, shares in self.wanted.get(key, ()):
                picture[positions] = self.exchange(picture[positions], shares)
            picture[self._hidden(key, len(picture))] = 0.0
        output.last_hidden_state = torch.from_numpy(features).transpose(1, 2).reshape(seen.shape).to(seen)
        return output

    def _hidden(self, key: bytes, count: int) -> np.ndarray:
        """Which of a picture's positions nobody sees, always the same ones of one picture; bool (count,)."""
        rng = np.random.default_rng(list(key)) if self.hidden_share else None
        if rng is None or rng.random() >= self.hidden_share:
            return np.zeros(count, bool)
        return rng.random(count) < MOST_HIDDEN * rng.random()

    @torch.inference_mode()
    def _means(self, rows: list[dict], batch_size: int = 32) -> np.ndarray:
        """The mean features of clean pictures, float32 (pictures, channels)."""
        means = []
        for start in tqdm(range(0, len(rows), batch_size), desc="how features vary"):
            pictures = self._pixel_values([row["clean"] for row in rows[start : start + batch_size]])
            seen = self.tower(pictures.to(next(self.tower.parameters()))).last_hidden_state
            means.append(seen.float().mean((2, 3)).cpu().numpy())
        return np.concatenate(means)

    def _pixel_values(self, paths: list[str]) -> torch.Tensor:
        return self.process([read_picture(path) for path in paths], return_tensors="pt")["pixel_values"]


def picture_key(picture: torch.Tensor) -> bytes:
    """Tells ``pixel_values`` of one picture, or patches of it, from those of any other."""
    return hashlib.blake2b(picture.contiguous().view(torch.uint8).cpu().numpy()).digest()


# --- the command line ---


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder made by training.synthesize")
    parser.add_argument("out", type=Path, help="folder for the table")
    text = "share of questions about the main object that are exchanged (default: %(default)s)"
    parser.add_argument("--share", type=float, default=SHARE, help=text)
    text = "share of the other questions that are exchanged (default: %(default)s)"
    parser.add_argument("--others", type=float, default=OTHERS, help=text)
    parser.add_argument("--seed", type=int, default=0, help="what is drawn (default: %(default)s)")
    options = parser.parse_args()
    try:
        table = exchange_samples(**vars(options))
    except (OSError, ValueError, StoppedError) as error:
        print(error, file=sys.stderr)
        return 2
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    print(f"{table}: {len(rows)} samples, {sum('exchanged' in row for row in rows)} of them exchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
