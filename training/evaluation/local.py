"""Models that are loaded here: adapters beside each other on one checkpoint, batches, what answers follow from."""

import gc
import hashlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from PIL import Image

from demo import checkpoints
from demo.checkpoints import Checkpoint
from demo.settings import Spec
from training.evaluation.rows import Picture
from training.evaluation.said import Reply
from training.evaluation.sides import Asking, Side
from training.evaluation.towers import swap_tower

WRAPPED = re.compile(r"\.(base_layer|original_module)\b")
SAVED = ".modules_to_save."
"""What PEFT adds to the names of weights that an adapter stands beside, and of its copies of whole modules."""

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
                    add_adapter(checkpoint, side.adapter, adapter)
                yield checkpoint, side, adapter


def add_adapter(checkpoint: Checkpoint, folder: str, name: str) -> None:
    """Load a LoRA adapter onto a checkpoint, beside those that are there.

    Raises:
        demo.checkpoints.CheckpointError: its files do not fit.
    """
    model, device, dtype = checkpoint.model, checkpoint.base.device, checkpoint.base.dtype
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(folder, name, autocast_adapter_dtype=False)
        else:
            model = PeftModel.from_pretrained(model, folder, name, autocast_adapter_dtype=False)
    except Exception as error:  # files of strangers fail in every way there is
        raise checkpoints.CheckpointError(
            f"{checkpoint.name} with {folder}: {checkpoints.first_line(error)}"
        ) from error
    checkpoint.model = model.to(device, dtype).eval()


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
    checkpoint: Checkpoint, pictures: Sequence[Sequence[Image.Image]], prompts: list[str], max_new_tokens: int
) -> list[str]:
    """Greedy texts for a batch of prompts, each about pictures of its own (mode RGB)."""
    inputs = checkpoint.inputs(pictures, prompts)
    limit = min(max_new_tokens, checkpoint.room(inputs))
    output = checkpoint.model.generate(**inputs, do_sample=False, max_new_tokens=limit)
    return checkpoint.processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def generate(
    checkpoint: Checkpoint, pictures: list[list[Picture]], prompts: list[str], max_new_tokens: int
) -> list[Reply]:
    """Greedy answers to a batch of prompts, each about one or several pictures, timed."""
    begin = time.perf_counter()
    texts = say(checkpoint, [[picture.read() for picture in own] for own in pictures], prompts, max_new_tokens)
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
    _add_weights(digest, checkpoint, adapter)
    return digest.hexdigest()


def weights_hash(checkpoint: Checkpoint, adapter: str | None) -> str:
    """A hash of about a thousand numbers of every weight, and of the adapter's scales."""
    digest = hashlib.sha256()
    _add_weights(digest, checkpoint, adapter)
    return digest.hexdigest()


def _add_weights(digest, checkpoint: Checkpoint, adapter: str | None) -> None:
    state = checkpoint.base.state_dict()
    # Names of the checkpoint's own weights, whatever adapters are on it.
    weights = {WRAPPED.sub("", name): state[name] for name in state if "lora_" not in name and SAVED not in name}
    if adapter:
        weights |= get_peft_model_state_dict(checkpoint.model, adapter_name=adapter, save_embedding_layers=False)
        layers = {name: layer for name, layer in checkpoint.model.named_modules() if isinstance(layer, LoraLayer)}
        scales = {name: layer.scaling[adapter] for name, layer in layers.items() if adapter in layer.scaling}
        digest.update(json.dumps(scales, sort_keys=True).encode())
    for name in sorted(weights):
        some = weights[name].flatten()[:: max(1, weights[name].numel() // 1000)]
        digest.update(name.encode() + some.float().cpu().numpy().tobytes())
