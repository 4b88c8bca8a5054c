"""The chain, reinforced: GRPO (DeepSeekMath, arXiv 2402.03300) with TRL, from where `training.sft` ended.

``python -m training.grpo --config training/configs/grpo_embedded.yaml``, on many GPUs
``accelerate launch -m training.grpo --config …``

For every question several chains are sampled; each is paid by `training.rewards`, and those that earn more than their
group's mean become likelier. With ``adapter`` the adapter of the SFT goes on being trained, held near to what it was
(``beta``); the result is one adapter on the original base. Without it a new adapter (``use_peft``) or all weights are.

An ablation is one flag: ``--reward_weights 1 1 0 1`` trains without r_deg and still logs it. The completions of every
logged step lie in OUTPUT/completions with their rewards, as Parquet. A killed run goes on from its last checkpoint when
the same command is started again.
"""

import functools
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import torch
from accelerate import PartialState
from datasets import Dataset, Image, List
from peft import PeftModel
from transformers import PreTrainedModel, set_seed
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import GRPOConfig, GRPOTrainer, ModelConfig, TrlParser

from training import rewards
from training.exchanged import picture_key
from training.resume import finished_checkpoint
from training.stage import (
    CHAIN,
    TYPES_AND_ANSWER,
    StageArguments,
    StageTrainer,
    ask,
    describe,
    load_model,
    load_processor,
    show_exchanged,
    types_and_answer,
)


class Trainer(StageTrainer, GRPOTrainer):
    """TRL's, with the habits of a stage."""


@dataclass
class GRPOArguments(StageArguments):
    target: Literal["chain", "types_and_answer"] = field(
        default=CHAIN, metadata={"help": "as in the SFT; without reasoning no completion earns the format's reward"}
    )
    rewards: list[str] = field(
        default_factory=lambda: ["accuracy", "format", "r_deg", "r_len"],
        metadata={"help": f"among {', '.join(rewards.REWARDS)}; reward_weights has one weight for each"},
    )
    cache_features: bool = field(
        default=False, metadata={"help": "see each picture once a step, not once for each of its completions"}
    )


def grpo_dataset(rows: list[dict], arguments: GRPOArguments) -> Dataset:
    """Prompts with their pictures, and the columns that the rewards read.

    Raises:
        ValueError: the true answer of a sample is none of its options.
    """
    template = arguments.template()
    for row in rows:
        try:
            rewards.accuracy("", row["answer"], row["options"])
        except ValueError as error:
            raise ValueError(f"sample {row['id']}: {error}") from error
    dataset = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": ask(row, template)}],
                "images": arguments.pictures(row),
                "id": str(row["id"]),
                "recipe": row["recipe"],
                "answer": row["answer"],
                "options": row["options"],
                "chain": types_and_answer(row["chain"]) if arguments.target == TYPES_AND_ANSWER else row["chain"],
            }
            for row in rows
        ]
    )
    return dataset.cast_column("images", List(Image(mode="RGB")))


def cache_features(model: PreTrainedModel, keep: int) -> None:
    """Have a vision-language model remember what it saw in the last pictures.

    A picture goes through tower and projector for every completion of its group, when they are sampled and in each of
    the forward passes that follow. Where both rest, once is enough.

    Args:
        model: a FastVLM or Qwen2.5-VL, without the wrapper of an adapter.
        keep: how many pictures it remembers.
    """
    inner = model.model
    see, seen = inner.get_image_features, OrderedDict()

    @functools.wraps(see)  # generation reads the signature
    @torch.no_grad()
    def remember(pixel_values, image_grid_thw=None, **kwargs):
        patches = [1] * len(pixel_values) if image_grid_thw is None else image_grid_thw.prod(-1).tolist()
        pictures = dict(enumerate(pixel_values.split(patches)))
        keys = [_key(picture) for picture in pictures.values()]
        new = list({key: number for number, key in enumerate(keys) if key not in seen}.values())
        if new:
            grids = {} if image_grid_thw is None else {"image_grid_thw": image_grid_thw[new]}
            found = see(pixel_values=torch.cat([pictures[number] for number in new]), **grids, **kwargs).pooler_output
            seen.update((keys[number], features) for number, features in zip(new, found, strict=True))
        for key in keys:
            seen.move_to_end(key)
        features = [seen[key] for key in keys]
        while len(seen) > keep:
            seen.popitem(last=False)
        # FastVLM's pictures all have the same number of tokens and are stacked; Qwen's are apart.
        return BaseModelOutputWithPooling(
            pooler_output=torch.stack(features) if image_grid_thw is None else tuple(features)
        )

    inner.get_image_features = remember


def _key(picture: torch.Tensor) -> tuple:
    """What a picture's features follow from: its pixels, and the precision that they are computed in."""
    device = picture.device.type
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return picture.shape, picture.dtype, precision, picture_key(picture)


def check(arguments: GRPOArguments, training: GRPOConfig, config: ModelConfig, rows: list[dict]) -> None:
    """Refuse settings that would train something else than they say.

    Raises:
        ValueError: with the reason.
    """
    rewards.check_names(arguments.rewards)
    if training.reward_weights is not None and len(training.reward_weights) != len(arguments.rewards):
        raise ValueError(
            f"reward_weights has {len(training.reward_weights)} weights, and there are {len(arguments.rewards)} "
            f"rewards ({', '.join(arguments.rewards)}): give one for each"
        )
    if arguments.cache_features and arguments.train_vision:
        raise ValueError("cache_features needs a vision tower that rests: leave one of it and train_vision out")
    elsewhere = training.use_vllm or not (arguments.adapter or config.use_peft)
    if elsewhere and any("exchanged" in row for row in rows):
        raise ValueError(
            f"{arguments.samples} asks about what its pictures do not show, and vLLM or a reference model of its own "
            "would look at them: leave use_vllm out and train an adapter, or give other samples"
        )
    rollout = training.steps_per_generation * training.num_iterations
    saved = training.save_steps * training.gradient_accumulation_steps
    if training.save_strategy == "steps" and saved % rollout:
        raise ValueError(
            f"completions are sampled every {rollout} batches, and a checkpoint after {saved} would lie between: a run "
            "that goes on from there would sample anew; choose save_steps so that it does not"
        )


def main() -> None:
    parser = TrlParser((GRPOArguments, GRPOConfig, ModelConfig))
    arguments, training, config = parser.parse_args_and_config()
    rows = arguments.read()
    check(arguments, training, config, rows)
    run = describe("GRPO", arguments, training, config)
    with run.alone_in(training.output_dir):
        set_seed(training.seed)
        checkpoint = finished_checkpoint(training.output_dir)
        processor = load_processor(config.model_name_or_path)
        model = load_model(config, arguments.adapter, checkpoint, arguments.train_vision)
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        show_exchanged(model, processor, rows, arguments.hidden_share)
        if base is model:  # then TRL loads the reference model itself, and is to load it in the same way
            training.model_init_kwargs = {
                "attn_implementation": config.attn_implementation,
                "revision": config.model_revision,
            }
        trainer = Trainer(
            model,
            rewards.for_trl(arguments.rewards, processor.tokenizer),
            args=training,
            train_dataset=grpo_dataset(rows, arguments),
            processing_class=processor,
            run=run,
        )
        if arguments.cache_features:
            if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
                raise ValueError("cache_features would let processes wait for each other where weights are sharded")
            cache_features(base, keep=training.generation_batch_size)
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.finish()


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()  # or else a process may abort at its end, and take the others with it
