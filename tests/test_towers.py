"""Vision towers swapped into a LLaVA: OpenCLIP's files translated, features those of the formulas."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2Config,
)

from demo.checkpoints import CheckpointError, load
from demo.fingerprint import weights_hash
from demo.settings import Spec
from tests import tiny
from tests.pictures import picture
from training.evaluation import local
from training.evaluation.rows import Picture
from training.evaluation.towers import OPEN_CLIP, load_tower, swap_tower

WIDTH, LAYERS, SIDE, PATCH = 32, 3, 28, 14


def tower_config(side: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2,
        image_size=side, patch_size=PATCH,
    )  # fmt: skip


class OpenClip(nn.Module):
    """OpenCLIP's vision transformer by its formulas, with its names of weights."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(self._block() for _ in range(LAYERS))
        self.proj = nn.Parameter(torch.randn(WIDTH, 8))  # of the whole CLIP, not of its tower

    @staticmethod
    def _block() -> nn.Module:
        block = nn.Module()
        block.ln_1, block.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        block.attn = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        block.mlp = nn.Module()
        block.mlp.c_fc, block.mlp.c_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.2)
        return block

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of every position after the last block: (batch, positions, width)."""
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            normed = block.ln_1(x)
            x = x + block.attn(normed, normed, normed, need_weights=False)[0]
            hidden = block.mlp.c_fc(block.ln_2(x))
            x = x + block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))
        return x


@pytest.fixture(scope="module")
def open_clip(tmp_path_factory) -> tuple[Path, OpenClip]:
    torch.manual_seed(0)
    model, folder = OpenClip().eval(), tmp_path_factory.mktemp("open_clip")
    state = {f"visual.{name}": weight.detach().clone() for name, weight in model.state_dict().items()}
    save_file(state | {"token_embedding.weight": torch.zeros(2, 2)}, folder / "open_clip_model.safetensors")
    vision = {"image_size": SIDE, "layers": LAYERS, "width": WIDTH, "patch_size": PATCH, "head_width": WIDTH // 2}
    (folder / OPEN_CLIP).write_text(json.dumps({"model_cfg": {"quick_gelu": True, "vision_cfg": vision}}))
    return folder, model


@pytest.fixture
def llava(tmp_path) -> Path:
    """A LLaVA with a CLIP of 56 pixels."""
    torch.manual_seed(1)
    words = tiny.tokenizer()
    config = LlavaConfig(
        vision_config=tower_config(56), text_config=Qwen2Config(**tiny._language(words)),
        image_token_id=words.convert_tokens_to_ids("<image>"), vision_feature_layer=-2,
    )  # fmt: skip
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}), words,
        patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=tiny.CHAT.replace("IMAGE", "<image>\n"),
    ).save_pretrained(tmp_path / "llava")  # fmt: skip
    return tiny._save(LlavaForConditionalGeneration(config), words, tmp_path / "llava")


def test_a_tower_of_openclip_sees_what_openclip_sees(open_clip):
    folder, model = open_clip
    tower = load_tower(str(folder), tower_config(SIDE)).eval()
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.allclose(tower(pixels).last_hidden_state, model(pixels), atol=1e-4)


def test_a_swapped_tower_looks_at_pictures_of_its_own_size(llava, open_clip, tmp_path):
    Image.fromarray(picture(60, 80)).save(tmp_path / "photo.png")
    asked = [[Picture(str(tmp_path / "photo.png"))]], ["What?"], 4
    checkpoint = load(str(llava), Spec("x", "", ""))
    before, known = local.generate(checkpoint, *asked), weights_hash(checkpoint.model, None)
    tokens = checkpoint.inputs(asked[0][0][0].read(), ["What?"])["input_ids"].shape[1]
    swap_tower(checkpoint, str(open_clip[0]))
    inputs = checkpoint.inputs(asked[0][0][0].read(), ["What?"])
    assert inputs["pixel_values"].shape[-2:] == (SIDE, SIDE)
    assert tokens - inputs["input_ids"].shape[1] == (56 // PATCH) ** 2 - (SIDE // PATCH) ** 2
    assert len(local.generate(checkpoint, *asked)) == len(before) == 1
    assert weights_hash(checkpoint.model, None) != known and str(open_clip[0]) in checkpoint.name


def test_towers_in_transformers_own_format_are_taken_as_they_are(llava, tmp_path):
    torch.manual_seed(5)
    tower = CLIPVisionModel(tower_config(SIDE)).eval()
    tower.save_pretrained(tmp_path / "tower")
    checkpoint = load(str(llava), Spec("x", "", ""))
    swap_tower(checkpoint, str(tmp_path / "tower"))
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        found = checkpoint.base.model.vision_tower(pixels).last_hidden_state
        assert torch.allclose(found, tower(pixels).last_hidden_state, atol=1e-5)


def test_what_does_not_fit_is_told(llava, tmp_path):
    checkpoint = load(str(llava), Spec("x", "", ""))
    wide = tower_config(SIDE)
    wide.hidden_size = 64
    CLIPVisionModel(wide).save_pretrained(tmp_path / "wide")
    with pytest.raises(CheckpointError, match=r"has features of width 64, and .* takes 32"):
        swap_tower(checkpoint, str(tmp_path / "wide"))
    with pytest.raises(CheckpointError, match=r"no config.json|no open_clip_config.json"):
        swap_tower(checkpoint, str(tmp_path))
    other = load(str(tiny.fast_vlm(tmp_path / "fast")), Spec("x", "", ""))
    with pytest.raises(CheckpointError, match="has no CLIP vision tower"):
        swap_tower(other, str(tmp_path / "wide"))
