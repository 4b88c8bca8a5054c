"""One checkpoint: is it there, where does it run, its processor, its inputs."""

import inspect
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub import HfApi, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BatchFeature,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available

from demo import settings
from demo.fingerprint import weights_hash
from demo.resolution import is_sized_by_pixels

log = logging.getLogger(__name__)

ADAPTER = "robust"
"""The name that an adapter gets when it is loaded."""

OUTSIDE_LANGUAGE_MODEL = ("vision", "visual", "projector", "merger")
"""Parts of module names. Adapters on these modules cannot differ from row to row of a batch."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be had or loaded; the text says which and why, and is fit for the page."""


@dataclass(eq=False)
class Checkpoint:
    """A loaded model with its processor. Whoever generates with it holds `lock`: its adapter state is shared."""

    name: str
    model: PreTrainedModel | PeftModel
    processor: ProcessorMixin
    threads: int
    """Cores that it may use for one batch."""
    weights: Mapping[str | None, str] = field(default_factory=dict)
    """Adapter's name, None without one -> hash of the weights as they were loaded."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base(self) -> PreTrainedModel:
        """The model itself, without the wrapper of an adapter."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def end_tokens(self) -> list[int]:
        """The ids that end an answer."""
        ends = self.base.generation_config.eos_token_id
        if ends is None:
            ends = self.processor.tokenizer.eos_token_id
        return ends if isinstance(ends, list) else [ends]

    def mixes(self) -> bool:
        """Whether rows with and without the adapter can share a batch: plain LoRA on the language model alone."""
        layers = {name: layer for name, layer in self.model.named_modules() if isinstance(layer, LoraLayer)}
        inside = not any(part in name for name in layers for part in OUTSIDE_LANGUAGE_MODEL)
        return inside and not any(layer.lora_variant for layer in layers.values())

    def add_adapter(self, folder: str, name: str) -> None:
        """Load a LoRA adapter beside those that are there, under a name of its own.

        Raises:
            CheckpointError: its files do not fit.
        """
        device, dtype = self.base.device, self.base.dtype
        try:
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(folder, name, autocast_adapter_dtype=False)
                model = self.model
            else:
                model = PeftModel.from_pretrained(self.model, folder, name, autocast_adapter_dtype=False)
        except Exception as error:  # files of strangers fail in every way there is
            raise CheckpointError(f"{self.name} with {folder}: {first_line(error)}") from error
        self.model = model.to(device, dtype).eval()

    def merge(self) -> None:
        """Make the adapter part of the model."""
        self.model = self.model.merge_and_unload()

    def inputs(
        self, image: Image.Image | Sequence[Image.Image | Sequence[Image.Image]], prompts: Sequence[str]
    ) -> BatchFeature:
        """One row a prompt, all with the same image or each with its own, padded on the left, on the model's device.

        Args:
            image: one for all, or one a prompt; a sequence of its own for a prompt about several.

        Raises:
            ValueError: a prompt is too long for the model, or there are not as many images as prompts.
        """
        if isinstance(image, Image.Image):
            images = [[self._limited(image)]] * len(prompts)
        else:
            each = [[own] if isinstance(own, Image.Image) else own for own in image]
            images = [[self._limited(one) for one in own] for own in each]
        chats = []
        for own, prompt in zip(images, prompts, strict=True):
            content = [*({"type": "image", "image": one} for one in own), {"type": "text", "text": prompt}]
            chats.append([{"role": "user", "content": content}])
        try:
            # A visitor's question may name the model's control tokens; it must not write them.
            out = self._tokenized(chats, sanitize_control_tokens=True)
        except NotImplementedError:  # a chat template that leaves the first token to the tokenizer
            out = self._tokenized(chats)
        if self.room(out) < 1:
            raise ValueError(f"The question is {1 - self.room(out)} tokens too long for this model.")
        return out.to(self.base.device, self.base.dtype)

    def room(self, inputs: BatchFeature) -> int:
        """How many tokens an answer to these inputs may have before the model loses its place."""
        return self.base.config.get_text_config().max_position_embeddings - inputs["input_ids"].shape[1]

    def _tokenized(self, chats: list[list[dict]], **options) -> BatchFeature:
        return self.processor.apply_chat_template(
            chats,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True},
            **options,
        )

    def _limited(self, image: Image.Image) -> Image.Image:
        """The image within a Qwen checkpoint's pixel limits, where its own tools are installed."""
        if "qwen" not in self.base.config.model_type:
            return image
        try:
            from qwen_vl_utils import process_vision_info
        except ImportError:  # the processor keeps to the same limits by itself
            return image
        size = self.processor.image_processor.size
        limits = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        images, _ = process_vision_info([{"role": "user", "content": [{"type": "image", "image": image, **limits}]}])
        return images[0]


def on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space. If so, `spaces` is imported, which must come before CUDA is touched."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return False
    import spaces  # noqa: F401

    return True


def has_gpu() -> bool:
    return on_zero_gpu() or torch.cuda.is_available()


def place(dtype: str = "auto") -> tuple[str, torch.dtype]:
    """The device for a model, and its dtype unless one is given by name."""
    if on_zero_gpu():
        device, best = "cuda", torch.bfloat16
    elif torch.cuda.is_available():
        device, best = "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    elif torch.backends.mps.is_available():
        device, best = "mps", torch.float16
    else:
        device, best = "cpu", torch.float32
    return device, best if dtype == "auto" else getattr(torch, dtype)


def find(name: str, file: str = "config.json") -> bool:
    """Make sure that a checkpoint can be had, within `settings.HUB_TIMEOUT_S`.

    Args:
        name: Hub name or folder.
        file: what it must contain: ``adapter_config.json`` for an adapter.

    Returns:
        True if it lies on this machine, False if the Hub has it.

    Raises:
        CheckpointError: neither.
    """
    if (Path(name) / file).is_file():
        return True
    if Path(name).exists() or Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise CheckpointError(f"{name}: there is no {file} in this folder.")
    reason = _ask_hub(name)
    if reason is None:
        return False
    try:
        cached = isinstance(try_to_load_from_cache(name, file), str)
    except HFValidationError:
        cached = False
    if not cached:
        raise CheckpointError(f"{name}: {reason}")
    return True


def _ask_hub(name: str) -> str | None:
    """None if the Hub has this repository for us, otherwise the reason why not."""
    if is_offline_mode():
        return "not on this machine, and the Hub is switched off (HF_HUB_OFFLINE)."
    answers: list[Exception | None] = []

    def ask() -> None:
        try:
            HfApi().model_info(name, timeout=settings.HUB_TIMEOUT_S)
            answers.append(None)
        except Exception as error:  # whatever it is, it is told below
            answers.append(error)

    # Looking up a host's name has no timeout of its own, so the question is asked by a thread that may be left behind.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(settings.HUB_TIMEOUT_S)
    if not answers:
        return f"the Hub did not answer within {settings.HUB_TIMEOUT_S:g} s."
    match answers[0]:
        case None:
            return None
        case GatedRepoError():
            return "the Hub asks you to accept its licence there and to log in (hf auth login)."
        case RepositoryNotFoundError() | HFValidationError():
            return "no folder here, and the Hub has no such checkpoint (or it is private)."
        case error:
            return f"the Hub cannot be reached ({type(error).__name__})."


def load(name: str, spec: settings.Spec, adapter: str | None = None) -> Checkpoint:
    """Load a checkpoint, and its adapter, onto the best device.

    Raises:
        CheckpointError: it cannot be had, or its files cannot be loaded.
    """
    local = find(name)
    adapter_local = find(adapter, "adapter_config.json") if adapter else True
    device, dtype = place(spec.dtype)
    try:
        processor = load_processor(name, local)
        processor.tokenizer.padding_side = "left"
        if not processor.tokenizer.is_fast:
            raise ValueError("its tokenizer has no tokenizer.json, which streaming needs")
        model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype, local_files_only=local)
        if adapter:
            model = PeftModel.from_pretrained(
                model, adapter, adapter_name=ADAPTER, autocast_adapter_dtype=False, local_files_only=adapter_local
            )
        # Before they are on their device: on ZeroGPU they can be read there only while a GPU is lent.
        model = model.to(dtype).eval()
        weights = {one: weights_hash(model, one) for one in ((None, ADAPTER) if adapter else (None,))}
        model = model.to(device)
    except Exception as error:  # files of strangers fail in every way there is
        log.exception("loading %s", name)
        what = f"{name} with {adapter}" if adapter else name
        raise CheckpointError(f"{what}: {first_line(error)}") from error
    if is_sized_by_pixels(processor.image_processor):
        processor.image_processor.size = {"shortest_edge": spec.min_pixels, "longest_edge": spec.max_pixels}
    small = sum(weight.numel() for weight in model.parameters()) < settings.SMALL_MODEL_PARAMETERS
    return Checkpoint(name, model, processor, threads=1 if small else torch.get_num_threads(), weights=weights)


def load_processor(name: str, local: bool = False) -> ProcessorMixin:
    """A checkpoint's processor, as far as stills need it; `local` keeps it from asking the Hub."""
    kind = type(AutoConfig.from_pretrained(name, local_files_only=local))
    whole = PROCESSOR_MAPPING.get(kind, AutoProcessor)
    # Processors of models that read videos, too, want torchvision for those; for stills they do without.
    if not is_torchvision_available() and "video_processor" in inspect.signature(whole).parameters:

        class StillsProcessor(whole):
            @classmethod
            def get_attributes(cls) -> list[str]:
                return [part for part in super().get_attributes() if part != "video_processor"]

        StillsProcessor.__name__ = whole.__name__  # saved processors name a class that others have, too
        return StillsProcessor.from_pretrained(name, local_files_only=local)
    return AutoProcessor.from_pretrained(name, local_files_only=local)


def first_line(error: Exception) -> str:
    """What an exception says, short enough for the page."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
