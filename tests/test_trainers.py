"""SFT and GRPO, really run for a few steps on tiny models of the two shapes."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForImageTextToText
from trl import GRPOConfig, ModelConfig, SFTConfig, TrlParser

from degradations import Recipe
from degradations.jobs import OtherRunError, StoppedError, alone_in
from demo.chain import format_chain, parse_chain
from demo.checkpoints import CheckpointError
from demo.models import Spec, load_pair
from tests import tiny
from tests.trainer_runs import LORA, log_of, one_thread, train  # noqa: F401  (a fixture)
from training import grpo, merge, sft, stage
from training.data import read_chained
from training.stage import part_of, types_and_answer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return tiny.samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {name: getattr(tiny, name)(tmp_path_factory.mktemp(name)) for name in ("fast_vlm", "qwen")}


@pytest.fixture(scope="module")
def trained(bases, samples, tmp_path_factory):
    """The adapters of SFT and of GRPO after it, by base and stage."""
    folders = {}
    for name, base in bases.items():
        common = {"samples": samples, "model_name_or_path": base}
        folder = tmp_path_factory.mktemp(f"trained-{name}")
        folders[name, "sft"] = train("sft", **common, **LORA, output_dir=folder / "sft")
        folders[name, "grpo"] = train(
            "grpo", **common, adapter=folder / "sft", output_dir=folder / "grpo", log_completions=True,
            num_completions_to_print=0, cache_features=True, report_to="tensorboard",
        )  # fmt: skip
    return folders


# --- what is learned ---


def asked(dataset) -> list[tuple[str, str]]:
    return [(row["prompt"][0]["content"][1]["text"], row["completion"][0]["content"][0]["text"]) for row in dataset]


def test_the_targets_ask_and_answer_differently_on_the_same_pictures(samples, tmp_path):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question}\nIn tags.\n")
    rows = read_chained(samples)[:2]

    def pairs(**options):
        dataset = sft.sft_dataset(rows, sft.SFTArguments(samples, prompt_file=prompt, **options))
        assert [row["images"][0].size for row in dataset] == [(64, 64)] * 2
        return asked(dataset)

    question = "What is the main object?"
    options = "\n0. dog\n1. cat\n2. car\n3. hat"
    whole = [row["chain"] for row in rows]
    assert pairs() == [(f"{question}\nIn tags.", whole[0]), (f"{question}{options}\nIn tags.", whole[1])]
    assert pairs(target="answer", answer="words") == [(question, "cat"), (question + options, "cat")]
    assert pairs(target="answer", answer="index") == [(question, "cat"), (question + options, "1")]
    short = "<TYPE>lens blur(0.5), gaussian noise(0.3)<TYPE_END>\n<ANSWER>cat<ANSWER_END>"
    assert pairs(target="types_and_answer")[1] == (f"{question}{options}\nIn tags.", short)


def test_a_question_about_two_pictures_is_asked_with_both(samples, tmp_path):
    (row,) = read_chained(samples, 1)
    row |= {"more_images": [read_chained(samples)[1]["image"]]}
    learned = sft.sft_dataset([row], sft.SFTArguments(samples))[0]
    assert [part["type"] for part in learned["prompt"][0]["content"]] == ["image", "image", "text"]
    rewarded = grpo.grpo_dataset([row], grpo.GRPOArguments(samples))[0]
    for images in (learned["images"], rewarded["images"]):
        assert len(images) == 2 and images[0].tobytes() != images[1].tobytes()


def test_a_chain_without_reasoning_is_read_as_the_whole_one():
    recipe = Recipe.parse("lens blur(0.31), gaussian noise(1.0)")
    whole = format_chain(recipe, "a", "b", "c", "2. a cat")
    short = parse_chain(types_and_answer(whole))
    assert (short.recipe, short.answer) == (recipe, "2. a cat")
    assert not (short.influence or short.reasoning or short.conclusion or short.complete)


def test_parts_share_no_sample_whatever_becomes_of_the_others():
    rows = [{"id": n} for n in range(4000)] + [{"id": f"n{n}"} for n in range(4000)]
    first, second = part_of(rows, [0.0, 0.25]), part_of(rows, [0.25, 1.0])
    ids = [{row["id"] for row in part} for part in (first, second)]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == len(rows)
    assert 0.23 < len(first) / len(rows) < 0.27
    fewer = [row for row in rows if str(row["id"])[-1] != "7"]
    assert {row["id"] for row in part_of(fewer, [0.0, 0.25])} <= ids[0]
    assert part_of(rows, [0.0, 1.0]) == rows


@pytest.mark.parametrize("part", [[0.5], [0.5, 0.5], [-0.1, 1.0], [0.0, 1.1], [0.7, 0.2]])
def test_a_part_is_a_range(part):
    with pytest.raises(ValueError, match="a part is two numbers"):
        part_of([{"id": 0}], part)


def test_an_empty_part_is_named(samples):
    with pytest.raises(ValueError, match=r"no sample of .* lies in the part \[0\.0, 1e-09\]"):
        sft.SFTArguments(samples, part=[0.0, 1e-9]).read()


# --- what is trained ---


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
@pytest.mark.parametrize("which", ["sft", "grpo"])
def test_an_adapter_is_trained_on_the_language_model_alone(trained, name, which):
    weights = load_file(trained[name, which] / "adapter_model.safetensors")
    assert weights and not [key for key in weights if any(part in key for part in stage.OUTSIDE_LANGUAGE_MODEL)]
    learned = [key for key, value in weights.items() if "lora_B" in key and value.abs().sum() > 0]
    assert len(learned) == len(weights) // 2


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
def test_grpo_goes_on_from_the_sft_and_leaves_one_adapter(trained, name):
    before, after = (load_file(trained[name, s] / "adapter_model.safetensors") for s in ("sft", "grpo"))
    assert before.keys() == after.keys()
    moved = sum((after[key] - before[key]).norm() for key in before)
    assert 0 < moved < sum(value.norm() for value in before.values())
    assert not list(trained[name, "grpo"].rglob("ref"))
    config = json.loads((trained[name, "grpo"] / "adapter_config.json").read_text())
    assert (
        config["base_model_name_or_path"]
        == json.loads((trained[name, "sft"] / "adapter_config.json").read_text())["base_model_name_or_path"]
    )


def test_grpo_is_held_near_the_sft_not_near_the_base(trained):
    first, *_, last = log_of(trained["fast_vlm", "grpo"])
    assert first["kl"] < 1e-6 < last["kl"]


def test_completions_are_kept_with_their_rewards(trained):
    folder = trained["fast_vlm", "grpo"] / "completions"
    tables = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    assert [list(table["step"].unique()) for table in tables] == [[1], [2], [3], [4], [5]]
    table = tables[0]
    assert {"prompt", "completion", "accuracy", "format", "r_deg", "r_len", "id", "recipe", "advantage"} <= set(table)
    assert len(table) == 4 and list(table["id"]) == [n for n in table["id"][::2] for _ in range(2)]
    assert all(row["r_deg"] <= -2 for _, row in table.iterrows() if row["recipe"] != "none")


def test_rewards_are_logged_for_tensorboard(trained):
    (events,) = trained["fast_vlm", "grpo"].rglob("events.out.tfevents.*")
    log = EventAccumulator(str(events)).Reload()
    logged = [line["rewards/r_deg/mean"] for line in log_of(trained["fast_vlm", "grpo"])]
    assert [event.value for event in log.Scalars("train/rewards/r_deg/mean")] == pytest.approx(logged)


def test_a_run_is_logged_to_trackio(bases, samples, tmp_path, monkeypatch):
    """In a process of its own: where it keeps its logs, trackio reads when it is imported."""
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path / "out", **LORA}
    told = {"stage": "sft", **options, "max_steps": 2, "report_to": "trackio", "run_name": "logged", "project": "test"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer_runs", json.dumps([told], default=str)],
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "logs")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "logs/test.db")) as log:
        rows = [json.loads(row) for (row,) in log.execute("SELECT metrics FROM metrics WHERE run_name = 'logged'")]
    logged = [row["train/loss"] for row in rows if "train/loss" in row]
    assert logged == pytest.approx([line["loss"] for line in log_of(tmp_path / "out")])


def test_a_sample_that_no_answer_can_be_right_for_is_named(samples):
    row = read_chained(samples)[1] | {"answer": "horse"}
    with pytest.raises(ValueError, match="sample 1: the true answer 'horse' is none of the options"):
        grpo.grpo_dataset([row], grpo.GRPOArguments(samples))


@pytest.mark.parametrize("vision", [False, True])
def test_all_weights_are_trained_but_those_that_see(bases, samples, tmp_path, vision):
    base = bases["qwen"]
    options = {"samples": samples, "model_name_or_path": base, "max_steps": 1, "train_vision": vision}
    folder = train("sft", **options, output_dir=tmp_path / "full")
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert any("visual" in key for key in changed) == vision
    assert any("layers.1.mlp" in key and "visual" not in key for key in changed)
    assert before.keys() == after.keys()


@pytest.mark.parametrize(
    ("wrong", "error", "reason"),
    [
        ({"model_name_or_path": None}, ValueError, "name the model to begin with by model_name_or_path"),
        ({"model_name_or_path": "/gone"}, CheckpointError, r"/gone: there is no config\.json"),
        ({"adapter": "/gone"}, CheckpointError, r"/gone: there is no adapter_config\.json"),
        ({"prompt_file": "LICENSE"}, ValueError, "needs the placeholder {question}"),
        ({"prompt_file": "gone.txt"}, FileNotFoundError, "gone.txt"),
        ({"limit": 0}, ValueError, "a limit is at least 1"),
        ({"rewards": ["accuracy", "r_size"]}, ValueError, "no reward r_size; there are accuracy, format, r_deg"),
        ({"reward_weights": [1, 0]}, ValueError, "reward_weights has 2 weights, and there are 4 rewards"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_folder_is_claimed(bases, samples, tmp_path, wrong, error, reason):
    """A folder that was claimed would refuse the command that is put right."""
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path / "out"} | wrong
    with pytest.raises(error, match=reason):
        train("grpo", **{name: value for name, value in options.items() if value is not None})
    assert not (tmp_path / "out").exists()


def test_an_adapter_to_go_on_from_excludes_a_new_one(bases, trained, samples, tmp_path):
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path / "both"}
    with pytest.raises(ValueError, match="give one of them"):
        train("grpo", **options, **LORA, adapter=trained["fast_vlm", "sft"])


# --- from training to the demo ---


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
def test_the_demo_loads_what_was_trained_as_adapter_and_merged(bases, trained, name, tmp_path):
    adapter, merged = trained[name, "grpo"], tmp_path / "merged"
    merge.merge(str(bases[name]), str(adapter), merged)
    size = {"min_pixels": 56 * 56, "max_pixels": 56 * 56, "dtype": "float32"}
    pairs = [
        load_pair(Spec("test", str(bases[name]), str(bases[name]), adapter=str(adapter), **size), fallback=False),
        load_pair(Spec("test", str(bases[name]), str(merged), **size), fallback=False),
    ]
    assert pairs[0].robust.adapter and pairs[0].robust.checkpoint.mixes()
    logits = []
    for side in (pairs[0].baseline, *(pair.robust for pair in pairs)):
        inputs = side.checkpoint.inputs(Image.new("RGB", (56, 56), "red"), ["What is it?"])
        model = side.checkpoint.base if side is pairs[0].baseline else side.checkpoint.model
        with torch.no_grad():
            if side is pairs[0].baseline:
                with side.checkpoint.model.disable_adapter():
                    logits.append(model(**inputs).logits)
            else:
                logits.append(model(**inputs).logits)
    plain, adapted, whole = logits
    torch.testing.assert_close(whole, adapted, rtol=1e-3, atol=1e-4)
    assert (adapted - plain).abs().max() > 1e-2
    assert "merged into" in (merged / "README.md").read_text()
    with pytest.raises(ValueError, match="not empty"):
        merge.merge(str(bases[name]), str(adapter), merged)


def test_merging_says_what_is_missing(bases, tmp_path, monkeypatch, capsys):
    words = ["merge", "--model", str(bases["fast_vlm"]), "--adapter", str(tmp_path), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    assert merge.main() == 2
    assert "there is no adapter_config.json in this folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
def test_a_saved_processor_names_a_class_that_others_have(trained, name):
    saved = json.loads((trained[name, "grpo"] / "processor_config.json").read_text())
    assert saved["processor_class"] == {"fast_vlm": "LlavaProcessor", "qwen": "Qwen2_5_VLProcessor"}[name]


# --- going on ---


def whole_and_resumed(which: str, tmp_path: Path, **options) -> tuple[Path, Path]:
    """A run, and one that went on from the checkpoint after three of its five steps, in the midst of an epoch."""
    whole = train(which, output_dir=tmp_path / "whole", **options)
    resumed = tmp_path / "resumed"
    shutil.copytree(whole / "checkpoint-3", resumed / "checkpoint-3")
    shutil.copy(whole / "run.json", resumed / "run.json")
    return whole, train(which, output_dir=resumed, **options)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}


@pytest.mark.parametrize(
    ("which", "name", "adapted"),
    [
        ("sft", "fast_vlm", True),
        ("sft", "qwen", False),
        ("grpo", "qwen", True),
        ("grpo", "fast_vlm", False),
    ],
)
def test_a_run_goes_on_as_if_nothing_had_happened(which, name, adapted, bases, trained, samples, tmp_path):
    """Over three epochs of few samples, with an adapter and with all weights; dropout, sampling and order alike."""
    options = {"samples": samples, "model_name_or_path": bases[name], "limit": {"sft": 8, "grpo": 4}[which]}
    if adapted:
        options |= LORA if which == "sft" else {"adapter": trained[name, "sft"]}
    whole, resumed = whole_and_resumed(which, tmp_path, **options)
    assert len(log_of(whole)) == 5
    assert log_of(resumed) == log_of(whole)
    before, after = weights_of(whole), weights_of(resumed)
    assert before and all(torch.equal(before[key], after[key]) for key in before)


def test_every_epoch_has_an_order_of_its_own(bases, samples, tmp_path, monkeypatch):
    seen, step = [], sft.SFTTrainer.training_step

    def watched(self, model, inputs, *rest):
        seen.append(inputs["pixel_values"].mean((1, 2, 3)).tolist())
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(sft.SFTTrainer, "training_step", watched)
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "max_steps": 4}
    for target in ("chain", "answer"):
        train("sft", **options, **LORA, target=target, output_dir=tmp_path / target)
    chain, answer = seen[:4], seen[4:]
    assert chain == answer  # the control's samples come in the same order
    epochs = [[*chain[0], *chain[1]], [*chain[2], *chain[3]]]
    assert sorted(epochs[0]) == sorted(epochs[1]) and epochs[0] != epochs[1]


def test_a_finished_run_stays_as_it_is(bases, samples, tmp_path):
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path, **LORA}
    train("sft", **options)
    before, log = weights_of(tmp_path), log_of(tmp_path)
    train("sft", **options)
    after = weights_of(tmp_path)
    assert log_of(tmp_path) == log and all(torch.equal(before[key], after[key]) for key in before)


def test_a_folder_belongs_to_one_run(bases, samples, tmp_path):
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path, **LORA}
    train("sft", **options, max_steps=1)
    with pytest.raises(OtherRunError, match=r"learning_rate was 0\.001 and is now 0\.002"):
        train("sft", **options, max_steps=1, learning_rate=2e-3)
    train("sft", **options, max_steps=1, logging_steps=2, save_steps=1)  # what changes no result may change


def test_two_processes_do_not_write_into_one_folder(bases, samples, tmp_path):
    options = {"samples": samples, "model_name_or_path": bases["fast_vlm"], "output_dir": tmp_path, **LORA}
    train("sft", **options, max_steps=1)
    with alone_in(tmp_path / "_lock"), pytest.raises(StoppedError, match="another run is at work"):
        train("sft", **options, max_steps=1)


def test_completions_are_sampled_anew_where_a_run_goes_on():
    settings = {"output_dir": "x", "use_cpu": True, "bf16": False, "num_iterations": 2, "report_to": "none"}
    arguments = grpo.GRPOArguments(Path("x"))
    grpo.check(arguments, GRPOConfig(**settings, save_steps=4), ModelConfig(), [])
    with pytest.raises(ValueError, match="every 2 batches, and a checkpoint after 3"):
        grpo.check(arguments, GRPOConfig(**settings, save_steps=3), ModelConfig(), [])
    with pytest.raises(ValueError, match="tower that rests"):
        arguments = grpo.GRPOArguments(Path("x"), cache_features=True, train_vision=True)
        grpo.check(arguments, GRPOConfig(**settings), ModelConfig(), [])


# --- features that are remembered ---


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
def test_remembered_features_are_those_of_the_tower(bases, name):
    """Every picture is seen once, whatever batch it comes in; what comes out is what would have come out."""
    model = AutoModelForImageTextToText.from_pretrained(bases[name]).eval()
    processor = stage.load_processor(str(bases[name]))
    tower = model.model.vision_tower if name == "fast_vlm" else model.model.visual
    torch.manual_seed(0)
    for weight in tower.parameters():  # as they are drawn, a picture's trace is lost on the way
        if weight.ndim > 1:
            torch.nn.init.xavier_normal_(weight, gain=2)
    sizes = [(64, 64)] * 5 if name == "fast_vlm" else [(56, 56), (84, 56), (56, 84), (56, 56), (112, 56)]
    if name == "qwen":
        processor.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    pictures = [Image.effect_noise(size, 60 + 10 * number).convert("RGB") for number, size in enumerate(sizes)]

    def look(*numbers: int) -> list[torch.Tensor]:
        inputs = processor.image_processor([pictures[n] for n in numbers], return_tensors="pt")
        return list(model.model.get_image_features(**inputs, return_dict=True).pooler_output)

    with torch.no_grad():
        alone = [look(n)[0] for n in range(5)]
    assert alone[0].shape == alone[3].shape and not torch.equal(alone[0], alone[3])
    seen = []
    tower.register_forward_hook(lambda module, given, result: seen.append(1))
    grpo.cache_features(model, keep=3)
    for numbers in ((0, 0, 1), (1, 0), (2, 1, 2, 0), (0,)):
        assert all(torch.equal(a, alone[n]) for a, n in zip(look(*numbers), numbers, strict=True))
    assert len(seen) == 2
    look(3), look(0)
    assert len(seen) == 3
    look(1)  # pushed out by the fourth picture, as the least lately seen
    assert len(seen) == 4
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(look(0)[0], alone[0])
    assert torch.equal(look(0)[0], alone[0])
    assert not look(0)[0].requires_grad


def test_remembering_changes_no_step(bases, trained, samples, tmp_path):
    options = {"samples": samples, "model_name_or_path": bases["qwen"], "adapter": trained["qwen", "sft"]}
    plain = train("grpo", **options, output_dir=tmp_path / "plain")
    assert log_of(plain) == log_of(trained["qwen", "grpo"])


# --- configurations ---


@pytest.mark.parametrize("pair", ["embedded", "qwen_lora", "qwen_full"])
def test_the_configurations_fit_each_other(pair):
    """Every setting exists; GRPO begins with what SFT leaves, on samples that it has not seen."""
    before, after = (
        TrlParser((kind, arguments, ModelConfig)).parse_args_and_config(
            ["--config", f"training/configs/{which}_{pair}.yaml", "--use_cpu", "true", "--bf16", "false"]
        )
        for which, kind, arguments in (("sft", sft.SFTArguments, SFTConfig), ("grpo", grpo.GRPOArguments, GRPOConfig))
    )
    (learned, trained, first), (reinforced, training, second) = before, after
    grpo.check(reinforced, training, second, [{"exchanged": []}] if pair == "embedded" else [])
    assert trained.output_dir == (reinforced.adapter or second.model_name_or_path)
    assert learned.samples != reinforced.samples or learned.part[1] <= reinforced.part[0]
    assert reinforced.rewards == ["accuracy", "format", "r_deg", "r_len"]
    assert training.reward_weights == ([2, 1, 1, 1] if pair == "embedded" else [1] * 4)
    assert trained.save_steps % trained.logging_steps == training.save_steps % training.logging_steps == 0
    assert first.use_peft == bool(reinforced.adapter) and not second.use_peft
    if pair != "embedded":  # of the samples that training/README.md makes: a kill costs less than half of the run
        samples, processes = 11000 * learned.part[1], {"qwen_lora": 1, "qwen_full": 8}[pair]
        steps = samples / (trained.per_device_train_batch_size * trained.gradient_accumulation_steps * processes)
        assert trained.warmup_steps < steps / 2 and trained.save_steps <= steps / 2
    if pair == "qwen_full":  # as published
        published = {"beta": 0.04, "epsilon": 0.2, "learning_rate": 1e-6, "num_generations": 8, "temperature": 1.0,
                     "max_completion_length": 2048, "num_train_epochs": 1, "per_device_train_batch_size": 8,
                     "gradient_accumulation_steps": 2, "loss_type": "grpo"}  # fmt: skip
        assert {name: getattr(training, name) for name in published} == published
        assert (learned.part, reinforced.part) == ([0.0, 0.25], [0.25, 1.0])


# --- the card ---


def test_the_card_tells_what_was_run(trained, samples):
    card = ModelCard.load(trained["fast_vlm", "grpo"] / "README.md")
    assert card.data.library_name == "peft" and card.data.base_model is None
    state = json.loads((trained["fast_vlm", "grpo"] / "trainer_state.json").read_text())
    rewards = [line["reward"] for line in state["log_history"] if "reward" in line]
    assert f"| reward | {rewards[0]:.4g} | {rewards[-1]:.4g} |" in card.text
    assert "GRPO, 5 of 5 steps" in card.text and "beta: 0.04" in card.text and "learning_rate: 0.001" in card.text
    digest = hashlib.sha256(b"".join((samples / f"{n}.jsonl").read_bytes() for n in ("samples", "chains")))
    assert digest.hexdigest() in card.text
    assert "hub_token" not in card.text


def test_the_card_survives_a_push(bases, samples, tmp_path, monkeypatch):
    pushed = {}

    class Hub:
        def create_repo(self, name, **options):
            return type("Repo", (), {"repo_id": f"me/{name}"})()

        def upload_folder(self, folder_path, **options):
            pushed.update({path.name: path.read_bytes() for path in Path(folder_path).iterdir() if path.is_file()})
            return Future()

    class Future:
        def done(self):
            return True

    monkeypatch.setattr("transformers.trainer.hf_api", Hub)
    monkeypatch.setenv("HF_TOKEN", "another")
    train(
        "sft", samples=samples, model_name_or_path=bases["fast_vlm"], output_dir=tmp_path / "out", max_steps=1,
        push_to_hub=True, hub_token="hf_secret", **LORA,
    )  # fmt: skip
    assert {"adapter_model.safetensors", "adapter_config.json", "processor_config.json"} <= pushed.keys()
    card = pushed["README.md"].decode()
    assert "SFT, 1 of 1 steps" in card and "sha256 of the data" in card
    assert not [name for name, content in pushed.items() if b"hf_secret" in content]
    assert "training_args.bin" in pushed and os.environ["HF_TOKEN"] == "hf_secret"
