"""The chain: supervised fine-tuning on degraded pictures with TRL and PEFT.

``python -m training.sft --config training/configs/sft_embedded.yaml``, on many GPUs
``accelerate launch -m training.sft --config …``

The same script for the embedded base and for Qwen2.5-VL: a vision-language model, samples with chains, a LoRA adapter
on the language model (``use_peft: true``) or all of it; vision tower and projector rest. A killed run goes on from its
last checkpoint when the same command is started again.

``target`` says what is learned: the chain; for the control the answer alone, asked for as the baseline is; for the
ablation without reasoning the chain's TYPE and ANSWER. All three see the same samples in the same order.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from accelerate import PartialState
from datasets import Dataset, Image, List
from peft import PeftModel
from transformers import PreTrainedModel, set_seed
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser

from demo.chain import DIRECT_PROMPT
from training.chains import write_answer
from training.exchanged import STATISTICS_OF, ExchangedCollator, Exchanging, encode
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
    pictures,
    types_and_answer,
)


class Trainer(StageTrainer, SFTTrainer):
    """TRL's, with the habits of a stage.

    Args:
        exchanging: shows the model what the column ``exchanged`` says, where there is one.
    """

    def __init__(self, *args, exchanging: Exchanging | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.exchanging = exchanging
        if exchanging:
            self.data_collator = ExchangedCollator(self.data_collator)
        # Every token counts the same, in whatever process and micro-batch: TRL's loss can do that for all models, but
        # takes Qwen2.5-VL at its word that it cannot.
        self.model_accepts_loss_kwargs = True

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "exchanged" not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, "exchanged"]

    def compute_loss(self, model, inputs, *args, **kwargs):
        wanted = inputs.pop("exchanged", None)
        with self.exchanging.of(wanted) if self.exchanging else nullcontext():
            return super().compute_loss(model, inputs, *args, **kwargs)


@dataclass
class SFTArguments(StageArguments):
    EXCHANGED: ClassVar[bool] = True

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
                "images": pictures(row),
                # Bare placeholders: pictures inside of messages do not survive Arrow.
                "prompt": [
                    {
                        "role": "user",
                        "content": [
                            *[{"type": "image"}] * len(pictures(row)),
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
    if any("exchanged" in row for row in rows):
        dataset = dataset.add_column("exchanged", [encode(row.get("exchanged", [])) for row in rows])
    return dataset.cast_column("images", List(Image(mode="RGB")))


def show_exchanged(model: PreTrainedModel | PeftModel, rows: list[dict]) -> Exchanging | None:
    """Have the model see what `training.exchanged` has exchanged; None where there is no such row."""
    if not any("exchanged" in row for row in rows):
        return None
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    return Exchanging(base, [row["clean"] for row in rows[:STATISTICS_OF]])


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
    if arguments.train_vision and any("exchanged" in row for row in rows):
        raise ValueError(
            "exchanged features need a vision tower that rests: leave train_vision out, or give other samples"
        )
    run = describe("SFT", arguments, training, config)
    with run.alone_in(training.output_dir):
        set_seed(training.seed)
        checkpoint = finished_checkpoint(training.output_dir)
        model = load_model(config, checkpoint=checkpoint, train_vision=arguments.train_vision)
        trainer = Trainer(
            model,
            exchanging=show_exchanged(model, rows),
            args=training,
            train_dataset=sft_dataset(rows, arguments),
            processing_class=load_processor(config.model_name_or_path),
            run=run,
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.finish()


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()  # or else a process may abort at its end, and take the others with it
