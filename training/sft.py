"""The chain: supervised fine-tuning on degraded pictures with TRL and PEFT.

``python -m training.sft --config training/configs/sft_embedded.yaml``, on many GPUs
``accelerate launch -m training.sft --config …``

The same script for the embedded base and for Qwen2.5-VL: a vision-language model, samples with chains, a LoRA adapter
on the language model (``use_peft: true``) or all of it; vision tower and projector rest. A killed run goes on from its
last checkpoint when the same command is started again.

Recover first, then reason: ``sees: both`` asks about the degraded picture and the recovered one together, of samples
that ``training.recover_samples`` made; ``adapter`` goes on from the adapter that knows the chain already.

``target`` says what is learned: the chain; for the control the answer alone, asked for as the baseline is; for the
ablation without reasoning the chain's TYPE and ANSWER. All three see the same samples in the same order.
"""

from dataclasses import dataclass, field
from typing import Literal

from accelerate import PartialState
from datasets import Dataset, Image, List
from transformers import set_seed
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser

from demo.chain import DIRECT_PROMPT
from training.chains import write_answer
from training.resume import finished_checkpoint
from training.stage import (
    ANSWER,
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


class Trainer(StageTrainer, SFTTrainer):
    """TRL's, with the habits of a stage."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Every token counts the same, in whatever process and micro-batch: TRL's loss can do that for all models, but
        # takes Qwen2.5-VL at its word that it cannot.
        self.model_accepts_loss_kwargs = True


@dataclass
class SFTArguments(StageArguments):
    target: Literal["chain", "types_and_answer", "answer"] = field(
        default=CHAIN, metadata={"help": "what is learned: the chain, the chain without reasoning, the answer alone"}
    )
    answer: Literal["words", "index"] = field(
        default="index", metadata={"help": "how the target 'answer' names an option; in chains, as they were written"}
    )


def sft_dataset(rows: list[dict], arguments: SFTArguments) -> Dataset:
    """Samples as TRL's prompt-completion rows; pictures are read when they are needed."""
    template = DIRECT_PROMPT if arguments.target == ANSWER else arguments.template()
    dataset = Dataset.from_list(
        [
            {
                "images": arguments.pictures(row),
                # Bare placeholders: pictures inside of messages do not survive Arrow.
                "prompt": [
                    {
                        "role": "user",
                        "content": [
                            *[{"type": "image"}] * len(arguments.pictures(row)),
                            {"type": "text", "text": ask(row, template)},
                        ],
                    }
                ],
                "completion": [
                    {"role": "assistant", "content": [{"type": "text", "text": completion(row, arguments)}]}
                ],
            }
            for row in rows
        ]
    )
    return dataset.cast_column("images", List(Image(mode="RGB")))


def completion(row: dict, arguments: SFTArguments) -> str:
    """What is to be learned of a sample."""
    if arguments.target == ANSWER:
        return write_answer(row) if arguments.answer == "index" else row["answer"]
    return types_and_answer(row["chain"]) if arguments.target == TYPES_AND_ANSWER else row["chain"]


def main() -> None:
    parser = TrlParser((SFTArguments, SFTConfig, ModelConfig))
    arguments, training, config = parser.parse_args_and_config()
    training.max_length = None  # a cut picture is no picture
    rows = arguments.read()
    run = describe("SFT", arguments, training, config)
    with run.alone_in(training.output_dir):
        set_seed(training.seed)
        checkpoint = finished_checkpoint(training.output_dir)
        processor = load_processor(config.model_name_or_path)
        model = load_model(config, arguments.adapter, checkpoint, arguments.train_vision)
        show_exchanged(model, processor, rows, arguments.hidden_share)
        trainer = Trainer(
            model, args=training, train_dataset=sft_dataset(rows, arguments), processing_class=processor, run=run
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.finish()


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()  # or else a process may abort at its end, and take the others with it
