"""The words: teach the embedded base to answer, to name what its eyes see, and to read.

``python -m training.pretrain --config training/configs/pretrain.yaml``

What is asked, in what shares, stands in `training.conversations`. The tower rests, so its features are computed once.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import Trainer, TrainingArguments, set_seed
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import TrlParser

from training.chains import write_chain
from training.conversations import Collator, Conversations, Mixture
from training.corpus import read_things
from training.data import cached, ordinary_variation, pixels, read_pairs, read_picture
from training.embedded import (
    IMAGE_SIZE,
    IMAGE_TOKENS,
    INTENSITIES,
    INTENSITY_STEP,
    begin_words,
    build_model,
    build_processor,
    build_tokenizer,
    imagenet_classifier,
    load_eyes,
)
from training.exchange import Exchange, labelled_classes
from training.folding import fold
from training.record import Clock, Run, keep_from_pushing, push
from training.resume import finished_checkpoint

STATISTICS_OF = 3000
"""Samples whose pictures' features say how features and tokens vary."""


@dataclass
class PretrainArguments:
    samples: Path = field(metadata={"help": "folder made by training.synthesize"})
    eyes: Path = field(metadata={"help": "output of training.perceive"})
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})
    prompt_file: Path = field(
        default=Path("demo/embedded/prompt.txt"), metadata={"help": "prompt template of the degradation-aware side"}
    )
    intensity_blur: float = field(default=0.05, metadata={"help": "spread of the target over neighbouring intensities"})


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


def begin(model: nn.Module, ids: Mapping[str, int], eyes: Path, features: np.ndarray) -> Exchange:
    """Fit projector and words to the eyes, and the exchange to clean pictures, by how some of the features vary."""
    some = features[: 2 * STATISTICS_OF].astype(np.float32)
    begin_words(model, eyes, ids, labelled_classes(), torch.from_numpy(some).flatten(0, 1))
    return Exchange(imagenet_classifier(), some[::2].mean(1))


def sample_text(row: dict) -> str:
    """All that the language model will read and write about a sample: what the tokenizer is made of."""
    return f"{row['question']}\n{' '.join(row['options'])}\n{write_chain(row, step=INTENSITY_STEP)}"


def main() -> None:
    parser = TrlParser((PretrainArguments, Mixture, TrainingArguments))
    arguments, mixture, training = parser.parse_args_and_config()
    training.remove_unused_columns = False
    rows = read_pairs(arguments.samples, arguments.limit)
    output = Path(training.output_dir)
    run = Run.of("Words", (arguments, mixture, training), [arguments.samples / "samples.jsonl"], arguments.eyes)
    with run.alone_in(output):
        set_seed(training.seed)
        names = dict.fromkeys([*(thing.name for thing in read_things().values()), *labelled_classes()])
        processor = build_processor(build_tokenizer([sample_text(row) for row in rows], names))
        model = build_model(processor.tokenizer)
        load_eyes(model, arguments.eyes)
        # On CPUs the fused kernel's backward pass takes longer than all the rest: plain attention halves a step.
        model.set_attn_implementation("eager")
        model.model.vision_tower.requires_grad_(False)
        features = cache_features(model, rows, output, training.seed)
        exchange = begin(model, processor.tokenizer.get_vocab(), arguments.eyes, features)
        template = arguments.prompt_file.read_text(encoding="utf-8").strip()
        pushed = keep_from_pushing(training)
        intensities = processor.tokenizer.convert_tokens_to_ids(INTENSITIES)
        trainer = Trainer(
            WithFeatures(model, intensities, arguments.intensity_blur),
            training,
            data_collator=Collator(features, exchange, processor.tokenizer.pad_token_id),
            train_dataset=Conversations(rows, processor, template, mixture, training.seed),
            callbacks=[Clock()],
        )
        trainer.train(resume_from_checkpoint=finished_checkpoint(output))
        # Half precision halves the download; a Space's git refuses files of more than 10 MB.
        model.half().save_pretrained(output, max_shard_size="8MB")
        processor.save_pretrained(output)
        trainer.save_state()
        run.write_card(output, trainer.state)
        if pushed:
            push(output, training)


if __name__ == "__main__":
    main()
