"""Samples about things that their pictures do not show: ``python -m training.exchanged SAMPLES OUT``.

SAMPLES is a folder of ``training.synthesize``. OUT receives its rows; of the questions about the main object most
(``--share``) become questions about another one, about what is in a corner, or where it is, and the row says under
``exchanged`` which classes of ImageNet its picture's features are to be exchanged for (`training.exchange`). The
pictures stay where they are. ``training.write`` writes the chains, ``training.sft`` learns them; nobody else reads
such samples.

An adapter that learns the chain on a thousand photos learns the photos, as its base would.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from degradations.files import write_whole
from degradations.jobs import StoppedError, alone_in, claim
from training.corpus import read_things
from training.data import pixels, read_picture, read_samples
from training.embedded import IMAGE_SIZE, imagenet_classifier
from training.exchange import QUARTERS, WHOLE, Exchange, class_things
from training.questions import OPTIONS, PLACES, WORDING

SHARE = 0.75
MOST = 3
"""So many corners at most show another thing."""
STATISTICS_OF = 2000
"""Clean pictures whose features say how features vary."""


# --- the samples ---


class Exchanger:
    """Makes rows about things that their pictures do not show."""

    def __init__(self):
        vocabulary = [thing for thing in read_things().values() if thing.group == "object"]
        self.right = {thing.name: thing.right for thing in vocabulary}
        self.classes: dict[str, list[int]] = {}
        self.things = class_things()
        for number, thing in self.things.items():
            self.classes.setdefault(thing.name, []).append(number)
        frequency = np.sqrt([len(classes) for classes in self.classes.values()])
        self.frequency = frequency / frequency.sum()

    def __call__(self, row: dict, rng: np.random.Generator) -> dict:
        """The row about another object, or about things in its picture's corners."""
        kind = str(rng.choice(["object", "object", "which", "where"]))
        count = 1 if kind == "object" else int(rng.integers(1, MOST + 1))
        names = [str(name) for name in rng.choice(list(self.classes), count, replace=False, p=self.frequency)]
        classes = [int(rng.choice(self.classes[name])) for name in names]
        corners = [PLACES[place] for place in rng.permutation(len(PLACES))[:count]]
        places = [""] if kind == "object" else corners
        question = WORDING[kind][rng.integers(len(WORDING[kind]))].format(thing=names[0])
        answer, options = names[0], []
        if kind == "where":
            answer, options = places[0], list(PLACES)
        elif kind == "which" or row["options"]:
            shown = names if kind == "object" else [*names, row["thing"]]
            visible = set().union(*(self.right[name] for name in shown))
            wrong = [name for name in sorted(self.right) if name not in visible]
            options = [str(name) for name in rng.permutation([answer, *rng.choice(wrong, OPTIONS - 1, replace=False)])]
        return row | {
            "kind": kind,
            "question": question,
            "options": options,
            "answer": answer,
            "answer_index": options.index(answer) if options else None,
            "cue": self.things[classes[0]].cue,
            "thing": names[0],
            "others": names[1:],
            "place": places[0],
            "exchanged": [{"place": place, "class": number} for place, number in zip(places, classes, strict=True)],
        }


def exchange_samples(samples: Path, out: Path, share: float = SHARE, seed: int = 0) -> Path:
    """Write the table of a folder's samples with some of them exchanged; returns its path.

    Raises:
        ValueError: there are no samples, or the share is none.
        StoppedError: another run is at work in the folder.
        OtherRunError: the folder holds another run.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of object questions to exchange lies in (0, 1], not {share}")
    rows, exchanger = read_samples(samples), Exchanger()
    table = out / "samples.jsonl"
    claim(out, {"samples": str(samples), "share": share, "seed": seed})
    with alone_in(out):
        lines = []
        for row in rows:
            rng = np.random.default_rng([seed, row["id"], *b"exchanged"])  # by the first two the sample was drawn
            row |= {name: os.path.relpath(row[name], out) for name in ("image", "clean")}
            chosen = row["kind"] == "object" and rng.random() < share
            lines.append(json.dumps(exchanger(row, rng) if chosen else row))
        write_whole(table, "".join(f"{line}\n" for line in lines).encode())
    return table


# --- what a model sees of them ---

NONE = -1


def encode(exchanged: list[dict]) -> list[list[int]]:
    """What is exchanged in a picture, as (place, class) pairs of numbers; always `MOST` of them, the rest `NONE`."""
    pairs = [[len(PLACES) if not one["place"] else PLACES.index(one["place"]), one["class"]] for one in exchanged]
    return pairs + [[NONE, NONE]] * (MOST - len(pairs))


class Exchanging:
    """Has a model see exchanged features: between its tower and its projector.

    Args:
        model: a FastVLM on the tower that ImageNet's classifier was made for, without the wrapper of an adapter.
        pictures: clean ones, from whose features the exchange learns how features vary.
    """

    def __init__(self, model: PreTrainedModel, pictures: list[str]):
        self.tower = model.model.vision_tower
        self.exchange = Exchange(imagenet_classifier(), self._means(pictures))
        self.wanted: torch.Tensor | None = None
        self.tower.register_forward_hook(self._see)

    @contextmanager
    def of(self, wanted: torch.Tensor | None) -> Iterator[None]:
        """While this lasts, the tower is shown one batch of pictures.

        Args:
            wanted: integers (pictures, `MOST`, 2), what `encode` gives for each.
        """
        self.wanted = wanted
        try:
            yield
        finally:
            self.wanted = None

    @torch.no_grad()
    def _see(self, tower, arguments, output):
        """Called with the tower's output of every batch, of shape (pictures, channels, rows, columns)."""
        if self.wanted is None:
            return None
        seen = output.last_hidden_state
        if len(seen) != len(self.wanted):
            raise RuntimeError(f"{len(self.wanted)} exchanges for {len(seen)} pictures: each sample needs one picture")
        features = seen.flatten(2).transpose(1, 2).float().cpu().numpy().copy()
        for picture, pairs in zip(features, self.wanted.tolist(), strict=True):
            for place, wanted in pairs:
                if wanted != NONE:
                    positions = [*QUARTERS, WHOLE][place]
                    picture[positions] = self.exchange(picture[positions], wanted)
        output.last_hidden_state = torch.from_numpy(features).transpose(1, 2).reshape(seen.shape).to(seen)
        return output

    @torch.inference_mode()
    def _means(self, pictures: list[str], batch_size: int = 32) -> np.ndarray:
        """The mean features of pictures, float32 (pictures, channels)."""
        weight = next(self.tower.parameters())
        means = []
        for start in tqdm(range(0, len(pictures), batch_size), desc="how features vary"):
            batch = torch.stack(
                [pixels(read_picture(path), IMAGE_SIZE) for path in pictures[start : start + batch_size]]
            )
            seen = self.tower(batch.to(weight).contiguous(memory_format=torch.channels_last)).last_hidden_state
            means.append(seen.float().mean((2, 3)).cpu().numpy())
        return np.concatenate(means)


class ExchangedCollator:
    """A data collator that hands on what is exchanged in each example's picture."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, examples: list[dict]) -> dict:
        wanted = torch.tensor([example.pop("exchanged") for example in examples])
        batch = self.collate(examples)
        batch["exchanged"] = wanted
        return batch


# --- the command line ---


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder made by training.synthesize")
    parser.add_argument("out", type=Path, help="folder for the table")
    text = "share of questions about the main object that are exchanged (default: %(default)s)"
    parser.add_argument("--share", type=float, default=SHARE, help=text)
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
