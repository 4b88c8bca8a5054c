"""Another vision tower in a LLaVA checkpoint, as TeCoA and Robust CLIP are used.

Towers come as transformers has them (``CLIPVisionModel``, or a whole ``CLIPModel``), or as OpenCLIP's files on the Hub
(``open_clip_config.json`` and its weights), whose names are translated.
"""

import json
import re
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from demo.checkpoints import Checkpoint, CheckpointError, find, first_line

OPEN_CLIP, WEIGHTS = "open_clip_config.json", ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

HEAD_WIDTH = 64
"""Of OpenCLIP's vision transformers where their configuration does not say otherwise."""

NAMES = (
    (r"^visual\.class_embedding$", "embeddings.class_embedding"),
    (r"^visual\.positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^visual\.conv1\.weight$", "embeddings.patch_embedding.weight"),
    (r"^visual\.ln_pre\.", "pre_layrnorm."),
    (r"^visual\.ln_post\.", "post_layernorm."),
    (r"^visual\.transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"encoder.layers.\1.self_attn.out_proj."),
    (r"^visual\.transformer\.resblocks\.(\d+)\.ln_(\d)\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^visual\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"encoder.layers.\1.mlp.fc1."),
    (r"^visual\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"encoder.layers.\1.mlp.fc2."),
)
"""OpenCLIP's names -> transformers'; attention's three projections, which it keeps as one, follow below."""

PROJECTIONS = re.compile(r"^visual\.transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$")


def swap_tower(checkpoint: Checkpoint, name: str) -> None:
    """Put another tower in the place of a LLaVA checkpoint's own; its pictures get the tower's size.

    Args:
        name: Hub name or folder.

    Raises:
        demo.checkpoints.CheckpointError: the tower cannot be had, or does not fit.
    """
    model = checkpoint.base.model
    old = getattr(model, "vision_tower", None)
    if old is None or "clip" not in old.config.model_type:
        raise CheckpointError(f"{checkpoint.name} has no CLIP vision tower whose place {name} could take.")
    tower = load_tower(name, old.config)
    wanted, found = old.config.hidden_size, tower.config.hidden_size
    if wanted != found:
        raise CheckpointError(f"{name} has features of width {found}, and {checkpoint.name} takes {wanted}.")
    model.vision_tower = tower.to(checkpoint.base.device, checkpoint.base.dtype).eval()
    checkpoint.base.config.vision_config = tower.config
    processor, side = checkpoint.processor, tower.config.image_size
    processor.image_processor.size = {"shortest_edge": side}
    processor.image_processor.crop_size = {"height": side, "width": side}
    processor.patch_size = tower.config.patch_size
    checkpoint.name += f" with the tower {name}"


def load_tower(name: str, like: CLIPVisionConfig) -> CLIPVisionModel:
    """A CLIP vision tower by its Hub name or from its folder.

    Args:
        like: says what OpenCLIP's files do not: activation and epsilon.
    """
    try:
        local = find(name)
    except CheckpointError:
        local = find(name, OPEN_CLIP)
    try:
        folder = Path(name) if Path(name).is_dir() else Path(snapshot_download(name, local_files_only=local))
        if (folder / OPEN_CLIP).exists():
            return _from_open_clip(folder, like)
        return CLIPVisionModel.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # files of strangers fail in every way there is
        raise CheckpointError(f"the tower {name}: {first_line(error)}") from error


def _from_open_clip(folder: Path, like: CLIPVisionConfig) -> CLIPVisionModel:
    told = json.loads((folder / OPEN_CLIP).read_text())["model_cfg"]
    vision, quick = told["vision_cfg"], told.get("quick_gelu", False)
    width = vision["width"]
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=int(width * vision.get("mlp_ratio", 4.0)),
        num_hidden_layers=vision["layers"],
        num_attention_heads=width // vision.get("head_width", HEAD_WIDTH),
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        hidden_act="quick_gelu" if quick else like.hidden_act,
        layer_norm_eps=like.layer_norm_eps,
    )
    file = next(path for path in (folder / weights for weights in WEIGHTS) if path.exists())
    state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    model = CLIPVisionModel(config)
    model.load_state_dict(translated(state))
    return model


def translated(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenCLIP's weights of the vision transformer under transformers' names; the text's are left out."""
    result = {}
    for name, weight in state.items():
        if found := PROJECTIONS.match(name):
            layer, kind = found.groups()
            for projection, part in zip("qkv", weight.chunk(3), strict=True):
                result[f"encoder.layers.{layer}.self_attn.{projection}_proj.{kind}"] = part.clone()
            continue
        for pattern, ours in NAMES:
            if re.match(pattern, name):
                result[re.sub(pattern, ours, name)] = weight
    return result
