"""Models that are loaded here: adapters beside each other on one checkpoint, batches, what answers follow from."""

import gc
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from PIL import Image

from demo import checkpoints
from demo.checkpoints import Checkpoint
from demo.fingerprint import add_weights
from demo.generation import Draw
from demo.settings import Spec
from training.evaluation.rows import Picture
from training.evaluation.said import Reply
from training.evaluation.sides import Asking, Side
from training.evaluation.towers import swap_tower

PROBE = Image.new("RGB", (96, 64), (40, 90, 200))
NOT_GREEDY = ("transformers_version", "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p")
"""Parts of a configuration that greedy answers do not follow from."""


def find(side: Side) -> None:
    """Make sure that a side's files can be had.

    Raises:
        demo.checkpoints.CheckpointError: they cannot.
    """
    checkpoints.find(side.checkpoint)
    if side.adapter:
        checkpoints.find(side.adapter, "adapter_config.json")


def loaded(sides: Sequence[Side], spec: Spec) -> Iterator[tuple[Checkpoint, Side, str | None]]:
    """Every side with its checkpoint and the name of its adapter there, those of one checkpoint together."""
    checkpoint = None
    for name, tower in dict.fromkeys((side.checkpoint, side.tower) for side in sides):
        if checkpoint:  # whoever still holds it must not keep its weights beside those of the next one
            checkpoint.model = None
            gc.collect()
        checkpoint = checkpoints.load(name, spec)
        if tower:
            swap_tower(checkpoint, tower)
        for number, side in enumerate(sides):
            if (side.checkpoint, side.tower) == (name, tower):
                adapter = f"adapter{number}" if side.adapter else None
                if adapter:
                    checkpoint.add_adapter(side.adapter, adapter)
                yield checkpoint, side, adapter


@contextmanager
def speaking(checkpoint: Checkpoint, adapter: str | None) -> Iterator[None]:
    """Within this, the checkpoint answers with one of its adapters, or without any."""
    if not isinstance(checkpoint.model, PeftModel):
        yield
    elif adapter:
        checkpoint.model.set_adapter(adapter, inference_mode=True)
        yield
    else:
        with checkpoint.model.disable_adapter():
            yield


@torch.inference_mode()
def say(
    checkpoint: Checkpoint,
    pictures: Sequence[Sequence[Image.Image]],
    prompts: list[str],
    max_new_tokens: int,
    temperature: float = 0.0,
    seeds: Sequence[int] = (),
) -> list[str]:
    """Texts for a batch of prompts, each about pictures of its own (mode RGB); greedy at temperature 0.

    Above it each is drawn with its own one of the `seeds`, so that it does not follow from its neighbours in the batch.
    """
    inputs = checkpoint.inputs(pictures, prompts)
    limit = min(max_new_tokens, checkpoint.room(inputs))
    draw = [Draw(temperature, seeds, inputs["input_ids"].device)] if temperature else None
    output = checkpoint.model.generate(**inputs, do_sample=False, max_new_tokens=limit, logits_processor=draw)
    return checkpoint.processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def generate(
    checkpoint: Checkpoint, pictures: list[list[Picture]], prompts: list[str], max_new_tokens: int, *drawing: object
) -> list[Reply]:
    """Answers to a batch of prompts, each about one or several pictures, timed; `drawing` as the last two of `say`."""
    begin = time.perf_counter()
    read = [[picture.read() for picture in own] for own in pictures]
    texts = say(checkpoint, read, prompts, max_new_tokens, *drawing)
    seconds = (time.perf_counter() - begin) / len(prompts)
    return replies_of(texts, checkpoint.processor.tokenizer, seconds)


def replies_of(texts: list[str], tokenizer, seconds: float | None = None) -> list[Reply]:
    """Texts with their lengths, as r_len counts them: in tokens, without the one that ends an answer."""
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [Reply(text, len(one), seconds) for text, one in zip(texts, ids, strict=True)]


def fingerprint(checkpoint: Checkpoint, adapter: str | None, template: str, asking: Asking) -> str:
    """What a side's greedy answers follow from: prompt, budgets, its weights (about a thousand of each), what its
    processor makes of a picture and a question, its settings for generating."""
    spec, generation = asking.spec, checkpoint.base.generation_config.to_diff_dict()
    budgets = [asking.max_new_tokens, spec.min_pixels, spec.max_pixels, str(checkpoint.base.dtype)]
    generation = {name: value for name, value in generation.items() if name not in NOT_GREEDY}
    told = [template, budgets, sorted(generation.items())]
    digest = hashlib.sha256(json.dumps(told, default=str).encode())
    for name, values in sorted(checkpoint.inputs(PROBE, ["What is it?"]).items()):
        values = (1000 * values.float()).round() if values.is_floating_point() else values
        digest.update(f"{name} {tuple(values.shape)}".encode() + values.long().cpu().numpy().tobytes())
    add_weights(digest, checkpoint.model, adapter)
    return digest.hexdigest()
