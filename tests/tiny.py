"""Random checkpoints of the real shapes, small enough to be made and run within a test.

Their texts are noise, but their files, classes, processors and adapters are those of the checkpoints they stand for.
"""

import json
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    EfficientNetConfig,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2VLImageProcessorPil,
)

from demo.chain import TAGS
from training.chains import write_chain
from training.questions import fit_inside

SENTENCES = [
    "What is the main object in the picture? Answer with the option's index.",
    "lens blur(0.31), gaussian noise(0.50), darkness(0.72), none. The object is a shirt, a hat, a truck or a bird.",
    "Fine texture is lost, edges are soft, the outline and the colours are still readable: Grüße, naïve café, 你好.",
]
SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"),
    *("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"),
]
SMALL_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(vocabulary: int = 400, **extra: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the chain's tags as ordinary added tokens; extra ones are special."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[*SPECIAL, *extra.values()],
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    backend.add_tokens([AddedToken(f"<{name}{end}>", special=False) for name in TAGS for end in ("", "_END")])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        extra_special_tokens=extra,
    )


def fast_vlm(folder: Path, seed: int = 0, hidden: int = 64, layers: int = 2, vocabulary: int = 400, tower: float = 0.1):
    """Write a FastVLM with an EfficientNet tower and a Qwen2 language model, as the embedded base is one.

    Args:
        folder: where the model and its processor go; created.
        tower: the tower's width and depth as parts of EfficientNet-Lite0's.

    Returns:
        The folder.
    """
    torch.manual_seed(seed)
    words = tokenizer(vocabulary)
    features = 1280 if tower == 1 else 128
    config = FastVlmConfig(
        vision_config=EfficientNetConfig(
            image_size=224,
            width_coefficient=tower,
            depth_coefficient=tower,
            hidden_dim=features,
            hidden_size=features,
            hidden_act="relu6",
            batch_norm_eps=1e-3,
            dropout_rate=0.0,
            drop_connect_rate=0.0,
        ),
        text_config=Qwen2Config(**_language(words, hidden, layers)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
    )
    LlavaProcessor(
        CLIPImageProcessorPil(do_resize=False, image_mean=[127 / 255] * 3, image_std=[128 / 255] * 3),
        words,
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=CHAT.replace("IMAGE", "<image>\n"),
    ).save_pretrained(folder)
    return _save(FastVlmForConditionalGeneration(config), words, folder)


def qwen(folder: Path, seed: int = 0, text: dict | None = None, vision: dict | None = None) -> Path:
    """Write a Qwen2.5-VL; its processor's files are written one by one, as making it needs torchvision.

    Args:
        text, vision: parts of the two configurations that are to be otherwise.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        text_config={"rope_parameters": rope, **_language(words), **(text or {})},
        vision_config={
            "depth": 2,
            "fullatt_block_indexes": [1],
            "window_size": 112,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            **(vision or {}),
        },
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    _save(Qwen2_5_VLForConditionalGeneration(config), words, folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    _save_chat(folder, "<|vision_start|><|image_pad|><|vision_end|>")
    return folder


def gemma3(folder: Path, seed: int = 0) -> Path:
    """Write a Gemma 3."""
    torch.manual_seed(seed)
    words = tokenizer(image_token="<soft>", boi_token="<begin>", eoi_token="<end>")
    words.bos_token = "<|endoftext|>"
    config = Gemma3Config(
        text_config={"head_dim": 16, "sliding_window": 64, **_language(words)},
        vision_config={**SMALL_VISION, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=words.image_token_id,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
    )
    chat = "{{ bos_token }}" + CHAT.replace("IMAGE", "<begin>")
    pictures = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    Gemma3Processor(pictures, words, chat_template=chat, image_seq_length=4).save_pretrained(folder)
    return _save(Gemma3ForConditionalGeneration(config), words, folder)


def internvl(folder: Path, seed: int = 0) -> Path:
    """Write an InternVL; as for Qwen2.5-VL without its processor."""
    torch.manual_seed(seed)
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<context>"}
    words = tokenizer(**names, video_token="<video>")
    config = InternVLConfig(
        text_config=Qwen2Config(**_language(words)),
        vision_config={**SMALL_VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=words.context_image_token_id,
        downsample_ratio=0.5,
    )
    _save(InternVLForConditionalGeneration(config), words, folder)
    GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, crop_to_patches=True).save_pretrained(folder)
    _save_chat(folder, "<context>\n")
    (folder / "processor_config.json").write_text('{"processor_class": "InternVLProcessor", "image_seq_length": 4}')
    return folder


def adapter(base: Path, folder: Path, seed: int = 1, **config) -> Path:
    """Write a LoRA adapter on the base's language model whose random weights change what it says."""
    torch.manual_seed(seed)
    options = {
        "r": 4,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj", "gate_proj", "down_proj"],
        "exclude_modules": ".*(vision|visual|projector).*",
        **config,
    }
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(base), LoraConfig(**options))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


def samples(folder: Path, count: int = 8, size: int = 64, photo: Path | None = None) -> Path:
    """Write a dataset folder as training.synthesize and training.write do, with chains by the truth.

    Every second sample is clean, every third has no options. The pictures are noise, all different, or all the same
    photo fitted inside of the size.
    """
    rows, chains = [], []
    for number in range(count):
        rng = np.random.default_rng(number)
        for kind in ("clean", "degraded"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
            if photo:
                picture = fit_inside(Image.open(photo).convert("RGB"), size)
            picture.save(folder / kind / f"{number}.png")
        options = ["dog", "cat", "car", "hat"] if number % 3 else []
        row = {
            "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png", "seed": number,
            "recipe": "lens blur(0.5), gaussian noise(0.3)" if number % 2 else "none", "kind": "object",
            "source": "test", "question": "What is the main object?", "options": options, "answer": "cat",
            "answer_index": 1 if options else None, "cue": "whiskers", "thing": "cat", "others": [], "place": "",
            "count": 1, "made_of": [],
        }  # fmt: skip
        rows.append(row)
        chains.append({"id": number, "chain": write_chain(row, step=0.05, index=False), "writer": "truth"})
    for name, table in (("samples", rows), ("chains", chains)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return folder


def _language(words: PreTrainedTokenizerFast, hidden: int = 64, layers: int = 2) -> dict:
    return {
        "vocab_size": len(words),
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "hidden_size": hidden,
        "intermediate_size": hidden * 4,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.1,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }


def _save(model, words: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _save_chat(folder: Path, image: str) -> None:
    (folder / "chat_template.jinja").write_text(CHAT.replace("IMAGE", image))
