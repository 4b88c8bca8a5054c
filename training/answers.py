"""Answers of any number of models to any number of sample sets, stored as they come.

A side is a checkpoint, or a LoRA adapter on one, with the prompt that asks it. Checkpoints are loaded one after the
other, all adapters of one together. What is stored is known by what it follows from (weights, prompt, question,
picture): nothing is asked twice, whatever sides and sets are called and wherever they lie, and a killed run goes on.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from tqdm import tqdm

from degradations.jobs import read_table
from demo import checkpoints
from demo.chain import DIRECT_PROMPT, build_prompt, question_with_options
from demo.checkpoints import Checkpoint
from demo.settings import Spec
from training.data import read_picture
from training.figures import Reply, applied, picture_of, states_of
from training.written import appending

CHAIN, DIRECT = "chain", "direct"

WRAPPED = re.compile(r"\.(base_layer|original_module)\b")
SAVED = ".modules_to_save."
"""What PEFT adds to the names of weights that an adapter stands beside, and of its copies of whole modules."""


@dataclass(frozen=True)
class Side:
    """A model that answers.

    Attributes:
        name: what tables call it.
        checkpoint: Hub name or folder.
        adapter: LoRA adapter on it, or None.
        chain: whether it is asked for a chain; otherwise it is asked directly, and its text is its answer.
    """

    name: str
    checkpoint: str
    adapter: str | None
    chain: bool

    @classmethod
    def parse(cls, text: str) -> "Side":
        """Read ``NAME=CHECKPOINT``, ``NAME=CHECKPOINT+ADAPTER``, each with or without ``:chain`` or ``:direct``.

        Without, an adapter is asked for a chain and a checkpoint directly.

        Raises:
            ValueError: a part is missing.
        """
        name, _, model = text.partition("=")
        model, prompt = next(
            ((model.removesuffix(f":{kind}"), kind) for kind in (CHAIN, DIRECT) if model.endswith(f":{kind}")),
            (model, None),
        )
        checkpoint, plus, adapter = model.partition("+")
        if not (name and checkpoint and bool(plus) == bool(adapter)):
            raise ValueError(f"a side is NAME=CHECKPOINT[+ADAPTER][:{CHAIN}|:{DIRECT}], not {text!r}")
        return cls(name, checkpoint, adapter or None, prompt == CHAIN if prompt else bool(adapter))

    def __str__(self) -> str:
        adapter = f"+{self.adapter}" if self.adapter else ""
        return f"{self.name}={self.checkpoint}{adapter}:{CHAIN if self.chain else DIRECT}"


@dataclass(frozen=True)
class Asking:
    """How sides are asked.

    Attributes:
        template: the prompt for a chain, with ``{question}`` in it.
        max_new_tokens: where an answer is cut off.
        spec: the pixel budget and the dtype; which models it names plays no part.
    """

    template: str
    max_new_tokens: int
    spec: Spec
    batch_size: int = 32


@dataclass(frozen=True)
class _Asked:
    """One picture with one question: where it stands, and what an answer to it follows from."""

    set: str
    state: str
    row: dict
    question: str
    path: str
    total: float
    source: str


Replies = dict[tuple[str, str], dict[str, list[Reply]]]
"""(side, set) -> state -> a reply for each row of the set."""


def answer_all(sides: Sequence[Side], sets: Mapping[str, Sequence[dict]], file: Path, asking: Asking) -> Replies:
    """Replies of all sides to all rows of all sets in all their states, greedily.

    Those that are stored in `file` are not asked for again; new ones are added to it as they come.

    Raises:
        demo.checkpoints.CheckpointError: a checkpoint or an adapter cannot be had; nothing was asked then.
    """
    for side in sides:
        checkpoints.find(side.checkpoint)
        if side.adapter:
            checkpoints.find(side.adapter, "adapter_config.json")
    asked = [one for name, rows in sets.items() for one in _to_ask(name, rows)]
    known = {row["key"]: Reply(row["text"], row["tokens"]) for row in read_table(file)}
    result: Replies = {(side.name, name): {} for side in sides for name in sets}
    with appending(file) as append:
        for checkpoint, side, adapter in _loaded(sides, asking.spec):
            source = fingerprint(checkpoint, adapter, asking.template if side.chain else DIRECT_PROMPT, asking)
            keys = [_digest([source, one.source])[:16] for one in asked]
            missing: dict[str, _Asked] = {}
            for key, one in zip(keys, asked, strict=True):
                if key not in known:
                    missing.setdefault(key, one)
            for key, one, reply in _ask(checkpoint, adapter, side, missing, asking):
                append({"side": side.name, "set": one.set, "state": one.state, "id": one.row["id"], "key": key}
                       | {"tokens": reply.tokens, "text": reply.text})  # fmt: skip
                known[key] = reply
            for key, one in zip(keys, asked, strict=True):
                result[side.name, one.set].setdefault(one.state, []).append(known[key])
    return result


def _to_ask(name: str, rows: Sequence[dict]) -> Iterator[_Asked]:
    for state in states_of(rows):
        for row in rows:
            question, path = question_with_options(row["question"], row["options"]), picture_of(row, state)
            source = _digest([question, hashlib.sha256(Path(path).read_bytes()).hexdigest()])
            yield _Asked(name, state, row, question, path, applied(row, state).total, source)


def _loaded(sides: Sequence[Side], spec: Spec) -> Iterator[tuple[Checkpoint, Side, str | None]]:
    """Every side with its checkpoint and the name of its adapter there, those of one checkpoint together."""
    for name in dict.fromkeys(side.checkpoint for side in sides):
        checkpoint = checkpoints.load(name, spec)
        for number, side in enumerate(sides):
            if side.checkpoint == name:
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


def _ask(
    checkpoint: Checkpoint, adapter: str | None, side: Side, missing: dict[str, _Asked], asking: Asking
) -> Iterator[tuple[str, _Asked, Reply]]:
    template = asking.template if side.chain else DIRECT_PROMPT
    # Answers of like length together, then questions: little padding.
    ordered = sorted(missing.items(), key=lambda item: (item[1].total, len(item[1].question)))
    with tqdm(total=len(ordered), desc=side.name, unit=" answers", disable=not ordered) as bar:
        for start in range(0, len(ordered), asking.batch_size):
            batch = ordered[start : start + asking.batch_size]
            prompts = [build_prompt(one.question, template) for _, one in batch]
            with speaking(checkpoint, adapter):
                replies = generate(checkpoint, [one.path for _, one in batch], prompts, asking.max_new_tokens)
            for (key, one), reply in zip(batch, replies, strict=True):
                yield key, one, reply
            bar.update(len(batch))


@torch.inference_mode()
def generate(checkpoint: Checkpoint, paths: list[str], prompts: list[str], max_new_tokens: int) -> list[Reply]:
    """Greedy answers to a batch of pictures and prompts."""
    inputs = checkpoint.inputs([read_picture(path) for path in paths], prompts)
    output = checkpoint.model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
    new = output[:, inputs["input_ids"].shape[1] :]
    texts = checkpoint.processor.batch_decode(new, skip_special_tokens=True)
    return replies_of(texts, checkpoint.processor.tokenizer)


def replies_of(texts: list[str], tokenizer) -> list[Reply]:
    """Texts with their lengths, as r_len counts them: in tokens, without the one that ends an answer."""
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [Reply(text, len(one)) for text, one in zip(texts, ids, strict=True)]


def fingerprint(checkpoint: Checkpoint, adapter: str | None, template: str, asking: Asking) -> str:
    """What a side's greedy answers follow from: prompt, budgets, its weights (about a thousand of each)."""
    spec = asking.spec
    budgets = [asking.max_new_tokens, spec.min_pixels, spec.max_pixels, str(checkpoint.base.dtype)]
    digest = hashlib.sha256(json.dumps([template, budgets]).encode())
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
    return digest.hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
