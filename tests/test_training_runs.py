"""The stages of the training, each really run for a few steps on a few samples."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from degradations import Recipe
from demo.chain import format_chain
from tests import tiny
from training import evaluate, perceive, pretrain, sft
from training.data import FlippedSamples, PerceptionSamples, read_samples
from training.embedded import (
    INTENSITIES,
    build_model,
    build_processor,
    build_tokenizer,
    load_imagenet_tower,
    rest_statistics,
)
from training.perceive import Perception, collate, depthwise_in_float32
from training.resume import finished_checkpoint


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Eight samples on the examples' photos, as training.synthesize writes them."""
    folder = tmp_path_factory.mktemp("samples")
    image = Image.open("examples/cat.jpg").convert("RGB")
    image.thumbnail((224, 224))
    rows = []
    for number in range(8):
        for kind in ("clean", "degraded"):
            (folder / kind).mkdir(exist_ok=True)
            image.save(folder / kind / f"{number}.png")
        rows.append(
            {
                "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png", "seed": 0,
                "recipe": "lens blur(0.5), gaussian noise(0.3)" if number % 2 else "none", "kind": "object",
                "source": "test", "question": "What is the main object?", "options": ["dog", "cat", "car", "hat"],
                "answer": "cat", "answer_index": 1, "cue": "whiskers", "thing": "cat", "others": [], "place": "",
                "count": 1, "made_of": [],
            }
        )  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(main, monkeypatch, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    main()


QUICK = {
    "per_device_train_batch_size": 2, "use_cpu": True, "report_to": "none", "logging_steps": 1, "save_steps": 2,
    "disable_tqdm": True, "bf16": False, "learning_rate": 1e-3,
}  # fmt: skip


def test_the_tower_keeps_what_imagenet_taught_it():
    model = build_model(build_tokenizer([]))
    classifier = load_imagenet_tower(model.model.vision_tower)
    processor = build_processor(build_tokenizer([]))
    image = Image.open("examples/cat.jpg").convert("RGB")
    image.thumbnail((224, 224))
    pixel_values = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        features = model.eval().model.vision_tower(pixel_values).last_hidden_state.mean((2, 3))
    assert 281 <= classifier(features).argmax() <= 285  # ImageNet's five domestic cats


def test_perception_learns_and_leaves_the_rest_alone(samples):
    torch.manual_seed(0)
    perception = Perception(build_model(build_tokenizer([])), 3, frozen_blocks=3).train()
    rows = read_samples(samples)
    batch = collate(FlippedSamples(rows, {"cat": 0}, 224, clean_every=2).__getitems__([0, 1, 2, 3]))
    assert len(batch["degraded"]) == 4 and len(batch["clean"]) == 2
    optimizer = torch.optim.AdamW([p for p in perception.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(4):
        loss = perception(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not any(module.training for module in perception.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert all(p.grad is None for p in perception.tower.encoder.blocks[:3].parameters())
    assert all(p.grad is None for p in perception.teacher.parameters())


def test_the_embedded_stages_follow_each_other(samples, tmp_path, monkeypatch):
    eyes, base = tmp_path / "eyes", tmp_path / "base"
    run(perceive.main, monkeypatch, samples=samples, output_dir=eyes, max_steps=1, **QUICK)
    run(pretrain.main, monkeypatch, samples=samples, model=eyes, output_dir=base, max_steps=2, **QUICK)
    again = {"start": base, "frozen_blocks": 0, "output_dir": tmp_path / "again"}
    run(perceive.main, monkeypatch, samples=samples, validation=samples, max_steps=1, **again, **QUICK)
    better = load_all(tmp_path / "again")
    seen, spoken = (load_all(folder) for folder in (eyes, base))
    assert all(torch.equal(seen[key].half(), spoken[key].half()) for key in seen if "vision_tower" in key)
    assert any(not torch.equal(seen[key].half(), spoken[key].half()) for key in seen if "language_model" in key)
    assert all(torch.equal(better[key].half(), spoken[key]) for key in better if "language_model" in key)
    assert any(not torch.equal(better[key].half(), spoken[key]) for key in better if "vision_tower" in key)
    model, processor = AutoModelForImageTextToText.from_pretrained(base), AutoProcessor.from_pretrained(base)
    assert max(path.stat().st_size for path in base.glob("*.safetensors")) < 9e6
    content = [
        {"type": "image", "image": Image.open("examples/cat.jpg").resize((224, 200))},
        {"type": "text", "text": "?"},
    ]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt",
        add_generation_prompt=True,
    )  # fmt: skip
    assert model.float().generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]


def test_flips_come_anew_and_from_torchs_seed(samples):
    """Of a picture with one bright corner, every corner of the degraded one, two of the clean one."""
    rows = read_samples(samples, 1)
    corner = Image.new("RGB", (224, 224))
    corner.paste("white", (0, 0, 20, 20))
    for column in ("image", "clean"):
        corner.save(rows[0][column])
    dataset = FlippedSamples(rows, {"cat": 0}, 224)

    def draw() -> list[dict[str, int]]:
        torch.manual_seed(0)
        items = dataset.__getitems__([0] * 32)
        return [{name: item[name].sum(0).argmax().item() for name in ("degraded", "clean")} for item in items]

    drawn = draw()
    assert drawn == draw()
    assert len({item["degraded"] for item in drawn}) == 4
    assert len({item["clean"] for item in drawn}) == 2


def test_depthwise_convolutions_in_float32_change_no_gradient():
    torch.manual_seed(0)
    tower = build_model(build_tokenizer([])).model.vision_tower.eval()
    picture = torch.randn(1, 3, 64, 64)

    def gradients() -> list[torch.Tensor]:
        tower.zero_grad()
        tower(picture).last_hidden_state.square().mean().backward()
        return [p.grad.clone() for p in tower.parameters() if p.grad is not None]

    before, keys = gradients(), list(tower.state_dict())
    depthwise_in_float32(tower)
    assert list(tower.state_dict()) == keys
    for plain, wrapped in zip(before, gradients(), strict=True):
        torch.testing.assert_close(wrapped, plain)
    inside = []
    strided = next(m for m in tower.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1 and m.stride[0] > 1)
    strided.register_forward_hook(lambda module, given, result: inside.append((given[0].dtype, result.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        tower(picture)
    assert inside[0][0] == inside[0][1]  # whoever comes next gets what came in


@pytest.fixture
def conversations(samples):
    """Makes TextSamples of the first samples, changed by some columns, for some arguments."""

    def make(count=None, columns=None, template="{question}", **arguments) -> pretrain.TextSamples:
        rows = [row | (columns or {}) for row in read_samples(samples, count)]
        processor = build_processor(build_tokenizer([perceive.sample_text(row) for row in rows]))
        plain = {"open_share": 0.0, "degraded_share": 0.0, "hidden_share": 0.0} | arguments
        chosen = pretrain.PretrainArguments(samples, samples, **plain)
        return pretrain.TextSamples(rows, processor, template, chosen, seed=0)

    return make


def test_pretraining_asks_names_and_reads(conversations):
    items = conversations(template="{question}\nIn tags.")

    def halves(item: dict) -> tuple[str, str]:
        known = item["labels"].count(-100)
        decode = items.processor.tokenizer.decode
        return decode(item["input_ids"][:known]), decode(item["input_ids"][known:])

    assert len(items) == 2 * 4 * 8
    asked, answer = halves(items[0])
    assert answer == "cat<|end|>" and "0. " in asked and asked.count("<image>") == 49
    assert halves(items[1])[1] == "cat<|end|>" and halves(items[1])[0] != asked
    assert halves(items[6])[1] == "<TYPE>lens blur(0.5), gaussian noise(0.3)<TYPE_END><|end|>"
    asked, chain = halves(items[7])
    assert "<image>" not in asked and asked.endswith(
        "In tags.<|end|><|assistant|><TYPE>lens blur(0.5), gaussian noise(0.3)<TYPE_END>"
    )
    assert chain.startswith("\n<INFLUENCE>") and chain.endswith("<ANSWER>cat<ANSWER_END><|end|>")
    assert chain != halves(items[4 * 8 + 7])[1]  # other words in the second view
    assert [items[n]["picture"] for n in (0, 4, 5, 6, 7)] == [0, 2, 2, 3, None]


def test_some_questions_are_asked_on_degraded_and_on_partly_hidden_pictures(conversations):
    items = conversations(degraded_share=0.5, hidden_share=0.5)
    asked = [items[n] for n in range(len(items)) if n % 4 < 2]
    assert {item["picture"] % 2 for item in asked} == {0, 1}
    shown = [item["shown"].sum() for item in asked]
    assert 0.2 < sum(count == 49 for count in shown) / len(shown) < 0.8 and min(shown) < 25
    assert all(items[n]["shown"].all() for n in range(2, len(items), 4))
    seen = pretrain.Collator(torch.ones(16, 49, 1280).numpy(), 0)(asked)["parts"][0]["features"]
    assert (seen[..., 0].sum(1) == torch.tensor(shown)).all()


def test_a_composed_scene_is_also_asked_where_its_thing_is(conversations):
    scene = {"kind": "which", "thing": "cat", "place": "top left", "question": "Which of these is in the picture?"}
    items = conversations(1, scene)
    first, second = (items.processor.tokenizer.decode(items[n]["input_ids"]) for n in (0, 1))
    assert first.endswith("cat<|end|>") and all(option in first for option in ("dog", "cat", "car", "hat"))
    assert second.endswith("top left<|end|>") and "the cat" in second and "3. bottom right" in second


def test_every_item_counts_the_same_in_pretraining():
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    model = build_model(tokenizer, hidden=64, layers=1).eval()
    words = pretrain.WithFeatures(model, tokenizer.convert_tokens_to_ids(INTENSITIES), 0.05)
    image = [tokenizer.convert_tokens_to_ids("<image>")] * 49
    short = {"picture": 0, "shown": np.ones(49, bool), "input_ids": [*image, 10, 11], "labels": [-100] * 50 + [11]}
    long = {"picture": None, "input_ids": [10, 11, 12, 13], "labels": [-100, 11, 12, 13]}
    collator = pretrain.Collator(torch.randn(1, 49, 1280).numpy(), tokenizer.pad_token_id)
    alone = [words(**collator([item]))["loss"] for item in (short, long)]
    together = words(**collator([long, short]))["loss"]
    torch.testing.assert_close(together, sum(alone) / 2)
    logits = model(input_ids=torch.tensor([long["input_ids"]])).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([11, 12, 13]))
    torch.testing.assert_close(alone[1], expected)


def test_a_resting_tower_sees_the_same_in_training_as_in_the_demo():
    torch.manual_seed(0)
    model = build_model(build_tokenizer([]), hidden=64, layers=1)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = model.eval().model.vision_tower(pictures).last_hidden_state
        rest_statistics(model)
        model.train()
        assert model.model.vision_tower.training
        torch.testing.assert_close(model.model.vision_tower(pictures).last_hidden_state, expected)


def load_all(folder: Path) -> dict[str, torch.Tensor]:
    return {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}


def test_cached_features_are_made_once(samples, tmp_path):
    model, rows = build_model(build_tokenizer([])), read_samples(samples, 3)
    features = pretrain.cache_features(model, rows, tmp_path, seed=0, batch_size=2)
    with torch.inference_mode():
        expected = model.eval().model.vision_tower(PerceptionSamples(rows, {"cat": 0}, 224)[1]["degraded"][None])
    difference = torch.from_numpy(features[3].copy()).float() - expected.last_hidden_state[0].flatten(1).T
    assert difference.abs().mean() < 0.05  # bfloat16
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    pretrain.cache_features(model, rows, tmp_path, seed=0)
    assert path.stat().st_mtime_ns == written
    with torch.no_grad():
        next(model.model.vision_tower.parameters()).add_(0.1)
    assert not np.array_equal(pretrain.cache_features(model, rows, tmp_path, seed=0), features)


def test_neighbouring_intensities_are_nearly_right():
    tokenizer = build_tokenizer([])
    ids = tokenizer.convert_tokens_to_ids(INTENSITIES)
    soft = pretrain.WithFeatures(torch.nn.Identity(), ids, 0.05).soft_targets(torch.tensor([ids[9], 7]), len(tokenizer))
    assert torch.allclose(soft.sum(1), torch.ones(2))
    assert soft[0].argmax() == ids[9]
    assert soft[0, ids[8]] == soft[0, ids[10]] > soft[0, ids[7]] > 0
    assert soft[1, 7] == 1


def test_a_run_goes_on_from_its_last_whole_checkpoint(tmp_path):
    assert finished_checkpoint(tmp_path) is None
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"cut'), (14, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert finished_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.fixture(scope="module", params=["fast_vlm", "qwen"])
def base(request, tmp_path_factory):
    return getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param))


def test_sft_trains_the_language_model_only_and_resumes_exactly(base, samples, tmp_path, monkeypatch):
    options = {"samples": samples, "model_name_or_path": base, "use_peft": True, "lora_r": 4, "max_steps": 4, **QUICK}
    options |= {"lora_target_modules": "all-linear", "gradient_checkpointing": False}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(sft.main, monkeypatch, output_dir=whole, **options)
    weights = load_file(whole / "adapter_model.safetensors")
    assert weights
    assert not [key for key in weights if "vision" in key or "visual" in key or "projector" in key]
    shutil.copytree(whole / "checkpoint-2", killed / "checkpoint-2")
    run(sft.main, monkeypatch, output_dir=killed, **options)
    again = load_file(killed / "adapter_model.safetensors")
    assert all(torch.equal(weights[key], again[key]) for key in weights)
    assert any(value.abs().sum() > 0 for key, value in weights.items() if "lora_B" in key)


def test_figures_are_those_of_the_pair_that_was_asked(samples, tmp_path, monkeypatch, capsys):
    base = tiny.fast_vlm(tmp_path / "base")
    adapter = tiny.adapter(base, tmp_path / "adapter", init_lora_weights=False)
    pairs = {"adapted": {"model": base, "adapter": adapter}, "plain": {"model": base}}

    def answers(name: str, folder: str) -> dict:
        options = {"samples": samples, "limit": 3, "max-new-tokens": 4, "output": tmp_path / folder, **pairs[name]}
        run(evaluate.main, monkeypatch, **options)
        lines = (tmp_path / folder / "answers.jsonl").read_text().splitlines()
        return {(a["side"], a["state"], a["id"], a["key"]): a["text"] for a in map(json.loads, lines)}

    adapted = answers("adapted", "together")
    both = answers("plain", "together")
    assert len(adapted) == 2 * 2 * 3 and adapted.items() < both.items()
    alone = answers("plain", "alone")
    assert {key: both[key] for key in alone} == alone  # the baseline's among the first pair's, the rest asked anew
    path = tmp_path / "alone" / "answers.jsonl"
    path.write_text(path.read_text()[:-30])  # as a kill leaves it
    assert answers("plain", "alone") == alone
    results = [json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("together", "alone")]
    assert results[0] == results[1]
    assert "robust, clean pictures" in capsys.readouterr().err


def test_figures_are_those_computed_by_hand():
    rows = [
        {
            "id": 0,
            "recipe": "lens blur(0.5), graffiti(0.4)",
            "options": ["cat", "dog"],
            "answer_index": 1,
            "kind": "object",
        },
        {"id": 1, "recipe": "none", "options": ["cat", "dog"], "answer_index": 0, "kind": "garment"},
        {"id": 2, "recipe": "graffiti(0.2)", "options": [], "answer_index": None, "kind": "object"},
    ]

    def chain(recipe, answer):
        return format_chain(Recipe.parse(recipe), "a", "b", "c", answer)

    texts = {
        ("robust", "degraded"): [chain("lens blur(0.7)", "1"), chain("graffiti(0.1)", "1"), "<TYPE>graffiti(0.3)"],
        ("robust", "clean"): [chain("none", "1"), chain("none", "0"), chain("scan lines(0.1)", "0")],
        ("baseline", "degraded"): ["cat", "1. dog", "cat"],
        ("baseline", "clean"): ["dog", "no idea", "cat"],
    }
    answers = [
        {"id": i, "side": side, "state": state, "text": text}
        for (side, state), column in texts.items()
        for i, text in enumerate(column)
    ]
    figures = evaluate.figures(rows, answers)
    assert figures == {
        "samples": 3,
        "chains complete": 5 / 6,
        "types F1": pytest.approx(2 * 2 / (2 * 2 + 1 + 1)),
        "types precision": pytest.approx(2 / 3),
        "types recall": pytest.approx(2 / 3),
        "intensity error": pytest.approx(0.15),
        "inventions per clean picture": pytest.approx(1 / 3),
        "accuracy, degraded, baseline": 0.0,
        "accuracy, degraded, robust": 0.5,
        "accuracy, clean, baseline": 0.5,
        "accuracy, clean, robust": 1.0,
        "no option named, degraded, baseline": 0.0,
        "no option named, degraded, robust": 0.0,
        "no option named, clean, baseline": 0.5,
        "no option named, clean, robust": 0.0,
    }
    assert evaluate.by_type(rows, answers)["graffiti"]["intensity error"] == pytest.approx(0.1)
    assert "| samples | 3 |" in evaluate.table({"all": figures})
