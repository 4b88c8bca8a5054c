"""Choosing, finding and loading a pair; the working resolution."""

import argparse
import json
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from PIL import Image
from transformers import CLIPImageProcessorPil, Gemma3ImageProcessorPil, Qwen2VLImageProcessorPil

from demo import checkpoints, models, resolution, settings
from demo.chain import DEFAULT_PROMPT, DIRECT_PROMPT
from demo.checkpoints import CheckpointError, find
from demo.models import add_arguments, load_pair, spec_from
from demo.settings import PRESETS, Spec
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, make in (("fast_vlm", tiny.fast_vlm), ("qwen", tiny.qwen)):
        make(folder / name)
        tiny.adapter(folder / name, folder / f"{name}-adapter")
    (folder / "prompt.txt").write_text("Look first. {question}\n")
    return folder


@pytest.fixture(scope="module")
def qwen(folder):
    return load_pair(Spec("custom", str(folder / "qwen"), str(folder / "qwen")), fallback=False)


@pytest.fixture
def embedded(folder, monkeypatch):
    """A tiny pair in the place of the shipped one."""
    base = str(folder / "fast_vlm")
    spec = replace(PRESETS["embedded"], baseline=base, robust=base, adapter=str(folder / "fast_vlm-adapter"),
                   prompt_file=str(folder / "prompt.txt"))  # fmt: skip
    monkeypatch.setitem(PRESETS, "embedded", spec)
    return spec


@pytest.fixture
def hub(monkeypatch):
    """A Hub whose answer the test decides: an exception, or a number of seconds to take."""
    hub = SimpleNamespace(answer=0.0, asked=[])

    def model_info(_, name, timeout):
        hub.asked.append(name)
        if isinstance(hub.answer, Exception):
            raise hub.answer
        time.sleep(hub.answer)

    monkeypatch.setattr(checkpoints.HfApi, "model_info", model_info)
    monkeypatch.setattr(checkpoints, "is_offline_mode", lambda: False)
    monkeypatch.setattr(settings, "HUB_TIMEOUT_S", 0.2)
    return hub


def chosen(*command_line, **environ):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return spec_from(parser.parse_args(command_line), environ)


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


# Choosing


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(checkpoints, "has_gpu", lambda: False)


def test_presets_by_name():
    for name, spec in PRESETS.items():
        assert chosen("--preset", name) == spec
        assert chosen(DEMO_PRESET=name) == spec
    assert chosen("--preset", "robust-r1", DEMO_PRESET="embedded") == PRESETS["robust-r1"]


@pytest.mark.parametrize(
    ("command_line", "baseline", "robust", "adapter"),
    [
        ("--model a/m", "a/m", "a/m", None),
        ("--model a/m --adapter a/l", "a/m", "a/m", "a/l"),
        ("--model a/m --baseline a/b", "a/b", "a/m", None),
        ("--model a/m --baseline a/b --adapter a/l", "a/b", "a/m", "a/l"),
        ("--baseline a/b --adapter a/l", "a/b", "a/b", "a/l"),
        ("--preset robust-r1 --baseline a/b", "a/b", "Jiaqi-hkust/Robust-R1-RL", None),
        ("--preset robust-r1 --model a/m", "Qwen/Qwen2.5-VL-3B-Instruct", "a/m", None),
        ("--preset embedded --model a/m", PRESETS["embedded"].baseline, "a/m", None),
        ("--adapter a/l", PRESETS["embedded"].baseline, PRESETS["embedded"].robust, "a/l"),
    ],
)
def test_choices(command_line, baseline, robust, adapter, folder, no_gpu, embedded_prompt):
    spec = chosen(*command_line.split())
    assert (spec.baseline, spec.robust, spec.adapter) == (baseline, robust, adapter)
    assert spec.name == "custom"


@pytest.fixture
def embedded_prompt(folder, monkeypatch):
    monkeypatch.setitem(PRESETS, "embedded", replace(PRESETS["embedded"], prompt_file=str(folder / "prompt.txt")))


def test_environment_fills_what_the_command_line_leaves_open():
    spec = chosen("--model", "a/m", DEMO_MODEL="a/other", DEMO_ADAPTER="a/l", DEMO_BASELINE="a/b")
    assert (spec.baseline, spec.robust, spec.adapter) == ("a/b", "a/m", "a/l")


def test_default_without_gpu(no_gpu, hub):
    assert chosen() == PRESETS["embedded"]
    assert hub.asked == []


def test_default_with_gpu_asks_the_hub(monkeypatch, hub):
    monkeypatch.setattr(checkpoints, "has_gpu", lambda: True)
    assert chosen() == PRESETS["robust-r1"]
    hub.answer = 5.0
    assert chosen() == PRESETS["embedded"]


def test_unknown_preset():
    with pytest.raises(ValueError, match="no preset 'best'; there are embedded, robust-r1"):
        chosen(DEMO_PRESET="best")


def test_prompt_file(folder, tmp_path):
    spec = chosen("--model", "a/m", "--prompt-file", str(folder / "prompt.txt"))
    assert models.read_prompt(spec) == "Look first. {question}"
    assert models.read_prompt(replace(spec, prompt_file=None)) == DEFAULT_PROMPT
    (tmp_path / "empty.txt").write_text("Describe it.")
    for file in ("empty.txt", "missing.txt"):
        with pytest.raises(ValueError, match=f"{file} cannot be used"):
            chosen("--model", "a/m", "--prompt-file", str(tmp_path / file))


# Finding


def test_find(folder, hub):
    assert find(str(folder / "fast_vlm"))
    assert find(str(folder / "fast_vlm-adapter"), "adapter_config.json")
    assert hub.asked == []
    assert not find("some/checkpoint")
    assert hub.asked == ["some/checkpoint"]


def refusal(kind, status):
    return kind("refused", response=httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co")))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (5.0, r"did not answer within 0.2 s"),
        (refusal(RepositoryNotFoundError, 404), "no such checkpoint"),
        (refusal(GatedRepoError, 403), "accept its licence"),
        (httpx.ConnectError("no route"), r"cannot be reached \(ConnectError\)"),
    ],
)
def test_an_unreachable_name_is_told_at_once(answer, message, hub):
    hub.answer, begin = answer, time.monotonic()
    with pytest.raises(CheckpointError, match=f"^nobody/nothing: .*{message}"):
        find("nobody/nothing")
    assert time.monotonic() - begin < 3


def test_offline(monkeypatch, hub):
    monkeypatch.setattr(checkpoints, "is_offline_mode", lambda: True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        find("nobody/nothing")
    monkeypatch.setattr(checkpoints, "try_to_load_from_cache", lambda name, file: f"/cache/{file}")
    assert find("nobody/nothing")
    assert hub.asked == []


@pytest.mark.parametrize("name", ["./no/such", "/no/such", "a/b/c", "no such name"])
def test_names_that_are_none(name, hub):
    hub.answer = httpx.ConnectError("no route")
    with pytest.raises(CheckpointError, match=name):
        find(name)


# Loading


def test_embedded_pair(embedded):
    pair = load_pair("embedded")
    assert pair.spec == embedded
    assert pair.baseline.checkpoint is pair.robust.checkpoint
    assert (pair.baseline.adapter, pair.robust.adapter) == (None, checkpoints.ADAPTER)
    assert (pair.baseline.prompt, pair.robust.prompt) == (DIRECT_PROMPT, "Look first. {question}")
    assert pair.robust.prompt_for("{What}?") == "Look first. {What}?"
    assert pair.max_new_tokens == PRESETS["embedded"].max_new_tokens
    assert str(pair.notice).startswith("Embedded pair")
    assert not pair.robust.checkpoint.model.training


def test_fallback_says_so(embedded, hub):
    hub.answer = 5.0
    pair = load_pair("robust-r1")
    assert pair.spec == embedded
    assert "Jiaqi-hkust/Robust-R1-RL: the Hub did not answer" in str(pair.notice)
    assert "The embedded pair answers instead." in str(pair.notice)
    with pytest.raises(CheckpointError, match="Robust-R1-RL"):
        load_pair("robust-r1", fallback=False)


def test_without_the_embedded_pair_there_is_no_fallback(monkeypatch, folder, tmp_path):
    monkeypatch.setitem(
        PRESETS, "embedded", replace(PRESETS["embedded"], robust=str(tmp_path), prompt_file=str(folder / "prompt.txt"))
    )
    with pytest.raises(CheckpointError, match=r"no config\.json in this folder"):
        load_pair("embedded")


def test_broken_files(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "fast_vlm"}))
    with pytest.raises(CheckpointError, match=tmp_path.name):
        load_pair(Spec("custom", str(tmp_path), str(tmp_path)), fallback=False)
    with pytest.raises(CheckpointError, match=r"no adapter_config\.json"):
        load_pair(Spec("custom", str(folder / "qwen"), str(folder / "qwen"), adapter=str(tmp_path)), fallback=False)


@pytest.mark.parametrize(
    "config",
    [{"exclude_modules": None, "target_modules": ["q_proj", "linear_1"]}, {"use_dora": True}],
    ids=["projector", "dora"],
)
def test_adapters_that_cannot_share_a_batch_are_merged_into_a_checkpoint_of_their_own(config, folder, tmp_path):
    base = str(folder / "fast_vlm")
    adapter = tiny.adapter(folder / "fast_vlm", tmp_path / "adapter", **config)
    pair = load_pair(Spec("custom", base, base, adapter=str(adapter)), fallback=False)
    assert pair.baseline.checkpoint is not pair.robust.checkpoint
    assert pair.robust.adapter is None
    weights = [dict(side.checkpoint.base.named_parameters()) for side in pair.sides]
    changed = {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])}
    assert changed
    assert all("q_proj" in name or "linear_1" in name or "use_dora" in config for name in changed)


def test_device_and_dtype(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert checkpoints.place() == ("cpu", torch.float32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert checkpoints.place() == ("cuda", torch.bfloat16)
    assert checkpoints.place("float32") == ("cuda", torch.float32)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert checkpoints.place() == ("cuda", torch.float16)


# Working resolution


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((224, 224), (224, 224)),
        ((224, 149), (224, 149)),
        ((100, 224), (100, 224)),
        ((640, 480), (224, 168)),
        ((30, 40), (168, 224)),
        ((1, 1), (224, 224)),
        ((5000, 3), (224, 1)),
    ],
)
def test_fit_inside_a_fixed_size(size, fitted):
    processor = CLIPImageProcessorPil(do_resize=False)
    photo = picture(*size)
    result = resolution.fit(photo, processor)
    assert result.size == fitted
    assert (result is photo) == (size == fitted)


@pytest.mark.parametrize("size", [(224, 224), (224, 149), (97, 224)])
def test_a_photo_of_the_working_size_reaches_the_model_unchanged(size, embedded):
    pair = load_pair("embedded")
    photo = picture(*size)
    assert pair.fit(photo) is photo
    pixels = pair.robust.checkpoint.inputs(photo, ["What?"])["pixel_values"][0].cpu()
    seen = (pixels.permute(1, 2, 0) * 128 + 127).round().to(torch.uint8).numpy()
    left, top = (224 - size[0]) // 2, (224 - size[1]) // 2
    # Padding an odd number of pixels may put the photo one pixel further.
    found = [seen[y : y + size[1], x : x + size[0]] for y in (top, top + 1) for x in (left, left + 1)]
    assert any(np.array_equal(crop, np.asarray(photo)) for crop in found if crop.shape == np.asarray(photo).shape)


@pytest.mark.parametrize(
    "processor",
    [CLIPImageProcessorPil(), Gemma3ImageProcessorPil(size={"height": 224, "width": 224})],
    ids=["crops", "stretches"],
)
def test_a_processor_that_would_resize_gets_its_own_size(processor):
    fitted = resolution.fit(picture(300, 150), processor)
    assert fitted.size == (224, 224)
    assert np.asarray(fitted)[0].max() == 0
    pixels = processor(fitted, do_normalize=False, do_rescale=False, return_tensors="np")["pixel_values"][0]
    assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(fitted))


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000), (28, 28), (1, 1), (33, 3000), (1036, 784)])
def test_fit_within_a_pixel_budget(size):
    spec = PRESETS["robust-r1"]
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": spec.min_pixels, "longest_edge": spec.max_pixels})
    fitted = resolution.fit(picture(*size), processor)
    assert all(side % 28 == 0 for side in fitted.size)
    assert spec.min_pixels <= fitted.width * fitted.height <= spec.max_pixels
    assert resolution.fit(fitted, processor) is fitted
    grid = processor(fitted, return_tensors="np")["image_grid_thw"][0]
    assert list(grid) == [1, fitted.height // 14, fitted.width // 14]


def test_a_photo_like_a_thread_is_refused():
    with pytest.raises(ValueError, match="at most 200 times the other"):
        resolution.fit(picture(5000, 3), Qwen2VLImageProcessorPil())


def test_qwen_tools_give_the_same_inputs(qwen, monkeypatch):
    checkpoint, photo = qwen.robust.checkpoint, qwen.fit(picture(300, 200))
    own = checkpoint.inputs(photo, ["What?", "What is it?"])
    seen = []

    def process_vision_info(messages):
        part = messages[0]["content"][0]
        seen.append((part["min_pixels"], part["max_pixels"]))
        height, width = resolution.smart_resize(
            part["image"].height, part["image"].width, 28, part["min_pixels"], part["max_pixels"]
        )
        return [part["image"].resize((width, height))], None

    monkeypatch.setitem(sys.modules, "qwen_vl_utils", SimpleNamespace(process_vision_info=process_vision_info))
    theirs = checkpoint.inputs(photo, ["What?", "What is it?"])
    assert seen == [(qwen.spec.min_pixels, qwen.spec.max_pixels)]
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in own)


def test_inputs_are_padded_on_the_left(qwen):
    photo = qwen.fit(picture(300, 200))
    inputs = qwen.robust.checkpoint.inputs(photo, ["a", "a much longer question"])
    assert inputs["attention_mask"][0, 0] == 0
    assert inputs["attention_mask"][:, -1].tolist() == [1, 1]
    assert inputs["attention_mask"][1].all()
