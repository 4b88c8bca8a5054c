"""Recovery, stage I: a NAFNet learns to undo our degradations, from pairs made live.

``python -m training.recover_sft --config training/configs/recover_sft.yaml``, on several cores or GPUs
``accelerate launch --multi_gpu --num_processes 2 -m training.recover_sft --config …``

The loss is the negative PSNR of each picture, as NAFNet was published with it: what counts is by how much a picture
gets better. Taken as it is, a clean picture pulls on the weights up to twenty times as hard as a strongly degraded one,
and among pictures of all kinds the network stays at leaving everything as it is. So the PSNR has a ceiling that rises
with the run (``ceilings``, in dB): at the beginning only what is strongly degraded counts, at the end every picture,
and clean ones are to stay what they are. A killed run goes on from its last checkpoint when the same command is started
again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from torch import nn
from transformers import TrainingArguments, set_seed
from trl import TrlParser

from demo.recovery.measures import CEILING_DB
from training.record import Run
from training.recovery.runs import RecoveryArguments, as_float, start_from, train


@dataclass
class RecoverArguments(RecoveryArguments):
    ceilings: list[float] = field(
        default_factory=lambda: [20.0, 45.0],
        metadata={"help": "PSNR of equal pictures in the loss, in dB, at the run's beginning and end"},
    )
    start: Path | None = field(default=None, metadata={"help": "folder of an earlier run to go on from"})
    width: int = field(default=16, metadata={"help": "channels at full resolution"})
    encoders: list[int] = field(default_factory=lambda: [1, 1, 1, 1], metadata={"help": "blocks of each level"})
    middle: int = field(default=1, metadata={"help": "blocks at the coarsest level"})
    decoders: list[int] = field(default_factory=lambda: [1, 1, 1, 1], metadata={"help": "blocks of each level"})


class Restoring(nn.Module):
    """A network with this stage's loss.

    Args:
        ceilings: in dB, at the beginning and at the end.

    Attributes:
        progress: how much of the run is over, in [0, 1]; `training.recovery.runs.train` keeps it.
    """

    def __init__(self, network: nn.Module, ceilings: Sequence[float]):
        super().__init__()
        if len(ceilings) != 2:
            raise ValueError(f"ceilings are two numbers of dB, at the beginning and at the end, not {list(ceilings)}")
        self.network, self.ceilings, self.progress = network, ceilings, 0.0

    @property
    def ceiling(self) -> float:
        """Now, in dB."""
        first, last = self.ceilings
        return first + (last - first) * self.progress

    def forward(self, degraded: torch.Tensor, clean: torch.Tensor) -> dict:
        """Pictures, uint8 (n, 3, h, w) -> ``loss``; ``figures``: those of `quality`."""
        degraded, clean = as_float(degraded), as_float(clean)
        restored = self.network(degraded).float()
        loss = -psnr(restored, clean, self.ceiling).mean() / 10
        return {"loss": loss, "figures": quality(restored.detach(), degraded, clean)}


def psnr(pictures: torch.Tensor, clean: torch.Tensor, ceiling: float) -> torch.Tensor:
    """PSNR of each picture in dB, (n,); that of equal pictures is the ceiling, which others near smoothly."""
    return -10 * torch.log10((pictures - clean).square().mean((1, 2, 3)) + 10 ** (-ceiling / 10))


@torch.no_grad()
def quality(restored: torch.Tensor, degraded: torch.Tensor, clean: torch.Tensor) -> dict[str, torch.Tensor]:
    """Means over pictures, in dB and at most `CEILING_DB` each, as `training.recover_measure` has them.

    Returns:
        ``psnr``; ``psnr_gain`` of degraded pictures; ``psnr_clean``, of those that were clean. A figure without
        pictures is left out.
    """
    before, after = (psnr(one, clean, 100.0).clamp(max=CEILING_DB) for one in (degraded, restored.clamp(0, 1)))
    same = (degraded == clean).flatten(1).all(1)
    told = {"psnr": after, "psnr_gain": (after - before)[~same], "psnr_clean": after[same]}
    return {name: values.mean() for name, values in told.items() if len(values)}


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
        train(Restoring(network, arguments.ceilings), network, arguments.pairs(training), training, run)


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()
