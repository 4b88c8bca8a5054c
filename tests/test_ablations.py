"""Ablations: which runs are trained and what they are told, by a runner that pretends; tables and plots of them."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import yaml
from PIL import Image
from trl import GRPOConfig, ModelConfig, SFTConfig, TrlParser

from degradations import REGISTRY, Recipe
from demo.chain import format_chain
from tests import tiny
from training import ablations, grpo, sft
from training.ablations import Run, read_config
from training.evaluation import plots
from training.evaluation.naming import ERROR, F1
from training.evaluation.plots import Points, draw
from training.evaluation.said import Reply

SHIPPED = Path("training/configs/ablations.yaml")


def test_the_shipped_runs_are_told_what_their_scripts_understand(monkeypatch):
    config, runs = read_config(SHIPPED)
    parsers = {
        "sft": TrlParser((sft.SFTArguments, SFTConfig, ModelConfig)),
        "grpo": TrlParser((grpo.GRPOArguments, GRPOConfig, ModelConfig)),
    }
    outputs = set()
    for run in runs:
        if run.script:
            words = run.command()
            arguments, training, _ = parsers[run.script].parse_args_and_config(words[words.index("--config") :])
            assert (training.output_dir, str(arguments.prompt_file)) == (
                run.settings["output_dir"],
                config["prompt_file"],
            )
            for name, value in run.overrides.items():
                found = next(getattr(part, name) for part in (arguments, training) if hasattr(part, name))
                assert found == value or str(found) == value
            outputs.add(training.output_dir)
    assert len(outputs) == sum(run.script is not None for run in runs)
    names = [run.name for run in runs]
    wanted = {"baseline", "control", "without reasoning", "without r_deg", "without r_len", "SFT only", "SFT+GRPO"}
    assert wanted <= set(names) and names[-1] == "SFT+GRPO"
    assert [run.name for run in runs if run.prompt == "direct"] == ["baseline", "control"]


@pytest.fixture
def folder(tmp_path, samples):
    """A configuration of three runs on a tiny base, one of them not to be trained."""
    tiny.fast_vlm(tmp_path / "base")
    stage = {"model_name_or_path": str(tmp_path / "base"), "output_dir": str(tmp_path / "sft"), "learning_rate": "1e-4"}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(stage))
    (tmp_path / "prompt.txt").write_text("{question} In tags.")
    script = {"script": "sft", "config": str(tmp_path / "sft.yaml")}
    config = {
        "output": str(tmp_path / "ablations"),
        "plots": str(tmp_path / "plots"),
        "prompt_file": str(tmp_path / "prompt.txt"),
        "max_new_tokens": 4,
        "limit": 3,
        "samples": {"mixed": str(samples)},
        "runs": [
            {"name": "baseline", "checkpoint": str(tmp_path / "base"), "prompt": "direct"},
            {"name": "control", **script, "prompt": "direct"}
            | {"overrides": {"output_dir": str(tmp_path / "control"), "weights": [1, 0.5], "eager": True}},
            {"name": "SFT", **script, "accelerate": ["--num_processes", 2], "environment": {"OMP_NUM_THREADS": 1}},
        ],
    }
    (tmp_path / "ablations.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return tmp_path


class Runner:
    """Stands in for `subprocess`: makes the adapter that a run would have trained, or fails."""

    def __init__(self, folder: Path):
        self.folder, self.called, self.failing = folder, [], set()

    def run(self, command: list[str], env: dict) -> CompletedProcess:
        output = Path(command[command.index("--output_dir") + 1]) if "--output_dir" in command else self.folder / "sft"
        self.called.append((output.name, command, env))
        if output.name in self.failing:
            return CompletedProcess(command, 3)
        tiny.adapter(self.folder / "base", output, seed=len(self.called))
        (output / "trainer_state.json").write_text('{"global_step": 5, "max_steps": 5}')
        (output / "training_args.bin").write_bytes(b"")
        (output / "run.json").write_text('{"stage": "SFT", "learning_rate": 0.0001, "weights": [1.0, 0.5]}')
        return CompletedProcess(command, 0)


@pytest.fixture
def runner(folder, monkeypatch):
    runner = Runner(folder)
    monkeypatch.setattr(ablations, "subprocess", runner)
    return runner


def main(folder: Path, monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ablations", "--config", str(folder / "ablations.yaml"), *words])
    return ablations.main()


def test_from_runs_to_table_and_plots(folder, runner, monkeypatch, capsys):
    assert main(folder, monkeypatch) == 0
    (control, command, _), (trained, launched, environment) = runner.called
    assert (control, trained) == ("control", "sft")
    told = f"-m training.sft --config {folder}/sft.yaml --output_dir {folder}/control --weights 1 0.5 --eager true"
    assert command == [sys.executable, *told.split()]
    options = "-m accelerate.commands.launch --num_processes 2 -m training.sft"
    assert launched == [sys.executable, *options.split(), "--config", f"{folder}/sft.yaml"]
    assert environment["OMP_NUM_THREADS"] == "1" and "PATH" in environment
    text = capsys.readouterr().out
    assert (folder / "ablations" / "ablations.md").read_text() in text
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("|")]
    assert {"baseline", "control", "SFT", "SFT - baseline", "SFT - control"} <= set(rows)
    results = json.loads((folder / "ablations" / "results.json").read_text())
    base, sft_folder = folder / "base", folder / "sft"
    assert results["sides"] == [
        f"baseline={base}:direct",
        f"control={base}+{folder / 'control'}:direct",
        f"SFT={base}+{sft_folder}:chain",
    ]
    for name in ("intensity", "types", "tokens"):
        with Image.open(folder / "plots" / f"{name}.png") as plot:
            assert plot.width > 1200 and plot.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert not (folder / "plots" / "accuracy.png").exists()  # there is no set with the published strengths
    (folder / "plots" / "accuracy.png").write_bytes(b"of another run")
    answered = (folder / "ablations" / "answers.jsonl").read_text()
    # Again: nothing is trained, nothing asked.
    assert main(folder, monkeypatch) == 0
    assert len(runner.called) == 2 and (folder / "ablations" / "answers.jsonl").read_text() == answered
    assert not (folder / "plots" / "accuracy.png").exists()
    assert "control: finished" in capsys.readouterr().out


def test_what_failed_or_was_cut_off_is_trained_again(folder, runner, monkeypatch, capsys):
    runner.failing = {"sft"}
    assert main(folder, monkeypatch, "--train-only") == 2
    assert "SFT stopped (exit status 3); started again it goes on" in capsys.readouterr().err
    runner.failing = set()
    (folder / "control" / "trainer_state.json").write_text('{"global_step": 4, "max_steps": 5}')
    assert main(folder, monkeypatch, "--train-only") == 0
    assert [name for name, *_ in runner.called] == ["control", "sft", "control", "sft"]
    (folder / "control" / "training_args.bin").unlink()  # killed while it saved the model
    assert main(folder, monkeypatch, "--train-only") == 0
    assert [name for name, *_ in runner.called][4:] == ["control"]
    assert not (folder / "ablations").exists()


def test_a_folder_with_another_run_is_not_taken_for_this_one(folder, runner, monkeypatch, capsys):
    assert main(folder, monkeypatch, "--train-only") == 0  # 1e-4 and 0.0001, 1 and 1.0 are the same
    stage = yaml.safe_load((folder / "sft.yaml").read_text())
    (folder / "sft.yaml").write_text(yaml.safe_dump(stage | {"learning_rate": 2e-4}))
    assert main(folder, monkeypatch, "--train-only") == 2
    assert "learning_rate was 0.0001 and is now 0.0002" in capsys.readouterr().err
    assert len(runner.called) == 2


def test_what_a_full_training_leaves_stands_for_itself(tmp_path):
    (tmp_path / "stage.yaml").write_text(f"model_name_or_path: owner/base\noutput_dir: {tmp_path}/full\n")
    run = Run("full", script="sft", config=str(tmp_path / "stage.yaml"))
    assert str(run.side()) == f"full={tmp_path}/full:chain"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "adapter_config.json").write_text("{}")
    assert str(run.side()) == f"full=owner/base+{tmp_path}/full:chain"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"runs": [{"name": "a"}]}, "a needs a script with its config, or a checkpoint"),
        ({"runs": [{"name": "a", "script": "sft"}]}, "a needs a script with its config"),
        ({"runs": [{"name": "a", "checkpoint": "x", "config": "y"}]}, "a needs a script"),
        ({"runs": [{"name": "a", "checkpoint": "x", "prompt": "chian"}]}, "chian"),
        ({"runs": [{"name": "a", "script": "release", "config": "y"}]}, "release"),
        ({"runs": [{"name": "a", "checkpoint": "x"}] * 2}, "two runs have one name"),
        ({"runs": [{"name": "a", "model": "x"}]}, "a run has name, prompt, script"),
        ({"plots": None}, "does not say plots"),
    ],
)
def test_a_configuration_that_is_not_whole_is_refused(tmp_path, changes, reason):
    config = {"output": "o", "plots": "p", "samples": {}, "runs": []} | changes
    path = tmp_path / "ablations.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in config.items() if value is not None}))
    with pytest.raises(ValueError, match=reason):
        read_config(path)


@pytest.mark.parametrize(("text", "reason"), [("runs: [{", "is no YAML"), ("- a\n", "a run has name, prompt, script")])
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, reason):
    path = tmp_path / "ablations.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"ablations\.yaml.*{reason}"):
        read_config(path)


# --- plots ---


def test_points_are_those_of_every_degraded_picture():
    row = {"id": 0, "image": "", "clean": "c", "recipe": "graffiti(0.9)", "copies": {"25": "", "50": "", "100": ""}}
    chain = format_chain(Recipe({"graffiti": 0.5}), "a", "b", "c", "d")
    replies = {state: [Reply(chain, tokens)] for tokens, state in enumerate(("clean", "25 %", "50 %", "100 %"))}
    points = Points.of([row], replies)
    assert points.tokens == [1, 2, 3]
    assert [(a["graffiti"], p["graffiti"]) for a, p in points.pairs] == [(0.23, 0.5), (0.45, 0.5), (0.9, 0.5)]


def test_plots_show_more_where_there_is_more(tmp_path):
    """Every plot has something drawn, also for types that were never there, and the ceiling where it is known."""
    nothing, some = ({"value": value, "low": value, "high": value} for value in (None, 0.5))
    by_type = {name: {F1: some, ERROR: some} for name in REGISTRY} | {"graffiti": {F1: nothing, ERROR: nothing}}
    states = ["clean", "25 %", "50 %", "100 %"]
    own = {f"accuracy, {state}": some for state in states}
    found = {"states": states, "sides": {"baseline": own, "robust": own}, "by type": {"robust": by_type}}
    curve = [{"from": 0.2, "to": 0.3, "named": 1, "true": some, "there": some}, {"from": 0.3, "to": 0.4, "named": 0}]
    curve[1] |= {"true": nothing, "there": nothing}
    found["calibration"] = {"robust": curve}
    pairs = [(Recipe({"lens blur": 0.5}), Recipe({"lens blur": 0.7})), (Recipe(), Recipe())]
    points = {"robust": Points(pairs, [30, 10])}
    results = {"main": "robust", "sets": {"protocol": found}}
    plain = {path.name: np.asarray(Image.open(path)) for path in draw(tmp_path / "plain", results, points, None)}
    assert set(plain) == {"intensity.png", "types.png", "calibration.png", "tokens.png", "accuracy.png"}
    for pixels in plain.values():
        red, _, blue = pixels[..., :3].astype(int).transpose(2, 0, 1)
        assert (blue - red > 60).sum() > 50  # the last run's colour
    with_head = plots._types({"robust": by_type}, {"robust": "#0072b2"}, {"figures": {"by type": by_type}})
    assert [text.get_text() for text in with_head.legends[0].get_texts()] == ["robust", "large head"]
    direct = {"states": states, "sides": {"robust": own}, "by type": {}}
    drawn = draw(tmp_path / "direct", results | {"sets": {"protocol": direct}}, {}, None)
    assert [path.name for path in drawn] == ["accuracy.png"]
