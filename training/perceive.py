"""The eyes: teach the embedded model's vision tower and projector to see degradations.

``python -m training.perceive --samples data/train --output runs/perceive``

Two linear heads on the mean of the projected image tokens name the degradations and their intensities on degraded
pictures. On clean pictures under ordinary variation a third head names the main thing, and the tower is kept close to
what it knew: its features must still give the ImageNet classifier's verdict. The heads stay beside the
model for comparison.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments, set_seed
from trl import TrlParser

from degradations import Recipe, Score
from training.chains import write_chain
from training.corpus import thing_numbers
from training.data import TYPES, FlippedSamples, PerceptionSamples, read_samples
from training.embedded import (
    IMAGE_SIZE,
    INTENSITY_STEP,
    build_model,
    build_processor,
    build_tokenizer,
    load_imagenet_tower,
    rest_statistics,
)
from training.resume import finished_checkpoint


@dataclass
class PerceiveArguments:
    samples: Path = field(metadata={"help": "folder made by training.synthesize"})
    start: Path | None = field(default=None, metadata={"help": "a model to go on from; default: the ImageNet tower"})
    heads_learning_rate: float = field(default=2e-3, metadata={"help": "the tower's is learning_rate"})
    frozen_blocks: int = field(default=3, metadata={"help": "first blocks of the tower that rest"})
    clean_every: int = field(default=3, metadata={"help": "one clean picture for so many degraded ones"})
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})
    validation: Path | None = field(default=None, metadata={"help": "samples to measure the heads on at the end"})


class Perception(nn.Module):
    """The model's tower and projector with the heads of this stage.

    Args:
        model: the embedded vision-language model; trained in place.
        things: number of names of the third head.
        frozen_blocks: how many of the tower's first blocks rest; 0 trains all of it.
    """

    def __init__(self, model: nn.Module, things: int, frozen_blocks: int):
        super().__init__()
        self.tower = model.model.vision_tower
        self.projector = model.model.multi_modal_projector
        width = model.config.text_config.hidden_size
        self.presence = nn.Linear(width, len(TYPES))
        self.intensity = nn.Linear(width, len(TYPES))
        self.thing = nn.Linear(width, things)
        self.teacher = build_teacher()
        rest_statistics(self)  # a batch of degraded pictures has other statistics than a single clean one
        depthwise_in_float32(self.tower)
        if frozen_blocks:
            for module in (self.tower.embeddings, *self.tower.encoder.blocks[:frozen_blocks]):
                module.requires_grad_(False)

    def look(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (batch, 3, size, size) -> mean features (batch, 1280), mean projected token (batch, width)."""
        features = self.tower(pixel_values.contiguous(memory_format=torch.channels_last)).last_hidden_state
        tokens = features.flatten(2).transpose(1, 2)
        return features.mean((2, 3)), self.projector(tokens).mean(1)

    def forward(self, degraded, clean, presence, intensity, thing) -> dict[str, torch.Tensor]:
        """Batch of pictures and targets (see `PerceptionSamples`; fewer clean pictures than degraded ones) -> loss."""
        _, seen = self.look(degraded)
        predicted = self.intensity(seen).sigmoid()
        named = functional.binary_cross_entropy_with_logits(self.presence(seen).float(), presence)
        strength = (presence * (predicted.float() - intensity).abs()).sum() / presence.sum().clamp(min=1)
        features, seen_clean = self.look(clean)
        with torch.no_grad():
            known = self.teacher(clean)
        kept = functional.kl_div(
            self.teacher.classifier(features).float().log_softmax(-1), known.float().softmax(-1), reduction="batchmean"
        )
        told = functional.cross_entropy(self.thing(seen_clean).float(), thing, ignore_index=-1, reduction="sum")
        told = told / (thing >= 0).sum().clamp(min=1)
        return {"loss": 4 * named + 4 * strength + 0.5 * kept + 0.2 * told}


class _Teacher(nn.Module):
    """The ImageNet classifier as published, frozen."""

    def __init__(self, tower: nn.Module, classifier: nn.Linear):
        super().__init__()
        self.tower, self.classifier = tower, classifier
        self.requires_grad_(False)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features = self.tower(pixel_values.contiguous(memory_format=torch.channels_last)).last_hidden_state
        return self.classifier(features.mean((2, 3)))


def build_teacher() -> _Teacher:
    tower = build_model(build_tokenizer([])).model.vision_tower
    return _Teacher(tower, load_imagenet_tower(tower))


def collate(items: list[dict]) -> dict[str, torch.Tensor]:
    """Stack the degraded pictures with their targets, and the fewer clean ones with theirs."""
    batch = {key: torch.stack([item[key] for item in items]) for key in ("degraded", "presence", "intensity")}
    with_clean = [item for item in items if "clean" in item]
    batch["clean"] = torch.stack([item["clean"] for item in with_clean])
    batch["thing"] = torch.tensor([item["thing"] for item in with_clean])
    return batch


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
    for start in tqdm(range(0, len(rows), batch_size), desc="validation"):
        samples = PerceptionSamples(rows[start : start + batch_size], thing_numbers(), IMAGE_SIZE)
        pictures = [samples.degraded(index)["degraded"] for index in range(len(samples))]
        _, seen = perception.look(torch.stack(pictures))
        present, intensity = perception.presence(seen) > 0, perception.intensity(seen).sigmoid()
        for row, there, strength in zip(samples.rows, present.tolist(), intensity.tolist(), strict=True):
            predicted = Recipe({name: s for name, t, s in zip(TYPES, there, strength, strict=True) if t})
            pairs.append((Recipe.parse(row["recipe"]), predicted))
    return Score.of(pairs)


def build_optimizer(perception: Perception, training: TrainingArguments, heads_rate: float) -> torch.optim.Optimizer:
    """AdamW with a rate of their own for the heads, which start from nothing."""
    heads = [*perception.presence.parameters(), *perception.intensity.parameters(), *perception.thing.parameters()]
    rest = [*perception.tower.parameters(), *perception.projector.parameters()]
    groups = [{"params": heads, "lr": heads_rate}, {"params": [p for p in rest if p.requires_grad]}]
    return torch.optim.AdamW(groups, training.learning_rate, weight_decay=training.weight_decay)


def sample_text(row: dict) -> str:
    """All that the language model will read and write about a sample: what the tokenizer is made of."""
    return f"{row['question']}\n{' '.join(row['options'])}\n{write_chain(row, step=INTENSITY_STEP)}"


def main() -> None:
    parser = TrlParser((PerceiveArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    set_seed(training.seed)
    rows = read_samples(arguments.samples, arguments.limit)
    if arguments.start:
        processor = AutoProcessor.from_pretrained(arguments.start)
        model = AutoModelForImageTextToText.from_pretrained(arguments.start, dtype=torch.float32)
    else:
        processor = build_processor(build_tokenizer([sample_text(row) for row in rows]))
        model = build_model(processor.tokenizer)
    things = thing_numbers()
    perception = Perception(model, len(things), arguments.frozen_blocks)
    training.remove_unused_columns = False
    training.label_names = ["presence"]
    trainer = Trainer(
        perception,
        training,
        data_collator=collate,
        train_dataset=FlippedSamples(rows, things, IMAGE_SIZE, training.seed, arguments.clean_every),
        optimizers=(build_optimizer(perception, training, arguments.heads_learning_rate), None),
    )
    trainer.train(resume_from_checkpoint=finished_checkpoint(training.output_dir))
    # The heads stay beside the model: evaluation compares what the eyes see with what the words say.
    model.save_pretrained(training.output_dir)
    processor.save_pretrained(training.output_dir)
    heads = {name: getattr(perception, name).state_dict() for name in ("presence", "intensity", "thing")}
    torch.save(heads, Path(training.output_dir) / "heads.pt")
    if arguments.validation:
        score = measure(perception, read_samples(arguments.validation))
        f1, error = ("–" if figure is None else f"{figure:.3f}" for figure in (score.f1, score.intensity_error))
        print(f"the heads on {arguments.validation}: F1 {f1}, intensity error {error}")


if __name__ == "__main__":
    main()
