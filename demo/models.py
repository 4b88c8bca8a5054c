"""Which two models answer: from the command line or the environment to a loaded pair."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from demo import checkpoints, resolution, settings
from demo.chain import DEFAULT_PROMPT, DIRECT_PROMPT, build_prompt
from demo.checkpoints import Checkpoint, CheckpointError
from demo.replies import Event
from demo.settings import Spec
from demo.streaming import on_gpu
from demo.texts import Text

log = logging.getLogger(__name__)

__all__ = ["CheckpointError", "Pair", "Side", "Spec", "add_arguments", "load_pair", "spec_from"]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two models that answer.

    Attributes:
        name: ``baseline`` or ``robust``.
        label: the checkpoint's name for the page.
        prompt: template with ``{question}``.
        adapter: the adapter's name in the checkpoint, None for the checkpoint as it is.
        weights: hash of the weights that answer, `demo.fingerprint.weights_hash`.
        by_index: whether it answers by the option's index, `demo.settings.Spec`.
    """

    name: str
    label: Text | str
    prompt: str
    checkpoint: Checkpoint
    adapter: str | None = None
    weights: str = ""
    by_index: bool = False

    def prompt_for(self, question: str) -> str:
        return build_prompt(question, self.prompt)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sides, loaded; what is done with them is in `demo.streaming`.

    Attributes:
        spec: what was loaded.
        notice: one sentence for the page: what runs, where, and why if it is not what was asked for.
        answers: the generator function behind `demo.streaming.stream`.
    """

    spec: Spec
    baseline: Side
    robust: Side
    notice: Text
    answers: Callable[..., Iterator[Event]]

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.baseline, self.robust

    @property
    def max_new_tokens(self) -> int:
        return self.spec.max_new_tokens

    def fit(self, photo: Image.Image) -> Image.Image:
        """A photo (mode RGB) at the working resolution of the degradation-aware side; the photo itself if it has it.

        Raises:
            ValueError: as `demo.resolution.fit`.
        """
        return resolution.fit(photo, self.robust.checkpoint.processor.image_processor)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of models to a command line; `spec_from` reads it."""
    group = parser.add_argument_group("models", "Checkpoints are Hub names or folders.")
    variable = settings.ENVIRONMENT

    def add(name: str, text: str, **options) -> None:
        group.add_argument(f"--{name.replace('_', '-')}", help=f"{text} ({variable[name]})", **options)

    add(
        "preset",
        "a pair with its prompt and pixel budget; the others replace its parts",
        choices=list(settings.PRESETS),
    )
    add("model", "degradation-aware checkpoint; without --baseline it is its own baseline, asked directly")
    add("baseline", "checkpoint that answers directly")
    add("adapter", "LoRA adapter on the degradation-aware side")
    add("prompt_file", "the degradation-aware side's prompt, with {question} in it")
    text = "the degradation-aware side answers by the option's index: where options are numbers, 2 is an index"
    add("by_index", text, action=argparse.BooleanOptionalAction, default=None)


def spec_from(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Spec:
    """What `add_arguments` and the environment choose; the command line comes first.

    With no choice at all it is `settings.PRESET_WITH_GPU` where there is CUDA or ZeroGPU and its checkpoints can be
    had, otherwise `settings.PRESET_WITHOUT_GPU`.

    Whether it answers by the option's index follows from the checkpoint where nothing is said.

    Raises:
        ValueError: an unknown preset, a prompt file that is not there or has no ``{question}``, or a switch that is
            neither yes nor no.
    """
    chosen = {name: getattr(args, name) or environ.get(variable) for name, variable in settings.ENVIRONMENT.items()}
    if args.by_index is None:
        chosen["by_index"] = settings.yes_or_no(settings.ENVIRONMENT["by_index"], chosen["by_index"])
    else:
        chosen["by_index"] = args.by_index
    preset, model = chosen["preset"], chosen["model"]
    if preset and preset not in settings.PRESETS:
        raise ValueError(f"there is no preset {preset!r}; there are {', '.join(settings.PRESETS)}")
    if preset or not model:
        spec = settings.PRESETS[preset or default_preset()]
    else:
        spec = Spec("custom", baseline=model, robust=model)
    # An adapter belongs to the checkpoint that it was made for.
    if model and model != spec.robust:
        spec = replace(spec, robust=model, adapter=None)
    parts = {name: chosen[name] for name in ("baseline", "adapter", "prompt_file") if chosen[name]}
    if chosen["baseline"] and chosen["adapter"] and not model:
        parts["robust"] = chosen["baseline"]
    spec = replace(spec, **parts)
    by_index = chosen["by_index"]
    spec = replace(spec, by_index=spec.robust in settings.BY_INDEX if by_index is None else by_index)
    if spec not in settings.PRESETS.values():
        spec = replace(spec, name="custom")
        read_prompt(spec)
    return spec


def default_preset() -> str:
    """The preset for this machine."""
    if not checkpoints.has_gpu():
        return settings.PRESET_WITHOUT_GPU
    spec = settings.PRESETS[settings.PRESET_WITH_GPU]
    try:
        checkpoints.find(spec.robust)
        checkpoints.find(spec.baseline)
    except CheckpointError as error:
        log.warning("%s Choosing the preset %s.", error, settings.PRESET_WITHOUT_GPU)
        return settings.PRESET_WITHOUT_GPU
    return settings.PRESET_WITH_GPU


def read_prompt(spec: Spec) -> str:
    """The degradation-aware side's prompt template.

    Raises:
        ValueError: the file is not there, or has no ``{question}``.
    """
    if spec.prompt_file is None:
        return DEFAULT_PROMPT
    try:
        template = Path(spec.prompt_file).read_text(encoding="utf-8").strip()
        build_prompt("", template)
    except (OSError, ValueError) as error:
        raise ValueError(f"the prompt file {spec.prompt_file} cannot be used: {error}") from error
    return template


def load_pair(spec: Spec | str, fallback: bool = True) -> Pair:
    """Load both sides, on the main thread: ZeroGPU wants it there.

    Args:
        spec: or a preset's name.
        fallback: load the embedded pair instead if this one cannot be had; its notice says so.

    Raises:
        CheckpointError: this pair cannot be had, nor a fallback.
        ValueError: the prompt file cannot be used.
    """
    spec = settings.PRESETS[spec] if isinstance(spec, str) else spec
    embedded = settings.PRESETS["embedded"]
    try:
        return _load(spec)
    except CheckpointError as error:
        if not fallback or spec == embedded:
            raise
        log.warning("%s Loading the embedded pair instead.", error)
        pair = _load(embedded)
        return replace(pair, notice=Text("page.notice-fallback", error=error, notice=pair.notice))


def _load(spec: Spec) -> Pair:
    template = read_prompt(spec)
    # Two unreachable names should cost one wait, and nothing be loaded before both are known to be there.
    for name in dict.fromkeys((spec.robust, spec.baseline)):
        checkpoints.find(name)
    robust = checkpoints.load(spec.robust, spec, spec.adapter)
    adapter = checkpoints.ADAPTER if spec.adapter else None
    if spec.adapter and not (spec.baseline == spec.robust and robust.mixes()):
        robust.merge()
        adapter = None
    shared = spec.baseline == spec.robust and (adapter or not spec.adapter)
    baseline = robust if shared else checkpoints.load(spec.baseline, spec)
    label = short_name(spec.robust)
    if spec.adapter:
        label = f"{label} + {short_name(spec.adapter)}"
    elif shared:
        label = Text("page.asked-for-a-chain", name=label)
    # An adapter that was merged answers all the same.
    weights = robust.weights[checkpoints.ADAPTER if spec.adapter else None]
    sides = (
        Side("baseline", short_name(spec.baseline), DIRECT_PROMPT, baseline, weights=baseline.weights[None]),
        Side("robust", label, template, robust, adapter, weights, spec.by_index),
    )
    return Pair(spec, *sides, notice=_notice(spec, sides), answers=on_gpu(sides))


def short_name(checkpoint: str) -> str:
    """A checkpoint's name for the page: a Hub name as it is, a folder's last two parts."""
    return "/".join(Path(checkpoint).parts[-2:])


def _notice(spec: Spec, sides: tuple[Side, Side]) -> Text:
    model = sides[1].checkpoint.base
    place = f"{model.device.type}, {str(model.dtype).removeprefix('torch.')}"
    if spec.name == "embedded":
        millions = sum(weight.numel() for weight in model.parameters()) / 1e6
        return Text("page.notice-embedded", millions=f"{millions:.0f}", place=place)
    return Text("page.notice-pair", baseline=sides[0].label, robust=sides[1].label, place=place)
