"""The words: teach the embedded base to answer, to name what its eyes see, and to read.

``python -m training.pretrain --config training/configs/pretrain.yaml``

Two items in five are questions, answered directly, on clean pictures under ordinary variation and on a share of
degraded ones; this is what the baseline does in the demo. Half of these hide a part of the picture: who knows every
training photo by heart never looks at the options. Two in five ask ``NAMING`` on degraded pictures, answered by a TYPE
block, so that the words for degradations and the numbers are there for the adapter to build on. One in five is without
pictures: the rest of a chain after its TYPE block, because an adapter cannot make up for words that its base has never
written. The tower rests, so its features are computed once.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, set_seed
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import TrlParser

from degradations import Recipe
from demo.chain import build_prompt, question_with_options
from training.chains import on_grid, write_chain
from training.corpus import read_things
from training.data import cached, ordinary_variation, pixels, read_pairs, read_picture
from training.embedded import (
    IMAGE_SIZE,
    IMAGE_TOKENS,
    INTENSITIES,
    INTENSITY_STEP,
    build_model,
    build_processor,
    build_tokenizer,
    load_eyes,
)
from training.folding import fold
from training.questions import NUMBERS, OPTIONS, PLACES, WORDING
from training.record import Clock, Run
from training.resume import finished_checkpoint

NAMING = "Which degradations are in this picture, and how strong are they?"


@dataclass
class PretrainArguments:
    samples: Path = field(metadata={"help": "folder made by training.synthesize"})
    eyes: Path = field(metadata={"help": "output of training.perceive"})
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})
    prompt_file: Path = field(
        default=Path("demo/embedded/prompt.txt"), metadata={"help": "prompt template of the degradation-aware side"}
    )
    views: int = field(default=2, metadata={"help": "how often each picture is asked about, each time in other words"})
    open_share: float = field(default=0.05, metadata={"help": "share of photo questions asked without options"})
    degraded_share: float = field(default=0.33, metadata={"help": "share of questions asked on the degraded picture"})
    hidden_share: float = field(default=0.5, metadata={"help": "share of questions with a part of the picture hidden"})
    intensity_blur: float = field(default=0.05, metadata={"help": "spread of the target over neighbouring intensities"})


class TextSamples(Dataset):
    """Conversations over cached features, by item modulo `TASKS`.

    Items 0 and 1 ask a question on a clean or (`degraded_share`) degraded picture, items 2 and 3 name the degradations
    of the degraded picture, item 4 reads the chain without its picture.
    """

    TASKS = 5

    def __init__(self, rows: list[dict], processor, template: str, arguments: PretrainArguments, seed: int):
        self.rows, self.processor, self.template = rows, processor, template
        self.arguments, self.seed = arguments, seed
        vocabulary = read_things().values()
        self.right = {thing.name: thing.right for thing in vocabulary}
        self.names = {
            group: sorted({thing.name for thing in vocabulary if thing.group == group})
            for group in ("object", "garment")
        }

    def __len__(self) -> int:
        return self.TASKS * self.arguments.views * len(self.rows)

    def __getitem__(self, item: int) -> dict:
        (view, index), task = divmod(item // self.TASKS, len(self.rows)), item % self.TASKS
        row = self.rows[index]
        image = self.processor.image_token * IMAGE_TOKENS
        if task < 2:
            view = 2 * view + task
            rng = np.random.default_rng([self.seed, row["id"], view])
            question, answer = self._ask(row, rng, view)
            # Were they all clean, the look of a degraded picture alone would make the base name degradations.
            degraded = rng.random() < self.arguments.degraded_share
            hidden = rng.random() if rng.random() < self.arguments.hidden_share else 0.0
            shown = rng.random(IMAGE_TOKENS) >= hidden
            return {"picture": 2 * index + int(degraded), "shown": shown} | self._encode(image + question, "", answer)
        if task < 4:
            recipe = on_grid(Recipe.parse(row["recipe"]), INTENSITY_STEP)
            shown = np.ones(IMAGE_TOKENS, bool)
            asked = self._encode(image + NAMING, "", f"<TYPE>{recipe}<TYPE_END>")
            return {"picture": 2 * index + 1, "shown": shown} | asked
        chain = write_chain(row, self.seed + view, INTENSITY_STEP, index=False)
        types, end, rest = chain.partition("<TYPE_END>")
        question = question_with_options(row["question"], row["options"])
        return {"picture": None} | self._encode(build_prompt(question, self.template), types + end, rest)

    def _encode(self, asked: str, given: str, answer: str) -> dict[str, list[int]]:
        """A question, what of its answer is given, and the rest, which is to be learned."""
        tokenizer = self.processor.tokenizer
        start = tokenizer(f"<|user|>{asked}<|end|><|assistant|>{given}", add_special_tokens=False).input_ids
        end = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False).input_ids
        return {"input_ids": start + end, "labels": [-100] * len(start) + end}

    def _ask(self, row: dict, rng: np.random.Generator, view: int) -> tuple[str, str]:
        """The row's question, in other words and with other options in every view."""
        kind = "where" if row["kind"] == "which" and view % 2 else row["kind"]  # of these the place is known too
        question = WORDING[kind][rng.integers(len(WORDING[kind]))].format(thing=row["thing"])
        if kind in ("where", "count"):
            options, answer = (PLACES, row["place"]) if kind == "where" else (NUMBERS, NUMBERS[row["count"] - 1])
            return question_with_options(question, list(options)), answer
        if kind == "which":
            return question_with_options(question, list(rng.permutation(row["options"]))), row["answer"]
        if rng.random() < self.arguments.open_share:
            return question, row["answer"]
        wrong = [name for name in self.names[kind] if name not in self.right[row["answer"]]]
        options = rng.permutation([row["answer"], *rng.choice(wrong, OPTIONS - 1, replace=False)])
        return question_with_options(question, list(options)), row["answer"]


class Collator:
    """Splits a batch into items with and without a picture, pads each on the right, and fetches features."""

    def __init__(self, features: np.ndarray, pad_token_id: int):
        self.features, self.pad_token_id = features, pad_token_id

    def __call__(self, items: list[dict]) -> dict[str, list[dict[str, torch.Tensor]]]:
        shown = [item for item in items if item["picture"] is not None]
        read = [item for item in items if item["picture"] is None]
        parts = [self._pad(part) for part in (shown, read) if part]
        if shown:
            features = np.stack([self.features[item["picture"]] * item["shown"][:, None] for item in shown])
            parts[0]["features"] = torch.from_numpy(features).float()
        return {"parts": parts}

    def _pad(self, items: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)

        def padded(key: str, value: int) -> torch.Tensor:
            return torch.tensor([item[key] + [value] * (longest - len(item[key])) for item in items])

        input_ids = padded("input_ids", self.pad_token_id)
        mask = (input_ids != self.pad_token_id).long()
        return {"input_ids": input_ids, "attention_mask": mask, "labels": padded("labels", -100)}


class WithFeatures(nn.Module):
    """The vision-language model fed with tower features (batch, 49, 1280) in place of pictures."""

    _keys_to_ignore_on_save = ("model.lm_head.weight",)
    """The output layer, which is the embedding again: checkpoints hold no tensor twice. The trainer reads this name."""

    def __init__(self, model: nn.Module, intensity_ids: list[int], intensity_blur: float):
        super().__init__()
        self.model = model
        self.register_buffer("intensity_ids", torch.tensor(intensity_ids), persistent=False)
        values = torch.tensor([float(text) for text in INTENSITIES])
        near = torch.exp(-((values[:, None] - values) ** 2) / (2 * intensity_blur**2))
        self.register_buffer("near", near / near.sum(1, keepdim=True), persistent=False)

    def state_dict(self, *args, **kwargs) -> dict[str, torch.Tensor]:
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if key not in self._keys_to_ignore_on_save}

    def tie_weights(self) -> None:
        """What the trainer calls when it goes on from a checkpoint without those keys."""
        self.model.tie_weights()

    def forward(self, parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The parts of a `Collator`'s batch -> loss; every item counts the same, however long its answer."""
        losses = torch.cat([self.item_losses(**part) for part in parts])
        return {"loss": losses.mean()}

    def item_losses(self, input_ids, attention_mask, labels, features=None) -> torch.Tensor:
        """Mean loss of the answer's tokens, for each item."""
        images = {}
        if features is not None:
            tokens = self.model.model.multi_modal_projector(features)
            images = {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=tokens)}}
        outputs = self.model.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **images)
        asked = labels[:, 1:] != -100
        logits = self.model.lm_head(outputs.last_hidden_state[:, :-1][asked]).float()
        targets = self.soft_targets(labels[:, 1:][asked], logits.shape[-1])
        share = (asked / asked.sum(1, keepdim=True))[asked]
        losses = functional.cross_entropy(logits, targets, reduction="none") * share
        return losses.new_zeros(len(labels)).index_add(0, asked.nonzero()[:, 0], losses)

    def soft_targets(self, labels: torch.Tensor, vocabulary: int) -> torch.Tensor:
        """One-hot targets, but an intensity's mass spreads over its neighbours: 0.5 is nearly right for 0.55."""
        soft = functional.one_hot(labels, vocabulary).float()
        row, which = torch.nonzero(labels[:, None] == self.intensity_ids, as_tuple=True)
        soft[row] = 0.0
        soft[row[:, None], self.intensity_ids] = self.near[which]
        return soft


@torch.inference_mode()
def cache_features(model: nn.Module, rows: list[dict], folder: Path, seed: int, batch_size: int = 32) -> np.ndarray:
    """Tower features of every clean (2n) and degraded (2n+1) picture, float16 (2 * rows, 49, 1280), kept on disk.

    Clean pictures vary as a photographer's do.
    """
    tower = fold(model.model.vision_tower)

    def both(row: dict) -> torch.Tensor:
        clean = ordinary_variation(read_picture(row["clean"]), np.random.default_rng([seed, row["id"]]))
        return torch.stack([pixels(picture, IMAGE_SIZE) for picture in (clean, read_picture(row["image"]))])

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), batch_size):
            pictures = torch.cat([both(row) for row in rows[start : start + batch_size]])
            with torch.autocast("cpu", torch.bfloat16):
                seen = tower(pictures.contiguous(memory_format=torch.channels_last)).last_hidden_state
            yield seen.flatten(2).transpose(1, 2).half().numpy()

    source = hashlib.sha256(json.dumps([rows, seed]).encode())
    for weight in model.model.vision_tower.state_dict().values():
        source.update(weight.numpy().tobytes())
    return cached(folder, "features", source.hexdigest(), (2 * len(rows), IMAGE_TOKENS, 1280), batches())


def sample_text(row: dict) -> str:
    """All that the language model will read and write about a sample: what the tokenizer is made of."""
    return f"{row['question']}\n{' '.join(row['options'])}\n{write_chain(row, step=INTENSITY_STEP)}"


def main() -> None:
    parser = TrlParser((PretrainArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    training.remove_unused_columns = False
    rows = read_pairs(arguments.samples, arguments.limit)
    output = Path(training.output_dir)
    run = Run.of("Words", (arguments, training), [arguments.samples / "samples.jsonl"], arguments.eyes)
    with run.alone_in(output):
        set_seed(training.seed)
        processor = build_processor(build_tokenizer([sample_text(row) for row in rows]))
        model = build_model(processor.tokenizer)
        load_eyes(model, arguments.eyes)
        # On CPUs the fused kernel's backward pass takes longer than all the rest: plain attention halves a step.
        model.set_attn_implementation("eager")
        model.model.vision_tower.requires_grad_(False)
        features = cache_features(model, rows, output, training.seed)
        template = arguments.prompt_file.read_text(encoding="utf-8").strip()
        intensities = processor.tokenizer.convert_tokens_to_ids(INTENSITIES)
        trainer = Trainer(
            WithFeatures(model, intensities, arguments.intensity_blur),
            training,
            data_collator=Collator(features, processor.tokenizer.pad_token_id),
            train_dataset=TextSamples(rows, processor, template, arguments, training.seed),
            callbacks=[Clock()],
        )
        trainer.train(resume_from_checkpoint=finished_checkpoint(output))
        # Half precision halves the download; a Space's git refuses files of more than 10 MB.
        model.half().save_pretrained(output, max_shard_size="8MB")
        processor.save_pretrained(output)
        trainer.save_state()
        run.write_card(output, trainer.state)


if __name__ == "__main__":
    main()
