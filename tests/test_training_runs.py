"""The stages of the training, each really run for a few steps on a few samples."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from degradations import Recipe
from demo.chain import format_chain
from tests import tiny
from tests.training_runs import QUICK, run
from training import evaluate, sft
from training.resume import finished_checkpoint


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
