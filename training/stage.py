"""What the two trainers of the chain, `training.sft` and `training.grpo`, have in common.

Their arguments, the rows they read, the model they load, and a trainer's habits: an order of the data that follows from
seed and epoch alone, and outputs with a card.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from peft import PeftModel, get_peft_model
from torch.utils.data import Sampler
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedModel,
    ProcessorMixin,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from trl import ModelConfig, get_peft_config, get_quantization_config

from demo import checkpoints
from demo.chain import DEFAULT_PROMPT, JOINT_PREFACE, build_prompt, parse_chain, question_with_options
from demo.checkpoints import OUTSIDE_LANGUAGE_MODEL
from demo.resolution import is_sized_by_pixels
from demo.settings import Spec
from training.data import read_chained
from training.embedded import rest_statistics
from training.exchanged import Exchanging
from training.record import Clock, Run, hide_token

RESTING = "|".join(OUTSIDE_LANGUAGE_MODEL)
"""Parts of the names of modules that are not trained."""

DEGRADED, RECOVERED, BOTH = "degraded", "recovered", "both"
"""Which picture of a sample a model is asked about."""

CHAIN, TYPES_AND_ANSWER, ANSWER = "chain", "types_and_answer", "answer"
"""What a model can be trained to write: all five blocks, the chain without its reasoning, or the answer alone."""


@dataclass
class StageArguments:
    samples: Path = field(metadata={"help": "dataset folder with samples.jsonl and chains.jsonl"})
    prompt_file: Path | None = field(default=None, metadata={"help": "prompt template; default: demo.chain's"})
    part: list[float] = field(
        default_factory=lambda: [0.0, 1.0],
        metadata={"help": "part of the samples, drawn by their ids: 0 0.25 and 0.25 1 share none"},
    )
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})
    adapter: str | None = field(default=None, metadata={"help": "an adapter to go on from, instead of a new one"})
    hidden_share: float = field(
        default=0.0, metadata={"help": "share of pictures hidden in part, among samples of training.exchanged"}
    )
    train_vision: bool = field(default=False, metadata={"help": "train vision tower and projector, too"})
    sees: Literal["degraded", "recovered", "both"] = field(
        default=DEGRADED, metadata={"help": "which picture is asked about; recovered ones: training.recover_samples"}
    )

    def read(self) -> list[dict]:
        """The rows to train on, with absolute picture paths and the key ``"chain"``.

        Raises:
            ValueError: there are no chains, or the part is empty or no range within 0 to 1, or recovered pictures are
                asked for and missing, or the vision tower is to learn from what it does not see, or the prompt file
                has no place for the question.
        """
        build_prompt("", self.template())
        rows = part_of(read_chained(self.samples, self.limit, exchanged=True), self.part)
        if not rows:
            raise ValueError(f"no sample of {self.samples} lies in the part {self.part}")
        if self.sees != DEGRADED and not all("recovered" in row for row in rows):
            raise ValueError(
                f"{self.samples} holds no recovered pictures; make them with python -m training.recover_samples"
            )
        if self.train_vision and any("exchanged" in row for row in rows):
            raise ValueError("exchanged features need a tower that rests: leave train_vision out, or give others")
        return rows

    def template(self) -> str:
        """The prompt of a degradation-aware model."""
        template = self.prompt_file.read_text(encoding="utf-8").strip() if self.prompt_file else DEFAULT_PROMPT
        return JOINT_PREFACE + template if self.sees == BOTH else template

    def pictures(self, row: dict) -> list[str]:
        """Paths of the pictures that a sample's question is about: which of the first, then its further ones."""
        first = {DEGRADED: ["image"], RECOVERED: ["recovered"], BOTH: ["image", "recovered"]}[self.sees]
        return [*(row[name] for name in first), *row.get("more_images", [])]

    @property
    def files(self) -> list[Path]:
        """All that is learned from, but the pictures, which follow from the samples' recipes and seeds."""
        tables = [self.samples / "samples.jsonl", self.samples / "chains.jsonl"]
        return [*tables, self.prompt_file] if self.prompt_file else tables


def part_of(rows: list[dict], part: list[float]) -> list[dict]:
    """The rows whose ids fall into a part, in their order.

    Each id has its own fixed place in [0, 1), whatever other rows there are: so two parts that do not overlap share no
    sample, even if chains were added or rejected between the stages. A part's size is therefore only about its share.

    Raises:
        ValueError: the part is no range within 0 to 1.
    """
    if len(part) != 2 or not 0 <= part[0] < part[1] <= 1:
        raise ValueError(f"a part is two numbers within 0 and 1, the first below the second, not {part}")
    begin, end = part
    return [row for row in rows if begin <= _place(row["id"]) < end]


def _place(sample: int | str) -> float:
    return int.from_bytes(hashlib.sha256(str(sample).encode()).digest()[:6]) / 2**48


def ask(row: dict, template: str) -> str:
    """A sample's question with its options, in a prompt template."""
    return build_prompt(question_with_options(row["question"], row["options"]), template)


def types_and_answer(chain: str) -> str:
    """A chain without its reasoning: the blocks TYPE and ANSWER, which `demo.chain.parse_chain` reads as well."""
    parsed = parse_chain(chain)
    return f"<TYPE>{parsed.recipe}<TYPE_END>\n<ANSWER>{parsed.answer}<ANSWER_END>"


def load_processor(name: str) -> ProcessorMixin:
    """The checkpoint's processor, with the pixel budget that photos have in the demo."""
    processor = checkpoints.load_processor(name)
    processor.tokenizer.padding_side = "left"
    if is_sized_by_pixels(processor.image_processor):
        processor.image_processor.size = {"shortest_edge": Spec.min_pixels, "longest_edge": Spec.max_pixels}
    return processor


def load_model(
    config: ModelConfig, adapter: str | None = None, checkpoint: str | None = None, train_vision: bool = False
) -> PreTrainedModel | PeftModel:
    """The model to train: with a new LoRA adapter (``use_peft``), with one to go on from, or with all its weights.

    Vision tower and projector rest unless `train_vision`.

    Args:
        adapter: folder or Hub name of the adapter to go on from.
        checkpoint: where a run that trains all weights goes on.

    Raises:
        ValueError: both a new adapter and one to go on from are asked for.
    """
    if adapter and config.use_peft:
        raise ValueError(f"use_peft makes a new adapter, and adapter goes on from {adapter}: give one of them")
    start = config.model_name_or_path
    lora = get_peft_config(config)
    # A trainer that resumes does not find the weights of a vision-language model again under the names they are saved
    # by, and only warns. Adapters it does load.
    resumed = checkpoint if checkpoint and not (lora or adapter) and _holds_weights(checkpoint) else None
    dtype = config.dtype if config.dtype in (None, "auto") else getattr(torch, config.dtype)
    model = AutoModelForImageTextToText.from_pretrained(
        resumed or start,
        dtype=dtype or torch.float32,
        revision=config.model_revision,
        attn_implementation=config.attn_implementation,
        quantization_config=get_quantization_config(config),
    )
    # GRPO takes its reference model from here: the one before training, also when training goes on.
    model.config._name_or_path = start
    rest_statistics(model)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    elif lora is not None:
        lora.exclude_modules = None if train_vision else rf".*({RESTING}).*"
        model = get_peft_model(model, lora)
    if not train_vision:
        for name, parameter in model.named_parameters():
            if re.search(RESTING, name):
                parameter.requires_grad = False
    return model


def show_exchanged(
    model: PreTrainedModel | PeftModel, processor: ProcessorMixin, rows: list[dict], hidden_share: float = 0.0
) -> None:
    """Have the model see what samples of ``training.exchanged`` are about, if there are any.

    Raises:
        ValueError: pictures are to be hidden in part, which is done to such samples alone.
    """
    if any("exchanged" in row for row in rows):
        Exchanging(model, processor, rows, hidden_share)
    elif hidden_share:
        raise ValueError("pictures are hidden in part among samples of training.exchanged: leave hidden_share out")


def _holds_weights(folder: str) -> bool:
    return any(Path(folder).glob("model*.safetensors"))


def describe(stage: str, arguments: StageArguments, training: TrainingArguments, config: ModelConfig) -> Run:
    """What the run's folder is claimed with, and its card filled.

    Raises:
        ValueError: no model is named.
        CheckpointError: model or adapter cannot be had.
        FileNotFoundError: a table of the data is missing.
    """
    if not config.model_name_or_path:
        raise ValueError("name the model to begin with by model_name_or_path: a folder, or a name of the Hub")
    if config.model_revision == "main":  # others are for the library to find
        checkpoints.find(config.model_name_or_path)
    if arguments.adapter:
        checkpoints.find(arguments.adapter, "adapter_config.json")
    return Run.of(stage, (arguments, training, config), arguments.files, config.model_name_or_path)


class StageTrainer:
    """What goes in front of one of TRL's trainers."""

    def __init__(self, *args, run: Run, **kwargs):
        hide_token(kwargs["args"])
        super().__init__(*args, **kwargs)
        self.run = run
        self.add_callback(Clock())

    def train(self, resume_from_checkpoint: str | None = None):
        """Train, or go on; a run that had come to its end gets its weights and its log back as they were."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / TRAINER_STATE_NAME))
            if state.global_step >= state.max_steps:  # the library would do one step more
                self._load_from_checkpoint(resume_from_checkpoint)
                self.state = state
                return None
        return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def _get_train_sampler(self, *args):
        return _ByEpoch(super()._get_train_sampler(*args), self)

    def create_model_card(self, *args, **kwargs) -> None:
        """Called by TRL with every checkpoint, and by ``push_to_hub`` right before it uploads."""
        if self.is_world_process_zero():
            adapted = isinstance(self.accelerator.unwrap_model(self.model), PeftModel)
            self.run.write_card(self.args.output_dir, self.state, "peft" if adapted else "transformers")

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        # GRPO's frozen copy of the adapter it began with: not part of the result, and made again when a run goes on.
        shutil.rmtree(Path(output_dir or self.args.output_dir) / "ref", ignore_errors=True)

    def finish(self) -> None:
        """Leave model, processor, training state and card in the output folder, and on the Hub if that was asked."""
        self.save_state()
        if self.args.push_to_hub:
            self.push_to_hub()
        else:
            self.save_model()
            self.create_model_card()
        self.accelerator.wait_for_everyone()  # who ends first would end the others while they write


class _ByEpoch(Sampler):
    """A sampler that shuffles by seed and epoch alone, so that a resumed run sees what the run would have seen.

    TRL's own goes on drawing from one generator, and with several processes accelerate does not tell the sampler of a
    resumed epoch which one it is.
    """

    def __init__(self, sampler: Sampler, trainer: StageTrainer):
        self.sampler, self.trainer = sampler, trainer

    def __iter__(self) -> Iterator[int]:
        epoch = int(self.trainer.state.epoch or 0)
        self.sampler.generator = torch.Generator().manual_seed(self.trainer.args.seed + epoch)
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)
