"""A recovery decoded from the reasoning model's own vision tower: the model shows what it saw.

``python -m training.recover_decoder --config training/configs/recover_decoder.yaml``, on several cores or GPUs with
``accelerate launch --multi_gpu --num_processes 2 -m training.recover_decoder --config …``

The tower of the embedded base rests; a decoder learns to draw the clean picture from the tower's features of the
degraded one. With ``levels: [32]`` it sees what the language model sees, 49 positions and no more; with the finer
levels, ``[32, 16, 8, 4, 2]``, also what the tower saw on its way there. Measured beside the network by
``training.recover_measure``; the demo shows the network.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForImageTextToText, TrainingArguments, set_seed
from trl import TrlParser

from demo import settings
from demo.recovery.encoders import fitted
from demo.recovery.measures import CEILING_DB
from demo.recovery.nafnet import Block
from training.embedded import IMAGE_SIZE
from training.folding import fold
from training.record import Run
from training.recover_sft import psnr, quality
from training.recovery.runs import RecoveryArguments, as_float, train

DECODER, SETTINGS = "decoder.safetensors", "decoder.json"
STRIDES = (32, 16, 8, 4, 2)
WIDTHS = {32: 128, 16: 96, 8: 64, 4: 32, 2: 24, 1: 16}
"""Stride of a level, in pixels of the picture -> channels of the decoder there."""


@dataclass
class DecoderArguments(RecoveryArguments):
    base: str = field(default=str(settings.EMBEDDED / "base"), metadata={"help": "folder of the reasoning model"})
    levels: list[int] = field(
        default_factory=lambda: list(STRIDES), metadata={"help": f"strides of the features that are decoded: {STRIDES}"}
    )
    blocks: int = field(default=1, metadata={"help": "blocks of each level"})


class Seen(nn.Module):
    """What a resting EfficientNet tower sees of pictures, level by level.

    Args:
        tower: its gates stand at 1, as `training.folding` wants it.
    """

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = fold(tower.eval()).requires_grad_(False)
        self._outputs: list[torch.Tensor] = []
        for block in self.tower.encoder.blocks:
            block.register_forward_hook(lambda module, given, output: self._outputs.append(output))

    def train(self, mode: bool = True):
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: torch.Tensor) -> dict[int, torch.Tensor]:
        """Pictures (n, 3, s, s) in [0, 1], s a multiple of 32 -> stride -> features (n, channels, s / stride, …)."""
        self._outputs.clear()
        last = self.tower((pictures * 255 - 127) / 128).last_hidden_state
        # Of every resolution what the tower saw last; of the coarsest, what the language model gets.
        found = {pictures.shape[-1] // output.shape[-1]: output for output in self._outputs}
        self._outputs.clear()
        return found | {STRIDES[0]: last}


class Decoder(nn.Module):
    """Features of a picture, level by level -> a picture.

    Args:
        channels: stride -> channels of the features; of the levels that are used.
    """

    def __init__(self, channels: dict[int, int], blocks: int = 1):
        super().__init__()
        if STRIDES[0] not in channels or not set(channels) <= set(STRIDES):
            raise ValueError(f"levels are some of {STRIDES}, the first among them, not {sorted(channels)}")
        self.lateral = nn.ModuleDict(
            {str(stride): nn.Conv2d(channels[stride], WIDTHS[stride], 1) for stride in channels}
        )
        self.levels, self.ups = nn.ModuleList(), nn.ModuleList()
        for stride, finer in zip(STRIDES, (*STRIDES[1:], 1), strict=True):
            self.levels.append(nn.Sequential(*(Block(WIDTHS[stride]) for _ in range(blocks))))
            self.ups.append(nn.Sequential(nn.Conv2d(WIDTHS[stride], 4 * WIDTHS[finer], 1), nn.PixelShuffle(2)))
        self.last = nn.Sequential(*(Block(WIDTHS[1]) for _ in range(blocks)))
        self.ending = nn.Conv2d(WIDTHS[1], 3, 3, padding=1)
        nn.init.constant_(self.ending.bias, 0.5)

    def forward(self, seen: dict[int, torch.Tensor]) -> torch.Tensor:
        """Returns: (n, 3, h, w), about in [0, 1]."""
        x = 0
        for stride, level, up in zip(STRIDES, self.levels, self.ups, strict=True):
            if str(stride) in self.lateral:
                x = x + self.lateral[str(stride)](seen[stride])
            x = up(level(x))
        return self.ending(self.last(x))


class Decoding(nn.Module):
    """A decoder with its tower and this stage's loss: the PSNR, of which it is nowhere near the ceiling."""

    def __init__(self, seen: Seen, decoder: Decoder):
        super().__init__()
        self.decoder = decoder
        self._seen = [seen]  # not saved with the decoder

    def forward(self, degraded: torch.Tensor, clean: torch.Tensor) -> dict:
        degraded, clean = (fitted(as_float(pictures), IMAGE_SIZE) for pictures in (degraded, clean))
        drawn = self.decoder(self._seen[0].to(degraded.device)(degraded)).float()
        return {
            "loss": -psnr(drawn, clean, CEILING_DB).mean() / 10,
            "figures": quality(drawn.detach(), degraded, clean),
        }


def load_tower(base: str) -> Seen:
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    return Seen(model.model.vision_tower)


def channels_of(seen: Seen, levels: list[int]) -> dict[int, int]:
    """Stride -> channels, of the levels that are asked for."""
    found = seen(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    return {stride: found[stride].shape[1] for stride in found if stride in levels}


def save_decoder(decoder: Decoder, arguments: DecoderArguments, folder: Path) -> None:
    state = {key: value.detach().float().cpu().contiguous() for key, value in decoder.state_dict().items()}
    save_file(state, folder / DECODER)
    told = {"base": arguments.base, "levels": arguments.levels, "blocks": arguments.blocks}
    (folder / SETTINGS).write_text(json.dumps(told, indent=2) + "\n")


class DecoderRecovery:
    """The decoder as a recovery (`demo.recovery.attempt.Recovery`); larger pictures are seen at 224 pixels."""

    def __init__(self, folder: Path):
        told = json.loads((folder / SETTINGS).read_text())
        self.seen = load_tower(told["base"])
        self.decoder = Decoder(channels_of(self.seen, told["levels"]), told["blocks"]).eval()
        self.decoder.load_state_dict(load_file(folder / DECODER))
        self.name, self.digest = f"decoder {folder.name}", hashlib.sha256((folder / DECODER).read_bytes()).hexdigest()

    @torch.inference_mode()
    def recover(self, image: Image.Image, progress: Callable[[float], None] = lambda done: None) -> Image.Image:
        scale = min(1.0, IMAGE_SIZE / max(image.size))
        small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
        picture = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None]
        drawn = self.decoder(self.seen(fitted(as_float(picture), IMAGE_SIZE)))[0].clamp(0, 1)
        top, left = (IMAGE_SIZE - small.height + 1) // 2, (IMAGE_SIZE - small.width + 1) // 2
        drawn = drawn[:, top : top + small.height, left : left + small.width]
        pixels = (drawn.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        progress(1.0)
        return Image.fromarray(pixels).resize(image.size, Image.Resampling.LANCZOS)


def main() -> None:
    parser = TrlParser((DecoderArguments, TrainingArguments))
    arguments, training = parser.parse_args_and_config()
    tables = sorted(arguments.corpus.glob("*.jsonl"))
    run = Run.of("Recovery decoder", (arguments, training), tables, arguments.base)
    with run.alone_in(Path(training.output_dir)):
        set_seed(training.seed)
        seen = load_tower(arguments.base)
        decoder = Decoder(channels_of(seen, arguments.levels), arguments.blocks)
        train(
            Decoding(seen, decoder),
            decoder,
            arguments.pairs(training),
            training,
            run,
            save=lambda folder: save_decoder(decoder, arguments, folder),
            use="`python -m training.recover_measure decoder={folder}` measures it beside the network.",
        )


if __name__ == "__main__":
    main()
    PartialState().destroy_process_group()
