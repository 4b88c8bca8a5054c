"""Recovery, stage II: the network of stage I, aligned by rewards for structure and for meaning.

``python -m training.recover_align --config training/configs/recover_align.yaml``, on several cores or GPUs
``accelerate launch --multi_gpu --num_processes 2 -m training.recover_align --config …``

**The policy.** What a network proposes is the mean of a Gaussian over the picture's block means (``block`` pixels
square, standard deviation ``spread``). The detail inside of a block is the network's, so the sampled picture's block
means are the action itself, and its likelihood is exact. Noise on every pixel would have sixteen times as many
dimensions, more than the rewards of a handful of samples can tell apart, and SSIM punishes most of it alike in all of
them. Samples come in pairs, each with its mirror image about the mean: half of the variance is gone.

**The rewards.** SSIM (window 11, range 1) and ``exp(-5 (1 - cos))`` of image embeddings, weights 1.0 and 0.2.

**The update.** As in GRPO: of each degraded picture `group` pictures are sampled and scored; a reward less its group's
mean, by its standard deviation, is the advantage that its log-likelihood is weighted with; ``beta`` times the
divergence from the network that it began with holds it back. Every sample is used once, so the ratio of likelihoods
that GRPO clips is 1. ``credit: region`` gives each region of 32 pixels square the advantage of its own SSIM (the
semantic reward stays the picture's): many small decisions are learned faster than a large one. ``credit: picture`` is
the published form to the letter.

Ablations by a setting: ``--reward_weights 1 0`` or ``0 0.2`` leaves a reward out of the update (both are logged);
``--method ascent`` follows the gradient of the rewards themselves, without sampling.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from accelerate import PartialState
from torch import nn
from torch.nn import functional
from transformers import TrainingArguments, set_seed
from trl import TrlParser

from demo.recovery.encoders import Encoder
from training.record import Run
from training.recover_sft import quality
from training.recovery.rewards import IMAGENET, load_encoder, semantic, structure
from training.recovery.runs import RecoveryArguments, as_float, start_from, train

REGION = 32
"""Side of the regions that earn their own SSIM, in pixels."""


@dataclass
class AlignArguments(RecoveryArguments):
    start: Path | None = field(default=None, metadata={"help": "folder of stage I"})
    method: Literal["policy", "ascent"] = field(
        default="policy", metadata={"help": "sample and weight by advantages, or follow the rewards' own gradient"}
    )
    reward_weights: list[float] = field(
        default_factory=lambda: [1.0, 0.2], metadata={"help": "of SSIM and of semantic similarity; 0 leaves one out"}
    )
    group: int = field(default=8, metadata={"help": "pictures sampled of each; even, as they come in pairs"})
    spread: float = field(default=0.02, metadata={"help": "standard deviation of the policy, of the range of a colour"})
    block: int = field(default=4, metadata={"help": "side of the blocks whose means are the action, in pixels"})
    credit: Literal["region", "picture"] = field(default="region", metadata={"help": "what an advantage belongs to"})
    beta: float = field(default=0.04, metadata={"help": "weight of the divergence from the network that it began with"})
    encoder: str = field(default=IMAGENET, metadata={"help": f"{IMAGENET}, or a CLIP by folder or cached Hub name"})

    def check(self) -> None:
        """Raises: ValueError: settings that do not go together."""
        if self.start is None:
            raise ValueError("alignment goes on from stage I: give start, the folder that training.recover_sft wrote")
        if len(self.reward_weights) != 2 or not any(self.reward_weights):
            raise ValueError(f"reward_weights are two numbers, not both 0: not {self.reward_weights}")
        if self.group < 2 or self.group % 2:
            raise ValueError(f"samples come in pairs: group is an even number, not {self.group}")
        for name, side in (("size", self.size), ("section", self.section)):
            if side % REGION or side % self.block:
                raise ValueError(f"{name} is a multiple of {REGION} and of block ({self.block}), not {side}")


class Aligning(nn.Module):
    """A network with this stage's loss.

    Args:
        network: is trained.
        reference: the one that it began with; rests.
    """

    def __init__(self, network: nn.Module, reference: nn.Module, encoder: Encoder, arguments: AlignArguments):
        super().__init__()
        self.network, self.arguments = network, arguments
        # In lists, so that neither is saved with the network, nor put into training mode.
        self._rest = [reference.eval().requires_grad_(False), encoder]

    def forward(self, degraded: torch.Tensor, clean: torch.Tensor) -> dict:
        """Pictures, uint8 (n, 3, h, w) -> ``loss``, and ``figures``: both rewards, what they add up to, the divergence,
        and what no reward asks for: `training.recover_sft.quality`.

        The figures' rewards are those of what the network proposes, without noise.
        """
        reference, encoder = self._rest
        for module in (reference, encoder.module):
            module.to(degraded.device)
        degraded, clean = as_float(degraded), as_float(clean)
        proposed = self.network(degraded).float()
        with torch.no_grad():
            before = reference(degraded).float()
            with torch.autocast(degraded.device.type, enabled=False):
                meant = encoder.embed(clean)
        if self.arguments.method == "ascent":
            ssim, meaning = self._rewards(proposed.clamp(0, 1), clean, meant, None)
            gain = self._total(ssim.mean((1, 2)), meaning).mean()
        else:
            gain = self._policy(proposed, clean, meant)
            with torch.no_grad():
                ssim, meaning = self._rewards(proposed.clamp(0, 1), clean, meant, None)
        divergence = self._divergence(proposed, before)
        with torch.no_grad():
            told = {
                "reward_ssim": ssim.mean(),
                "reward_semantic": meaning.mean(),
                "reward": self._total(ssim.mean((1, 2)), meaning).mean(),
                "divergence": divergence,
                **quality(proposed, degraded, clean),
            }
        return {"loss": self.arguments.beta * divergence - gain, "figures": told}

    def _policy(self, proposed: torch.Tensor, clean: torch.Tensor, meant: torch.Tensor) -> torch.Tensor:
        """What is to grow: log-likelihoods of sampled pictures, weighted with their advantages, a mean over regions."""
        options = self.arguments
        count, group = len(proposed), options.group
        mean = functional.avg_pool2d(proposed, options.block)
        half = torch.randn(group // 2, *mean.shape, device=mean.device)
        noise = torch.cat([half, -half]) * options.spread  # (group, n, 3, h / block, w / block)
        with torch.no_grad():
            added = noise.repeat_interleave(options.block, -1).repeat_interleave(options.block, -2)
            pictures = (proposed + added).clamp(0, 1).flatten(0, 1)
            region = REGION if options.credit == "region" else None
            ssim, meaning = self._rewards(pictures, clean.repeat(group, 1, 1, 1), meant.repeat(group, 1), region)
            earned = self._total(ssim, meaning[:, None, None]).unflatten(0, (group, count))
            advantages = (earned - earned.mean(0)) / (earned.std(0) + 1e-4)
            action = mean.detach() + noise
        # Of a Gaussian, up to what does not depend on the network; of each region the sum over its blocks.
        likelihood = -(action - mean).square().sum(2) / (2 * options.spread**2)
        rows, columns = earned.shape[-2:]
        sums = likelihood.unflatten(-1, (columns, -1)).sum(-1).unflatten(-2, (rows, -1)).sum(-2)
        return (advantages * sums).mean()

    def _rewards(
        self, pictures: torch.Tensor, clean: torch.Tensor, meant: torch.Tensor, region: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """SSIM (n, rows, columns) and the semantic reward (n,); a reward that is left out is made all the same.

        Args:
            meant: embeddings of the clean pictures.
        """
        _, encoder = self._rest
        # Variances and cosines near 1 are lost in half precision.
        with torch.autocast(pictures.device.type, enabled=False):
            cosine = functional.cosine_similarity(encoder.embed(pictures).float(), meant.float())
            return structure(pictures, clean, region), semantic(cosine)

    def _total(self, ssim: torch.Tensor, meaning: torch.Tensor) -> torch.Tensor:
        for_structure, for_meaning = self.arguments.reward_weights
        return for_structure * ssim + for_meaning * meaning

    def _divergence(self, proposed: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Kullback-Leibler divergence of the policy from the one that it began with, of a region, in nats.

        Detail inside of blocks, which is not drawn, is held by the same measure.
        """
        scale = 2 * (self.arguments.spread * self.arguments.block) ** 2
        return (proposed - before).square().mean() * 3 * REGION**2 / scale


def main() -> None:
    parser = TrlParser((AlignArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    arguments.check()
    tables = sorted(arguments.corpus.glob("*.jsonl"))
    run = Run.of("Recovery alignment", (arguments, training), tables, arguments.start)
    with run.alone_in(Path(training.output_dir)):
        set_seed(training.seed + PartialState().process_index)  # each process samples for itself
        network, reference = (start_from(arguments.start) for _ in range(2))
        aligning = Aligning(network, reference, load_encoder(arguments.encoder), arguments)
        train(aligning, network, arguments.pairs(training), training, run)


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()
