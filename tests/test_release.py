"""The release: what is copied, what the card says, and that commands stand in one place."""

import json
import re
import shlex

import numpy as np
import pytest
from safetensors.numpy import save_file

from degradations import Recipe
from demo.chain import format_chain
from demo.models import load_pair
from demo.settings import Spec
from tests import tiny
from training import ceiling, release
from training.evaluation import command_line, measuring
from training.evaluation.said import Reply
from training.evaluation.sides import Side

COMMANDS = """# Training

## The embedded pair, on two CPU cores

They take hours.

    python -m training.synthesize CORPUS data/train --count 12345
    python -m training.sft --config x.yaml \\
        --target chain

    python -m training.report data/train

## Measuring

    python -m training.evaluate

## Other
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Folders of a base and an adapter, and results of three sides and of a head."""
    base, adapter = tmp_path / "base", tmp_path / "grpo"
    for folder, config in (
        (base, {"text_config": {"num_hidden_layers": 4, "hidden_size": 256}}),
        (adapter, {"r": 64, "base_model_name_or_path": str(base)}),
    ):
        (folder / "checkpoint-9").mkdir(parents=True)
        (folder / ("config.json" if folder == base else "adapter_config.json")).write_text(json.dumps(config))
        for name in ("README.md", "training_args.bin", "features-12.f16", "run.json", "trainer_state.json"):
            (folder / name).write_text("not to be copied")
    save_file({"a": np.zeros(1_500_000, np.float16)}, base / "model.safetensors")
    save_file({"b": np.zeros(1_000_000, np.float32)}, adapter / "adapter_model.safetensors")
    (adapter / "tokenizer.json").write_text("{}")
    (base / "tokenizer.json").write_text("{}")
    rows = [
        {"id": n, "image": "", "clean": "c", "recipe": "graffiti(0.5)", "options": ["cat", "dog"], "answer": "cat"}
        | {"kind": "object", "source": "s", "made_of": [], "answer_index": 0}
        for n in range(4)
    ]
    sides = [
        Side("baseline", str(base), None, False),
        Side("control", str(base), "runs/control", False),
        Side("robust", str(base), str(adapter), True),
    ]
    chain = Reply(format_chain(Recipe({"graffiti": 0.4}), "a", "b", "c", "cat"), 40)
    said = {"baseline": ["dog"] * 4, "control": ["cat", "dog", "cat", "cat"]}
    replies = {
        (side.name, "validation"): {
            state: [chain] * 4 if side.chain else [Reply(text, 1) for text in said[side.name]]
            for state in ("clean", "degraded")
        }
        for side in sides
    }
    results = {
        "main": "robust", "sides": list(map(str, sides)), "resamples": 2000, "data": {}, "speed": {"robust": 150.0},
        "sets": measuring.measure(sides, {"validation": rows}, replies),
        "hashes": {"sides": {"robust": {"source": "s", "weights": "those measured"}}},
    }  # fmt: skip
    monkeypatch.setattr(release, "weights_of", lambda base, adapter: "those measured")
    head = {
        "measured on": "data/validation", "things": {}, "learned from": {"count": 21500},
        "figures": ceiling.measure(rows, [Recipe({"graffiti": 0.25})] * 4),
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "ceiling.json").write_text(json.dumps(head))
    (tmp_path / "README.md").write_text(COMMANDS)
    return tmp_path


def put(made, **changes) -> dict:
    files = {"results": made / "results.json", "ceiling": made / "ceiling.json", "readme": made / "README.md"}
    pair = {"base": made / "base", "adapter": made / "grpo", "target": made / "embedded"}
    return release.release(**files, **pair | changes, hours="samples 1, eyes 2")


def test_only_what_the_demo_loads_is_released(made):
    (made / "embedded").mkdir()
    (made / "embedded" / "prompt.txt").write_text("{question}")
    found = put(made)
    names = {str(path.relative_to(made / "embedded")) for path in (made / "embedded").rglob("*") if path.is_file()}
    assert names == {
        "NOTICE", "README.md", "prompt.txt", "base/config.json", "base/model.safetensors", "base/tokenizer.json",
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
    }  # fmt: skip
    config = json.loads((made / "embedded" / "adapter" / "adapter_config.json").read_text())
    assert config == {"r": 64, "base_model_name_or_path": "../base"}
    assert found["megabytes"] == pytest.approx(7.0, abs=0.01)


def test_the_card_says_what_was_measured(made):
    put(made)
    card = (made / "embedded" / "README.md").read_text()
    for line in (
        "A vision-language model of 2.5 M parameters",
        "Together both take 7.0 MB",
        "hash `those measured` of both together",
        "a 4-layer Qwen2 language model of width\n  256; PEFT LoRA of rank 64",
        "by the logs of the runs: samples 1, eyes 2.",
        "| types F1: at least 0.85 | validation | 1.000 [1.000, 1.000] | yes |",
        "| mean intensity error: at most 0.10 | validation | 0.100 [0.100, 0.100] | yes |",
        "| tokens a second: at least 100 | robust | 150.0 | yes |",
        "| both sides on disk: at most 40 MB | – | 7.0",
        "## validation: 4 questions on 4 photos",
        "| robust - control |",
        "on data/validation: it learned from 21500 samples",
        "| intensity error | 0.250 [0.250, 0.250] |",
        "over 2000 resamples",
    ):
        assert line in card, line
    # Three of four by the control, all by the pair.
    control = card.partition("## Against the control")[2]
    assert re.search(r"\| accuracy, degraded \| 0\.250 \[0\.000, 0\.750\] p \d\.\d{3} \|", control)
    making = "python -m training.synthesize CORPUS data/train --count 12345\n"
    making += "python -m training.sft --config x.yaml \\\n    --target chain"
    assert "The base learned from 12345 samples that were drawn from the training pictures." in card
    assert f"Two CPU cores, no GPU:\n\n```\n{making}\n```" in card
    assert "```\npython -m training.evaluate\n```" in card
    for licence in ("Apache-2.0", "CC0", "GPL-2", "not stated", "free licences", "MIT"):
        assert licence in card
    assert not re.search(r"\{\w*\}", card)


def test_the_towers_notice_and_licence_come_along(made):
    put(made)
    notice = (made / "embedded" / "NOTICE").read_text()
    for part in (
        "Copyright (c) 2020, ML Illustrated",
        "What was changed",
        "TERMS AND CONDITIONS FOR USE, REPRODUCTION",
    ):
        assert part in notice


def test_another_pairs_results_are_refused(made, monkeypatch):
    monkeypatch.setattr(release, "weights_of", lambda base, adapter: "trained anew")
    with pytest.raises(ValueError, match=r"grpo:chain: those measured\) than .*base with .*grpo has: trained anew"):
        put(made)
    assert not (made / "embedded").exists()


def test_a_pairs_weights_are_told_as_the_page_tells_them(tmp_path):
    base = tiny.fast_vlm(tmp_path / "base")
    one, other = (tiny.adapter(base, tmp_path / f"adapter {seed}", seed=seed) for seed in (1, 2))
    pair = load_pair(Spec("embedded", str(base), str(base), adapter=str(one)), fallback=False)
    assert release.weights_of(base, one) == pair.robust.weights != release.weights_of(base, other)


def test_without_a_control_the_card_says_so(made):
    results = json.loads((made / "results.json").read_text())
    assert release.against(results, "nobody") == "Not measured: there was no side called nobody."


def test_without_commands_there_is_no_card(made):
    (made / "README.md").write_text(COMMANDS.replace("## Measuring", "## Measured"))
    with pytest.raises(ValueError, match="no commands below '## Measuring'"):
        put(made)
    assert not (made / "embedded").exists()


def test_the_documentation_names_every_stage_as_it_is_called():
    """What the card repeats: from samples to adapter, and every figure of the card."""
    stages = {
        release.MADE: ["synthesize", "write", "perceive", "pretrain", "sft", "grpo"],
        release.MEASURED: ["synthesize", "evaluate", "ceiling"],
    }
    for heading, wanted in stages.items():
        block = release.commands(release.README, heading)
        assert set(wanted) <= set(re.findall(r"-m training\.(\w+)", block))
        for path in re.findall(r"--config (\S+)", block):
            assert (release.README.parent.parent / path).is_file()
    assert release._count(release.commands(release.README, release.MADE)).isdigit()
    joined = release.commands(release.README, release.MEASURED).replace("\\\n", " ")
    command = next(line for line in joined.splitlines() if "training.evaluate" in line and "--side" in line)
    arguments = command_line.parse("", shlex.split(command)[3:])
    assert [side.name for side in arguments.side] == ["baseline", "control", "sft", "robust"]
    assert {"validation", "natural", "protocol"} == {name for name, _ in arguments.samples}
