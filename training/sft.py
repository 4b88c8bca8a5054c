"""The chain: supervised fine-tuning on degraded pictures with TRL and PEFT.

``python -m training.sft --config training/configs/sft_embedded.yaml``, on many GPUs
``accelerate launch -m training.sft --config …``

The same script for the embedded base and for Qwen2.5-VL: a vision-language model, samples with chains, a LoRA adapter
on the language model (``use_peft: true``) or all of it; the vision tower and the projector rest. A killed run goes on
from its last checkpoint when started again.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset, Image, List
from peft import get_peft_model
from transformers import AutoModelForImageTextToText, PreTrainedModel, set_seed
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config

from demo.chain import DEFAULT_PROMPT, build_prompt, question_with_options
from demo.checkpoints import OUTSIDE_LANGUAGE_MODEL, load_processor
from training.chains import write_chain
from training.data import read_samples
from training.embedded import rest_statistics
from training.resume import finished_checkpoint

RESTING = "|".join(OUTSIDE_LANGUAGE_MODEL)
"""Parts of the names of modules that are not trained."""


@dataclass
class SFTArguments:
    samples: Path = field(metadata={"help": "folder made by training.synthesize"})
    prompt_file: Path | None = field(default=None, metadata={"help": "prompt template; default: demo.chain's"})
    intensity_step: float = field(default=0.01, metadata={"help": "grid of the intensities in the chains"})
    answer_in_words: bool = field(default=False, metadata={"help": "answer by an option's words, not by its index"})
    limit: int | None = field(default=None, metadata={"help": "use the first samples only"})


def chain_dataset(rows: list[dict], template: str, intensity_step: float, seed: int, index: bool = True) -> Dataset:
    """Samples as TRL's prompt-completion rows; pictures are read when they are needed."""
    dataset = Dataset.from_list(
        [
            {
                "images": [row["image"]],
                # Bare placeholders: pictures inside of messages do not survive Arrow.
                "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}],
                "completion": [{"role": "assistant", "content": [{"type": "text", "text": chain}]}],
            }
            for row in rows
            for prompt in [build_prompt(question_with_options(row["question"], row["options"]), template)]
            for chain in [write_chain(row, seed, intensity_step, index)]
        ]
    )
    return dataset.cast_column("images", List(Image(mode="RGB")))


def load_model(model_config: ModelConfig) -> PreTrainedModel:
    """The model with its LoRA adapter, or with all but the vision parts trainable."""
    dtype = getattr(torch, model_config.dtype) if model_config.dtype not in (None, "auto") else model_config.dtype
    model = AutoModelForImageTextToText.from_pretrained(
        model_config.model_name_or_path,
        dtype=dtype or torch.float32,
        attn_implementation=model_config.attn_implementation,
        trust_remote_code=False,
    )
    rest_statistics(model)
    lora = get_peft_config(model_config)
    if lora is not None:
        lora.exclude_modules = rf".*({RESTING}).*"
        return get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not re.search(RESTING, name)
    return model


def main() -> None:
    parser = TrlParser((SFTArguments, SFTConfig, ModelConfig))
    arguments, training, model_config = parser.parse_args_and_config()
    set_seed(training.seed)
    template = arguments.prompt_file.read_text().strip() if arguments.prompt_file else DEFAULT_PROMPT
    rows = read_samples(arguments.samples, arguments.limit)
    training.max_length = None  # a cut picture is no picture
    processor = load_processor(model_config.model_name_or_path)
    trainer = SFTTrainer(
        load_model(model_config),
        args=training,
        train_dataset=chain_dataset(
            rows, template, arguments.intensity_step, training.seed, index=not arguments.answer_in_words
        ),
        processing_class=processor,
    )
    trainer.train(resume_from_checkpoint=finished_checkpoint(training.output_dir))
    trainer.save_model(training.output_dir)
    processor.save_pretrained(training.output_dir)
    if training.push_to_hub:
        trainer.push_to_hub()


if __name__ == "__main__":
    main()
