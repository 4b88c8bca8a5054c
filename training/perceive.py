"""The eyes: teach the embedded model's vision tower and projector to see degradations.

``python -m training.perceive --config training/configs/perceive.yaml``

Two linear heads on the mean of the projected image tokens name the degradations and their intensities. What the tower
knew of the world is kept: on clean pictures its features must still give the ImageNet classifier's verdict, and a third
head must read from every projected token, of degraded pictures too, what the classifier said of that place on the clean
one. The heads stay beside the tower, to be compared with what the words say.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainingArguments, set_seed
from trl import TrlParser

from degradations import Recipe, Score
from training.data import TYPES, cached, pixels, read_pairs, read_picture, read_samples, targets
from training.embedded import (
    EYES,
    IMAGE_SIZE,
    IMAGE_TOKENS,
    PATCH_SIZE,
    build_model,
    build_tokenizer,
    load_eyes,
    load_imagenet_tower,
)
from training.folding import fold, unfold
from training.record import Clock, Run, keep_from_pushing, push
from training.resume import finished_checkpoint

SECTION = 160
"""Width and height of the smaller views, in pixels: half the work of a whole one."""


@dataclass
class PerceiveArguments:
    samples: Path = field(metadata={"help": "folder made by training.synthesize"})
    start: Path | None = field(default=None, metadata={"help": "eyes to go on from; default: the ImageNet tower"})
    heads_learning_rate: float = field(default=2e-3, metadata={"help": "the tower's is learning_rate"})
    small_share: float = field(default=0.67, metadata={"help": "share of batches that are sections: half the work"})
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})
    measured_on: Path | None = field(default=None, metadata={"help": "samples to measure the heads on at the end"})


class DegradedViews(Dataset):
    """Degraded pictures seen several times, each time as another section, mirrored half of the time.

    View n follows from (seed, n) alone.

    Args:
        rows: samples.
        verdicts: what a classifier says of every position of their clean pictures, float16 (rows, 7 * 7, classes).
        views: how many there are.
        small_share: share of batches that are sections of `SECTION` pixels square.
    """

    def __init__(self, rows: list[dict], verdicts: np.ndarray, views: int, seed: int, small_share: float = 0.0):
        self.rows, self.verdicts, self.views, self.seed, self.small_share = rows, verdicts, views, seed, small_share

    def __len__(self) -> int:
        return self.views

    def __getitems__(self, numbers: list[int]) -> list[dict[str, torch.Tensor]]:
        """A whole batch, as DataLoader asks for it, of one size."""
        small = np.random.default_rng([self.seed, numbers[0], 1]).random() < self.small_share
        return [self.view(number, SECTION if small else IMAGE_SIZE) for number in numbers]

    def view(self, number: int, size: int) -> dict[str, torch.Tensor]:
        """View `number`.

        Returns:
            ``pixel_values`` (3, size, size), ``presence`` and ``intensity`` (16,), ``verdict`` (positions, classes).
        """
        rng = np.random.default_rng([self.seed, number])
        index = number % len(self.rows)
        side, positions = IMAGE_SIZE // PATCH_SIZE, size // PATCH_SIZE
        top, left = rng.integers(side - positions + 1, size=2)
        verdict = torch.from_numpy(np.array(self.verdicts[index])).unflatten(0, (side, side))
        verdict = verdict[top : top + positions, left : left + positions]
        picture = pixels(read_picture(self.rows[index]["image"]), IMAGE_SIZE)
        view = picture[:, top * PATCH_SIZE :, left * PATCH_SIZE :][:, :size, :size]
        if rng.random() < 0.5:
            view, verdict = view.flip(-1), verdict.flip(1)
        presence, intensity = targets(Recipe.parse(self.rows[index]["recipe"]))
        return {"pixel_values": view, "presence": presence, "intensity": intensity, "verdict": verdict.flatten(0, 1)}


class Perception(nn.Module):
    """The model's tower and projector with the heads of this stage.

    Args:
        model: the embedded vision-language model; its projector is trained in place, its tower by `save_eyes`.
        classifier: the ImageNet classifier on the tower's features, which rests.
    """

    def __init__(self, model: nn.Module, classifier: nn.Linear):
        super().__init__()
        self.tower = fold(model.model.vision_tower)
        self.projector = model.model.multi_modal_projector
        width = model.config.text_config.hidden_size
        self.presence = nn.Linear(width, len(TYPES))
        self.intensity = nn.Linear(width, len(TYPES))
        self.thing = nn.Linear(width, classifier.out_features)
        self.classifier = classifier.requires_grad_(False)
        depthwise_in_float32(self.tower)

    def look(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (batch, 3, size, size) -> features (batch, positions, 1280), tokens (batch, positions, width)."""
        features = self.tower(pixel_values.contiguous(memory_format=torch.channels_last)).last_hidden_state
        features = features.flatten(2).transpose(1, 2)
        return features, self.projector(features)

    def forward(self, pixel_values, presence, intensity, verdict) -> dict[str, torch.Tensor]:
        """A batch of `DegradedViews` -> loss."""
        features, tokens = self.look(pixel_values)
        seen = tokens.mean(1)
        predicted = self.intensity(seen).float().sigmoid()
        named = functional.binary_cross_entropy_with_logits(self.presence(seen).float(), presence)
        strength = (presence * (predicted - intensity).abs()).sum() / presence.sum().clamp(min=1)
        told = _divergence(verdict.flatten(0, 1), self.thing(tokens).flatten(0, 1))
        clean = presence.sum(1) == 0
        kept = features.new_zeros(())
        if clean.any():
            kept = _divergence(verdict[clean].mean(1), self.classifier(features[clean].mean(1)))
        return {"loss": 4 * named + 4 * strength + 0.5 * kept + 0.3 * told}


def _divergence(known: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of what is told from what is known, both logits (cases, classes), in nats a case."""
    return functional.kl_div(
        told.float().log_softmax(-1), known.float().log_softmax(-1), reduction="batchmean", log_target=True
    )


@torch.no_grad()
def judge(rows: list[dict], folder: Path, batch_size: int = 64) -> tuple[np.ndarray, nn.Linear]:
    """What the ImageNet classifier says of every position of every clean picture, before the tower learns anything.

    Returns:
        Logits, float16 (rows, 49, 1000), kept on disk in `folder`; and the classifier.
    """
    tower = build_model(build_tokenizer([])).model.vision_tower
    classifier = load_imagenet_tower(tower)
    tower = fold(tower)

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), batch_size):
            pictures = [pixels(read_picture(row["clean"]), IMAGE_SIZE) for row in rows[start : start + batch_size]]
            with torch.autocast("cpu", torch.bfloat16):
                features = tower(torch.stack(pictures).contiguous(memory_format=torch.channels_last)).last_hidden_state
            yield classifier(features.flatten(2).transpose(1, 2).float()).half().numpy()

    source = json.dumps([row["clean"] for row in rows])
    return cached(folder, "verdicts", source, (len(rows), IMAGE_TOKENS, classifier.out_features), batches()), classifier


def depthwise_in_float32(tower: nn.Module) -> None:
    """Run the tower's strided and 5×5 depthwise convolutions outside of autocast.

    oneDNN has no fast backward pass for these in bfloat16; in float32 it is several times faster.
    """

    def outside_autocast(convolve):
        def forward(pixels: torch.Tensor) -> torch.Tensor:
            with torch.autocast(pixels.device.type, enabled=False):
                return convolve(pixels.float()).to(pixels.dtype)

        return forward

    for module in tower.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and (module.stride[0] > 1 or module.kernel_size[0] > 3):
            module.forward = outside_autocast(module.forward)


@torch.inference_mode()
def measure(perception: Perception, rows: list[dict], batch_size: int = 64) -> Score:
    """What the heads make of degraded pictures: a type is there where its presence is likelier than not."""
    perception.eval()
    pairs = []
    for start in tqdm(range(0, len(rows), batch_size), desc="heads"):
        batch = rows[start : start + batch_size]
        _, tokens = perception.look(torch.stack([pixels(read_picture(row["image"]), IMAGE_SIZE) for row in batch]))
        seen = tokens.mean(1)
        present, intensity = perception.presence(seen) > 0, perception.intensity(seen).sigmoid()
        for row, there, strength in zip(batch, present.tolist(), intensity.tolist(), strict=True):
            predicted = Recipe({name: s for name, t, s in zip(TYPES, there, strength, strict=True) if t})
            pairs.append((Recipe.parse(row["recipe"]), predicted))
    return Score.of(pairs)


def build_optimizer(perception: Perception, training: TrainingArguments, heads_rate: float) -> torch.optim.Optimizer:
    """AdamW with a rate of their own for the heads, which start from nothing."""
    heads = [*perception.presence.parameters(), *perception.intensity.parameters(), *perception.thing.parameters()]
    rest = [*perception.tower.parameters(), *perception.projector.parameters()]
    groups = [{"params": heads, "lr": heads_rate}, {"params": [p for p in rest if p.requires_grad]}]
    return torch.optim.AdamW(groups, training.learning_rate, weight_decay=training.weight_decay)


def save_eyes(perception: Perception, model: nn.Module, path: Path) -> None:
    """Tower, projector and heads as `training.embedded.load_eyes` and the evaluation read them."""
    unfold(perception.tower, model.model.vision_tower)
    parts = {"tower": model.model.vision_tower, "projector": model.model.multi_modal_projector}
    parts |= {name: getattr(perception, name) for name in ("presence", "intensity", "thing")}
    save_file(
        {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}, path
    )


def main() -> None:
    parser = TrlParser((PerceiveArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    if training.max_steps < 1:
        raise ValueError(f"the eyes are trained for a number of steps: give max_steps, which is {training.max_steps}")
    rows = read_pairs(arguments.samples, arguments.limit)
    output = Path(training.output_dir)
    start = arguments.start or "EfficientNet-Lite0"
    run = Run.of("Eyes", (arguments, training), [arguments.samples / "samples.jsonl"], start)
    with run.alone_in(output):
        set_seed(training.seed)
        model = build_model(build_tokenizer([]))
        if arguments.start:
            load_eyes(model, arguments.start)
        verdicts, classifier = judge(rows, output)
        perception = Perception(model, classifier)
        training.remove_unused_columns = False
        training.label_names = ["presence"]
        pushed = keep_from_pushing(training)
        trainer = Trainer(
            perception,
            training,
            train_dataset=DegradedViews(
                rows,
                verdicts,
                training.max_steps * training.train_batch_size,
                training.seed,
                arguments.small_share,
            ),
            optimizers=(build_optimizer(perception, training, arguments.heads_learning_rate), None),
            callbacks=[Clock()],
        )
        trainer.train(resume_from_checkpoint=finished_checkpoint(output))
        save_eyes(perception, model, output / EYES)
        trainer.save_state()
        run.write_card(
            output, trainer.state, use="`python -m training.pretrain --eyes` makes a base that sees with them."
        )
        if pushed:
            push(output, training)
    if arguments.measured_on:
        score = measure(perception, read_samples(arguments.measured_on))
        f1, error = ("–" if figure is None else f"{figure:.3f}" for figure in (score.f1, score.intensity_error))
        print(f"the heads on {arguments.measured_on}: F1 {f1}, intensity error {error}")


if __name__ == "__main__":
    main()
