"""What can be read from what a tower sees: degradations by a large head, things by the ImageNet classifier.

    python -m training.ceiling --tower runs/eyes --samples data/train --development data/development \\
        --validation data/validation --things data/natural --output runs/ceiling

TOWER is what ``training.perceive`` made, or a base checkpoint's folder. Mean, deviation and maximum of its features
over the picture go through a perceptron that says for each type whether it is there and how strong. It stops learning
when the development samples say so, and they choose how sure it must be to name a type. What it reaches on the
validation samples is about what can be read from these features.

What the classifier, whose weights the tower began with, thinks likeliest of the options is its answer to a question
about an object; on the validation samples and on any further set. OUTPUT receives ``ceiling.json`` and the cached
features.
"""

import argparse
import copy
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, set_seed

from degradations import Recipe
from degradations.files import write_whole
from demo import checkpoints
from training.data import TYPES, cached, pixels, read_picture, read_samples, targets
from training.embedded import EYES, IMAGE_SIZE, build_model, build_tokenizer, imagenet_classifier, load_eyes
from training.evaluation import naming
from training.evaluation.figures import columns, figures, figures_by_type
from training.evaluation.resampling import intervals, weights
from training.evaluation.rows import DEGRADED, photo_of, picture_of, states_of
from training.evaluation.said import Reply
from training.evaluation.tables import table
from training.exchange import class_things
from training.folding import fold

CEILING = "ceiling.json"
THRESHOLDS = np.arange(0.05, 0.96, 0.01)
TOLD = (naming.F1, naming.PRECISION, naming.RECALL, naming.ERROR, naming.TOTALS, naming.R_DEG)


@dataclass(frozen=True)
class Seen:
    """Features and truth of some samples: float32 (rows, width), and twice (rows, types)."""

    features: torch.Tensor
    presence: torch.Tensor
    intensity: torch.Tensor


class Head(nn.Module):
    """Pooled features (batch, width) -> logits of presence and of intensity, each (batch, types).

    Args:
        features: those of the training samples, which it normalises by.
    """

    def __init__(self, features: torch.Tensor, hidden: int, dropout: float):
        super().__init__()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", 1 / features.std(0).clamp(min=1e-4))
        layers = nn.Linear(features.shape[1], hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 2 * len(TYPES))
        parts = [part for layer in layers for part in (nn.Dropout(dropout), layer, nn.GELU())]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layers((features - self.mean) * self.scale).chunk(2, dim=-1)


def load_tower(folder: Path) -> nn.Module:
    """The vision tower of eyes or of a base checkpoint, folded.

    Raises:
        CheckpointError: the folder holds neither.
    """
    if (folder / EYES).exists():
        model = build_model(build_tokenizer([]))
        load_eyes(model, folder)
    else:
        checkpoints.find(str(folder))
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    return fold(model.model.vision_tower.eval())


@torch.inference_mode()
def see(tower: nn.Module, rows: list[dict], cache: Path, batch_size: int = 32) -> Seen:
    """What the tower sees of degraded pictures: mean, deviation and maximum of its features, kept on disk."""
    source = hashlib.sha256(json.dumps(rows).encode())
    for weight in tower.state_dict().values():
        source.update(weight.numpy().tobytes())
    width = 3 * _width(tower)

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), batch_size):
            some = [pixels(read_picture(row["image"]), IMAGE_SIZE) for row in rows[start : start + batch_size]]
            pictures = torch.stack(some).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                seen = tower(pictures).last_hidden_state
            seen = seen.float().flatten(2)
            yield torch.cat([seen.mean(2), seen.std(2), seen.amax(2)], 1).half().numpy()

    features = cached(cache, "pooled", source.hexdigest(), (len(rows), width), batches())
    truth = [targets(Recipe.parse(row["recipe"])) for row in rows]
    presence, intensity = (torch.stack(column) for column in zip(*truth, strict=True))
    return Seen(torch.from_numpy(np.array(features, np.float32)), presence, intensity)


def _width(tower: nn.Module) -> int:
    with torch.inference_mode():
        return tower(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)).last_hidden_state.shape[1]


def learn(train: Seen, development: Seen, hidden: int, dropout: float, epochs: int, patience: int) -> tuple[Head, int]:
    """Train a head until the development samples have not gained from `patience` epochs.

    Returns:
        The head at its best, and after how many epochs that was.
    """
    head = Head(train.features, hidden, dropout)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
    best, best_epoch, kept = np.inf, 0, None
    with tqdm(range(1, epochs + 1), desc="head") as bar:
        for epoch in bar:
            head.train()
            for batch in torch.randperm(len(train.features)).split(256):
                optimizer.zero_grad()
                loss(head, Seen(train.features[batch], train.presence[batch], train.intensity[batch])).backward()
                optimizer.step()
            head.eval()
            with torch.inference_mode():
                now = loss(head, development).item()
            bar.set_postfix(development=f"{now:.4f}")
            if now < best:
                best, best_epoch, kept = now, epoch, copy.deepcopy(head.state_dict())
            elif epoch - best_epoch >= patience:
                break
    head.load_state_dict(kept)
    return head, best_epoch


def loss(head: Head, seen: Seen) -> torch.Tensor:
    """Cross-entropy of presence, and mean absolute error of the intensities of what is there."""
    presence, intensity = head(seen.features)
    wrong = (intensity.sigmoid() - seen.intensity).abs() * seen.presence
    named = functional.binary_cross_entropy_with_logits(presence, seen.presence)
    return named + wrong.sum() / seen.presence.sum().clamp(min=1)


@torch.inference_mode()
def best_threshold(head: Head, seen: Seen) -> float:
    """The probability above which naming a type gives the best F1 over all types."""
    probability, there = head(seen.features)[0].sigmoid().numpy(), seen.presence.numpy() > 0

    def f1(threshold: float) -> float:
        named = probability > threshold
        return 2 * (named & there).sum() / max(1, named.sum() + there.sum())

    return float(max(THRESHOLDS, key=f1))


@torch.inference_mode()
def name(head: Head, seen: Seen, threshold: float) -> list[Recipe]:
    """What the head says of every picture."""
    presence, intensity = (logits.sigmoid().tolist() for logits in head(seen.features))
    return [
        Recipe({kind: strength for kind, p, strength in zip(TYPES, there, strong, strict=True) if p > threshold})
        for there, strong in zip(presence, intensity, strict=True)
    ]


def measure(rows: Sequence[dict], recipes: Sequence[Recipe]) -> dict:
    """The figures of `training.evaluate` for degraded pictures, of recipes without any words."""
    replies = [Reply(f"<TYPE>{recipe}<TYPE_END>", 0) for recipe in recipes]
    told, drawn = columns(rows, {DEGRADED: replies}, chain=True), weights([photo_of(row) for row in rows])
    found = figures(told, drawn)
    by_type = {kind: intervals(own) for kind, own in figures_by_type(told, drawn).items()}
    return {"samples": len(rows), **intervals({key: found[key] for key in TOLD}), "by type": by_type}


@torch.inference_mode()
def recognise(tower: nn.Module, rows: Sequence[dict]) -> dict[str, list[Reply]]:
    """Which of the options the ImageNet classifier thinks likeliest, of every picture: state -> a reply a row.

    An option is as likely as all classes together that it is a right name for.
    """
    classifier, things = imagenet_classifier(), class_things()

    def answer(row: dict, state: str) -> Reply:
        seen = tower(pixels(read_picture(picture_of(row, state)), IMAGE_SIZE)[None]).last_hidden_state.mean((2, 3))
        likely = classifier(seen)[0].softmax(-1).tolist()
        share = {name: sum(likely[n] for n, thing in things.items() if name in thing.right) for name in row["options"]}
        return Reply(max(share, key=share.get), 0)

    return {state: [answer(row, state) for row in tqdm(rows, desc=state)] for state in states_of(rows)}


def measure_things(tower: nn.Module, sets: Mapping[str, Path]) -> dict[str, dict]:
    """The classifier's accuracy on the questions about objects of every set that has some."""
    found = {}
    for name, folder in sets.items():
        rows = [row for row in read_samples(folder) if row["kind"] in ("object", "other") and row["options"]]
        if rows:
            told = columns(rows, recognise(tower, rows), chain=False)
            own = figures(told, weights([photo_of(row) for row in rows]))
            accuracies = {key: value for key, value in own.items() if key.startswith("accuracy")}
            found[name] = {"questions": len(rows), **intervals(accuracies)}
    return found


def report(result: dict) -> str:
    """The ceiling as Markdown."""
    overall = {key: value for key, value in result["figures"].items() if key != "by type"}
    types = result["figures"]["by type"]
    heads = {key: {kind: own[key] for kind, own in types.items()} for key in (naming.F1, naming.ERROR)}
    tables = [table({"large head": overall}), table(heads)]
    if result["things"]:
        tables += [
            "The ImageNet classifier's choice among the options, of questions about objects:",
            table(result["things"]),
        ]
    return "\n\n".join(tables)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tower", type=Path, required=True, help="eyes of training.perceive, or a base checkpoint")
    for part, text in (("samples", "to learn from"), ("development", "to stop by"), ("validation", "to measure on")):
        add(f"--{part}", type=Path, required=True, help=f"folder made by training.synthesize: {text}")
    text = "further folder of samples whose questions about objects the classifier answers; several"
    add("--things", type=Path, action="append", default=[], help=text)
    add("--output", type=Path, required=True, help=f"folder for {CEILING} and the features")
    add("--limit", type=int, help="learn from the first samples only")
    add("--hidden", type=int, default=1024)
    add("--dropout", type=float, default=0.3)
    add("--epochs", type=int, default=60)
    add("--patience", type=int, default=6, help="epochs without gain after which it stops")
    add("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        print(report(measure_ceiling(arguments)))
    except (OSError, ValueError, checkpoints.CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure_ceiling(arguments: argparse.Namespace) -> dict:
    """Learn a head, measure it, and write what came of it; the arguments are those of the command line."""
    set_seed(arguments.seed)
    tower = load_tower(arguments.tower)
    learned = read_samples(arguments.samples, arguments.limit)
    development, validation = read_samples(arguments.development), read_samples(arguments.validation)
    train, known, new = (see(tower, rows, arguments.output) for rows in (learned, development, validation))
    head, epochs = learn(train, known, arguments.hidden, arguments.dropout, arguments.epochs, arguments.patience)
    threshold = best_threshold(head, known)
    result = {
        "tower": str(arguments.tower),
        "learned from": {"samples": str(arguments.samples), "count": len(learned), "epochs": epochs},
        "parameters": sum(weight.numel() for weight in head.parameters()),
        "threshold": threshold,
        "measured on": str(arguments.validation),
        "figures": measure(validation, name(head, new, threshold)),
        "things": measure_things(tower, {path.name: path for path in (arguments.validation, *arguments.things)}),
    }
    write_whole(arguments.output / CEILING, (json.dumps(result, indent=2) + "\n").encode())
    return result


if __name__ == "__main__":
    sys.exit(main())
