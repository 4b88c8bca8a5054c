"""Recovery, stage I: a NAFNet learns to undo our degradations, from pairs made live.

``python -m training.recover_sft --config training/configs/recover_sft.yaml``, on several cores or GPUs
``accelerate launch --multi_gpu --num_processes 2 -m training.recover_sft --config …``

The loss is the negative PSNR of each picture, as NAFNet was published with it: what counts is by how much a picture
gets better, so that mild degradations weigh as much as strong ones, and clean pictures are to stay what they are. A
killed run goes on from its last checkpoint when the same command is started again.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from torch import nn
from transformers import TrainingArguments, set_seed
from trl import TrlParser

from training.record import Run
from training.recovery.runs import RecoveryArguments, as_float, start_from, train

CEILING = 1e-5
"""Added to every mean squared error, so that equal pictures have a PSNR of 50 dB."""
EQUAL = 49.9
"""dB from which on a picture counts as clean."""


@dataclass
class RecoverArguments(RecoveryArguments):
    start: Path | None = field(default=None, metadata={"help": "folder of an earlier run to go on from"})
    width: int = field(default=16, metadata={"help": "channels at full resolution"})
    encoders: list[int] = field(default_factory=lambda: [1, 1, 1, 1], metadata={"help": "blocks of each level"})
    middle: int = field(default=1, metadata={"help": "blocks at the coarsest level"})
    decoders: list[int] = field(default_factory=lambda: [1, 1, 1, 1], metadata={"help": "blocks of each level"})


class Restoring(nn.Module):
    """A network with this stage's loss."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, degraded: torch.Tensor, clean: torch.Tensor) -> dict:
        """Pictures, uint8 (n, 3, h, w) -> ``loss``; ``figures``: PSNR in dB, and its gain on degraded pictures."""
        degraded, clean = as_float(degraded), as_float(clean)
        restored = self.network(degraded).float()
        after = psnr(restored, clean)
        with torch.no_grad():
            before = psnr(degraded, clean)
            told = {"psnr": after.mean(), "psnr_gain": (after - before)[before < EQUAL].mean()}
        # Of pictures that were clean there is no gain, and perhaps there are no others.
        return {"loss": -after.mean() / 10, "figures": {k: v for k, v in told.items() if not v.isnan()}}


def psnr(pictures: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """PSNR of each picture in dB, (n,), at most 50."""
    return -10 * torch.log10((pictures - clean).square().mean((1, 2, 3)) + CEILING)


def main() -> None:
    parser = TrlParser((RecoverArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    start = arguments.start or "random weights"
    tables = sorted(arguments.corpus.glob("*.jsonl"))
    run = Run.of("Recovery SFT", (arguments, training), tables, start)
    with run.alone_in(Path(training.output_dir)):
        set_seed(training.seed)
        shape = {name: getattr(arguments, name) for name in ("width", "encoders", "middle", "decoders")}
        network = start_from(arguments.start, **shape)
        train(Restoring(network), network, arguments.pairs(training), training, run)


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()
