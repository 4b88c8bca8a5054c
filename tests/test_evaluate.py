"""Sides, stored answers, results and targets: on tiny models, every command as it is typed."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file
from training.answers import Asking, Side, fingerprint
from training.targets import TARGETS, check, targets_table
from transformers import AutoModelForImageTextToText

from degradations import Recipe, degrade
from demo.checkpoints import load
from demo.settings import PRESETS, Spec
from tests import tiny
from tests.pictures import picture
from training import answers, evaluate, figures
from training.chains import write_chain
from training.data import read_picture

# --- what is asked for ---


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("baseline=runs/base", Side("baseline", "runs/base", None, False)),
        ("robust=runs/base+runs/grpo", Side("robust", "runs/base", "runs/grpo", True)),
        ("control=runs/base+runs/control:direct", Side("control", "runs/base", "runs/control", False)),
        ("robust=owner/Robust-R1-RL:chain", Side("robust", "owner/Robust-R1-RL", None, True)),
        ("x=C:/base+C:/a=b:chain", Side("x", "C:/base", "C:/a=b", True)),
    ],
)
def test_a_side_is_written_in_one_word(text, side):
    assert Side.parse(text) == side
    assert Side.parse(str(side)) == side


@pytest.mark.parametrize(
    "text", ["runs/base", "=runs/base", "robust=", "robust=runs/base+", "robust=+runs/sft", "a=:chain"]
)
def test_a_side_that_lacks_a_part_is_refused(text):
    with pytest.raises(ValueError, match="NAME=CHECKPOINT"):
        Side.parse(text)


def test_a_set_is_called_by_its_folder_unless_it_is_named():
    assert evaluate.named_folder("data/validation") == ("validation", Path("data/validation"))
    assert evaluate.named_folder("natural=data/x") == ("natural", Path("data/x"))


def test_a_preset_is_both_its_sides():
    arguments = evaluate._parser().parse_args(["--preset", "embedded", "--samples", "data/validation", "--output", "x"])
    sides, spec = evaluate.chosen(arguments)
    embedded = PRESETS["embedded"]
    assert spec == embedded and arguments.samples == [("validation", Path("data/validation"))]
    assert list(map(str, sides)) == [
        f"baseline={embedded.baseline}:direct",
        f"robust={embedded.robust}+{embedded.adapter}:chain",
    ]


# --- asking tiny models ---


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.fast_vlm(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    """Three adapters whose answers differ."""
    folder = tmp_path_factory.mktemp("adapters")
    return [tiny.adapter(base, folder / str(seed), seed, r=2 + seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets about the same three pictures, one with the published strengths; the first sample is not degraded."""
    folder = tmp_path_factory.mktemp("sets")
    for name, recipes in (("mixed", ("none", "graffiti(0.5)", "graffiti(0.2), scan lines(1.0)")), ("copies", COPIED)):
        rows = [write_sample(folder / name, number, recipe) for number, recipe in enumerate(recipes)]
        (folder / name / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


COPIED = ("scan lines(0.9)", "graffiti(0.9)", "scan lines(0.9)")


def write_sample(folder: Path, number: int, recipe: str) -> dict:
    row = {
        "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png", "seed": 0, "recipe": recipe,
        "kind": "object", "source": "test", "question": "What is it?" + "?" * number, "options": ["hat", "cat"],
        "answer": "cat", "answer_index": 1, "cue": "", "thing": "cat", "others": [], "place": "", "count": 1,
        "made_of": [],
    }  # fmt: skip
    applied = {row["clean"]: Recipe(), row["image"]: Recipe.parse(recipe)}
    if recipe in COPIED:
        row["copies"] = {copy: f"degraded_{copy}/{number}.png" for copy in ("25", "50")} | {"100": row["image"]}
        applied |= {
            row["copies"][copy]: applied[row["image"]].scaled(part) for copy, part in (("25", 0.26), ("50", 0.5))
        }
    for path, one in applied.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(degrade(picture(80, 96, seed=number), one, 0)).save(folder / path)
    return row


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """Runs the command; returns its exit status, the stored answers, and what was asked of a model (adapter or not)."""

    def run(*words: str, output: str = "evaluation") -> tuple[int, list[dict], Counter]:
        asked = Counter()
        generate = answers.generate

        def count(checkpoint, paths, prompts, budget):
            asked.update(Path(path).parent.name for path in paths)
            return generate(checkpoint, paths, prompts, budget)

        options = ["--max-new-tokens", "5", "--output", str(tmp_path / output), *map(str, words)]
        with monkeypatch.context() as patch:
            patch.setattr(answers, "generate", count)
            patch.setattr(sys, "argv", ["evaluate", *options])
            status = evaluate.main()
        file = tmp_path / output / "answers.jsonl"
        return status, [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [], asked

    return run


def said(stored: list[dict], side: str) -> dict[tuple, str]:
    return {(one["set"], one["state"], one["id"]): one["text"] for one in stored if one["side"] == side}


def test_every_side_answers_with_its_own_weights(base, adapters, sets, ask, tmp_path):
    sides = {"plain": f"{base}:chain"} | {f"a{n}": f"{base}+{folder}" for n, folder in enumerate(adapters)}
    words = [word for name, model in sides.items() for word in ("--side", f"{name}={model}")]
    status, stored, _ = ask(*words, "--samples", sets / "mixed", "--samples", sets / "copies")
    assert status == 0
    for name, model in sides.items():
        alone = ask("--side", f"{name}={model}", "--samples", sets / "mixed", "--samples", sets / "copies", output=name)
        assert said(alone[1], name) == said(stored, name)
    # The undegraded picture is asked about once for both of its states.
    states = {("mixed", state, n) for state in ("clean", "degraded") for n in range(3)} - {("mixed", "degraded", 0)}
    copies = {("copies", state, n) for state in ("25 %", "50 %", "100 %") for n in range(3)}
    assert set(said(stored, "a0")) == states | copies  # the clean ones of the second set are those of the first
    assert len({tuple(sorted(said(stored, name).items())) for name in sides}) == len(sides)
    # As transformers and PEFT say it, without any of this.
    checkpoint = load(str(base), Spec("x", "", ""))
    model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), adapters[2]).eval()
    prompt = evaluate.models.read_prompt(Spec("x", "", "")).replace("{question}", "What is it??\n0. hat\n1. cat")
    inputs = checkpoint.inputs([read_picture(sets / "mixed" / "degraded" / "1.png")], [prompt])
    new = model.generate(**inputs, do_sample=False, max_new_tokens=5)[0, inputs["input_ids"].shape[1] :]
    text = checkpoint.processor.tokenizer.decode(new, skip_special_tokens=True)
    assert said(stored, "a2")["mixed", "degraded", 1] == text
    one = next(one for one in stored if one["text"] == text)
    assert one["tokens"] == len(checkpoint.processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_nothing_is_asked_twice(base, adapters, sets, ask, tmp_path):
    first = ["--side", f"baseline={base}", "--side", f"robust={base}+{adapters[0]}", "--samples", sets / "mixed"]
    _, stored, asked = ask(*first)
    assert asked == {"clean": 6, "degraded": 4} and len(stored) == 10
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    assert ask(*first)[2] == {}
    # Called otherwise, and lying elsewhere: the same.
    moved = tmp_path / "moved"
    moved.symlink_to(sets / "mixed")
    again = ["--side", f"b={base}", "--side", f"r={base}+{adapters[0]}", "--samples", f"other={moved}"]
    assert ask(*again)[2] == {}
    # A new side, and a new set, whose clean pictures are known.
    more = [*first, "--side", f"other={base}+{adapters[1]}", "--samples", sets / "copies"]
    assert ask(*more)[2] == {"clean": 3, "degraded": 2 + 9, "degraded_25": 9, "degraded_50": 9}
    # Another budget or another prompt, which the baseline is not asked with.
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} In tags.")
    assert ask(*first, "--prompt-file", prompt)[2] == {"clean": 3, "degraded": 2}
    # What a kill leaves: a line that was cut off.
    file = tmp_path / "evaluation" / "answers.jsonl"
    file.write_bytes(b"".join(line.encode() + b"\n" for line in file.read_text().splitlines()[:9])[:-30])
    assert sum(ask(*first)[2].values()) == 2
    assert json.loads((tmp_path / "evaluation" / "results.json").read_text()) == results


def test_a_trained_adapter_and_a_changed_picture_are_asked_anew(base, adapters, sets, ask, tmp_path):
    adapter, samples = tmp_path / "adapter", tmp_path / "mixed"
    for source, target in ((adapters[0], adapter), (sets / "mixed", samples)):
        for path in source.rglob("*"):
            if path.is_file():
                (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                (target / path.relative_to(source)).write_bytes(path.read_bytes())
    words = ["--side", f"robust={base}+{adapter}", "--samples", samples]
    assert sum(ask(*words)[2].values()) == 5
    read_picture(samples / "clean" / "2.png").rotate(90).save(samples / "clean" / "2.png")
    assert ask(*words)[2] == {"clean": 1}
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))
    assert sum(ask(*words)[2].values()) == 5
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weight * 1.01 for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    assert sum(ask(*words)[2].values()) == 5


def test_a_fingerprint_is_the_same_beside_other_adapters(base, adapters):
    asking = Asking("{question}", 5, Spec("x", "", ""))
    checkpoint = load(str(base), asking.spec)
    plain = fingerprint(checkpoint, None, "{question}", asking)
    answers.add_adapter(checkpoint, str(adapters[0]), "one")
    alone = fingerprint(checkpoint, "one", "{question}", asking)
    answers.add_adapter(checkpoint, str(adapters[1]), "two")
    assert fingerprint(checkpoint, None, "{question}", asking) == plain
    assert fingerprint(checkpoint, "one", "{question}", asking) == alone
    others = [
        fingerprint(checkpoint, "two", "{question}", asking),
        fingerprint(checkpoint, "one", "{question}?", asking),
    ]
    with torch.no_grad():
        next(weight for name, weight in checkpoint.base.named_parameters() if "vision" in name).add_(0.1)
    assert len({plain, alone, *others, fingerprint(checkpoint, "one", "{question}", asking)}) == 5


def test_checkpoints_of_their_own_can_stand_beside_each_other(base, adapters, sets, ask, tmp_path):
    other = tiny.fast_vlm(tmp_path / "other", seed=5)
    sides = [f"full={other}:chain", f"baseline={base}", f"robust={base}+{adapters[0]}", f"more={other}"]
    words = [word for side in sides for word in ("--side", side)]
    status, stored, _ = ask(*words, "--samples", sets / "mixed")
    assert status == 0 and [len(said(stored, side.split("=")[0])) for side in sides] == [5, 5, 5, 5]
    assert said(stored, "full") != said(stored, "more") != said(stored, "baseline")
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    assert results["main"] == "more" and results["sides"][1] == f"baseline={base}:direct"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--side a={base} --side a={base}:chain --samples {sets}/mixed", "two sides have one name: a, a"),
        ("--side a={base} --samples {sets}/mixed --samples mixed={sets}/copies", "two sets have one name"),
        ("--side a={base} --side b={base}+{sets} --samples {sets}/mixed", "no adapter_config.json"),
        ("--side a={base} --samples {base}", "holds no samples.jsonl"),
        ("--side a={base} --samples {sets}/mixed --data {sets}/mixed", "holds no chains.jsonl"),
    ],
)
def test_what_cannot_be_measured_is_told(words, reason, base, sets, ask, capsys):
    status, _, _ = ask(*words.format(base=base, sets=sets).split())
    assert status == 2 and reason in capsys.readouterr().err


# --- results ---


def test_results_hold_every_figure_and_the_tables_show_them(base, adapters, sets, ask, tmp_path, capsys):
    data = tmp_path / "data"
    data.symlink_to(sets / "mixed")
    rows = evaluate.read_samples(sets / "mixed")
    chains = [{"id": row["id"], "chain": write_chain(row, seed=0), "writer": "truth"} for row in rows]
    (sets / "mixed" / "chains.jsonl").write_text("".join(json.dumps(chain) + "\n" for chain in chains))
    words = [
        "--side",
        f"baseline={base}",
        "--side",
        f"sft={base}+{adapters[1]}",
        "--side",
        f"robust={base}+{adapters[0]}",
    ]
    sampled = ["--samples", sets / "mixed", "--samples", f"protocol={sets / 'copies'}", "--data", f"train={data}"]
    assert ask(*words, *sampled, "--speed")[0] == 0
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    mixed, protocol = results["sets"]["mixed"], results["sets"]["protocol"]
    assert (mixed["samples"], mixed["photos"], mixed["states"]) == (3, 3, ["clean", "degraded"])
    assert set(mixed["differences"]) == {"robust - baseline", "robust - sft"}
    assert set(mixed["by type"]) == {"sft", "robust"} and "accuracy, 100 %" in protocol["sides"]["baseline"]
    for figure, own in protocol["differences"]["robust - sft"].items():
        one, other = (protocol["sides"][side][figure]["value"] for side in ("robust", "sft"))
        assert own["value"] == (None if one is None or other is None else pytest.approx(one - other))
    written = results["data"]["train"]
    assert written["samples"] == 3 and written["types F1"]["value"] == 1 and written["chains complete"]["value"] == 1
    assert written[figures.HEAVY_TOKENS]["value"] is None and written[figures.MILD_TOKENS]["value"] > 20
    assert set(results["speed"]) <= {"baseline", "robust"} and all(speed > 0 for speed in results["speed"].values())
    text = (tmp_path / "evaluation" / "results.md").read_text()
    assert text in capsys.readouterr().out
    for part in (
        "## mixed: 3 questions on 3 photos",
        "## protocol",
        "| accuracy, 100 % |",
        "robust - sft",
        "| graffiti |",
    ):
        assert part in text
    assert "## The chains of train" in text and len(results["targets"]) == len(check(results))


def test_groups_are_told_apart_where_there_are_enough(monkeypatch):
    monkeypatch.setattr(evaluate, "SMALLEST_GROUP", 2)
    assert evaluate._groups(["a", "b", "b", "c", "c", "c"]) == {"c": [3, 4, 5], "b": [1, 2]}
    assert evaluate._groups(["a", "a"]) == {}
    rows = [
        {"id": n, "image": "", "clean": "x", "recipe": "none", "options": ["cat", "dog"], "answer": "cat"}
        | {"kind": kind, "source": "s", "made_of": [], "answer_index": 0}
        for n, kind in enumerate(("object", "garment", "object", "garment"))
    ]
    replies = {("b", "v"): {"clean": [figures.Reply(text, 1) for text in ("cat", "dog", "cat", "cat")]}}
    found = evaluate.measure([Side("b", "x", None, False)], {"v": rows}, replies)["v"]
    assert found["by source"] == {} and list(found["by kind"]) == ["object", "garment"]
    told = {kind: own["sides"]["b"]["accuracy, clean"]["value"] for kind, own in found["by kind"].items()}
    assert told == {"object": 1.0, "garment": 0.5}


# --- targets ---


def figure(value: float) -> dict:
    return {"value": value, "low": value, "high": value}


def results_with(own: dict, less_sft: dict, copies_less_baseline: dict) -> dict:
    everything = {name: figure(value) for name, value in own.items()}
    less = {name: figure(value) for name, value in less_sft.items()}
    copied = {name: figure(value) for name, value in copies_less_baseline.items()}
    own = {"sides": {"robust": everything}}
    validation = {"states": ["clean", "degraded"], **own, "differences": {"robust - sft": less}}
    protocol = {"states": ["clean", "25 %", "50 %", "100 %"], **own, "differences": {"robust - baseline": copied}}
    return {
        "main": "robust",
        "sets": {"validation": validation, "protocol": protocol},
        "data": {"train": {figures.GROWTH: figure(50.0)}},
        "speed": {"baseline": 120.0, "robust": 99.0},
        "megabytes": 40.0,
    }


ACCURACIES = ("accuracy, degraded", "accuracy, clean")
REACHED = results_with(
    {figures.CHAINS_COMPLETE: 0.99, figures.F1: 0.85, figures.ERROR: 0.1, figures.TOTALS: 0.9, figures.GROWTH: 0.1},
    {
        figures.R_DEG: 0.15,
        figures.ERROR: -0.001,
        figures.TOKENS: 0.0,
        "accuracy, degraded": 0.0,
        "accuracy, clean": 0.0,
    },
    {"accuracy, 100 %": 0.06, "accuracy, clean": -0.01, "drop from clean to 100 %": -0.001},
)
MISSED = results_with(
    {figures.CHAINS_COMPLETE: 0.98, figures.F1: 0.84, figures.ERROR: 0.11, figures.TOTALS: 0.89, figures.GROWTH: 0.0},
    {figures.R_DEG: 0.14, figures.ERROR: 0.0, figures.TOKENS: 0.1, **dict.fromkeys(ACCURACIES, -0.1)},
    {"accuracy, 100 %": 0.05, "accuracy, clean": -0.02, "drop from clean to 100 %": 0.0},
)


def test_targets_are_met_at_their_bounds_and_not_beyond():
    rows = check(REACHED)
    assert len(rows) == len(TARGETS) + 4
    assert [row["target"] for row in rows if not row["met"]] == ["tokens a second: at least 100"]
    assert not any(row["met"] for row in check(MISSED)[: len(TARGETS)])
    places = {row["target"]: row["set"] for row in rows}
    assert places["types F1: at least 0.85"] == "validation"
    assert places["accuracy at 100 % less the baseline's: at least 6 points"] == "protocol"


def test_what_was_not_measured_is_no_target_met():
    bare = {"main": "robust", "sets": {"validation": {"states": ["clean", "degraded"], "sides": {"robust": {}}}}}
    bare["sets"]["validation"]["differences"] = {}
    rows = check(bare | {"data": {}, "speed": None})
    assert len(rows) == len(TARGETS) + 3 and all(row["met"] is None and row["set"] is None for row in rows)
    assert targets_table(rows).count("| not measured |") == len(rows)
    assert "| 0.850 [0.850, 0.850] | yes |" in targets_table(check(REACHED))
    assert "| 99.0 | **no** |" in targets_table(check(REACHED))
