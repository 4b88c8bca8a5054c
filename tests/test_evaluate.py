"""Stored answers and results: on tiny models, every command as it is typed."""

import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from degradations import Recipe, degrade
from degradations.jobs import read_table
from demo.checkpoints import Checkpoint, load
from demo.settings import Spec
from tests import tiny
from tests.pictures import picture
from training import evaluate
from training.chains import write_chain
from training.data import read_picture, read_samples
from training.evaluation import answers, length, local, measuring, shards
from training.evaluation.answers import answer_all
from training.evaluation.local import fingerprint
from training.evaluation.said import Reply
from training.evaluation.shards import Shard, gather
from training.evaluation.sides import Asking, Side
from training.evaluation.targets import check

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
        generate = local.generate

        def count(checkpoint, pictures, *asked_so):
            asked.update(Path(own[0].path).parent.name for own in pictures)
            return generate(checkpoint, pictures, *asked_so)

        options = ["--max-new-tokens", "5", "--output", str(tmp_path / output), *map(str, words)]
        with monkeypatch.context() as patch:
            patch.setattr(local, "generate", count)
            patch.setattr(sys, "argv", ["evaluate", *options])
            status = evaluate.main()
        file = tmp_path / output / "answers.jsonl"
        return status, [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [], asked

    return run


def timeless(results: dict) -> str:
    """Results but for the seconds that answers took, as JSON."""
    for found in results["sets"].values():
        for own in [*found["sides"].values(), *found["differences"].values()]:
            own.pop(length.SECONDS, None)
    return json.dumps(results)


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


def test_drawn_answers_do_not_follow_from_their_batch(base, adapters, sets, ask):
    model, samples = f"{base}+{adapters[0]}", ("--samples", sets / "mixed")
    _, stored, asked = ask("--side", f"greedy={model}", "--side", f"drawn={model},temperature=2.5", *samples)
    assert asked == {"clean": 6, "degraded": 4} and said(stored, "drawn") != said(stored, "greedy")
    one_by_one = ask("--side", f"drawn={model},temperature=2.5", *samples, "--batch-size", "1", output="again")[1]
    assert said(one_by_one, "drawn") == said(stored, "drawn")
    cooler = ask("--side", f"drawn={model},temperature=1e-06", *samples, output="cooler")[1]
    assert said(cooler, "drawn") == said(stored, "greedy")


def test_nothing_is_asked_twice(base, adapters, sets, ask, tmp_path, capsys):
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
    # Another prompt, which the baseline is not asked with, makes another side of this name.
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} In tags.")
    status, _, asked = ask(*first, "--prompt-file", prompt)
    assert (status, asked) == (2, {})
    assert "holds answers of another robust: its prompt, budgets or settings changed" in capsys.readouterr().err
    assert ask(*first, "--prompt-file", prompt, "--renew")[2] == {"clean": 3, "degraded": 2}
    assert ask(*first)[0] == 2 and ask(*first, "--renew")[2] == {}
    # What a kill leaves: a line that was cut off.
    file = tmp_path / "evaluation" / "answers.jsonl"
    file.write_bytes(b"".join(line.encode() + b"\n" for line in file.read_text().splitlines()[:9])[:-30])
    assert sum(ask(*first)[2].values()) == 2
    again = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    assert timeless(again) == timeless(results)


def test_a_trained_adapter_and_a_changed_picture_are_refused_or_asked_anew(base, adapters, sets, ask, tmp_path, capsys):
    adapter, samples = tmp_path / "adapter", tmp_path / "mixed"
    for source, target in ((adapters[0], adapter), (sets / "mixed", samples)):
        for path in source.rglob("*"):
            if path.is_file():
                (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                (target / path.relative_to(source)).write_bytes(path.read_bytes())
    words = ["--side", f"robust={base}+{adapter}", "--samples", samples]
    assert sum(ask(*words)[2].values()) == 5
    read_picture(samples / "clean" / "2.png").rotate(90).save(samples / "clean" / "2.png")
    assert ask(*words)[0] == 2
    assert "holds answers to another mixed: question or picture 2 (clean) changed" in capsys.readouterr().err
    words.append("--renew")
    assert ask(*words)[2] == {"clean": 1}
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))
    assert sum(ask(*words)[2].values()) == 5
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weight * 1.01 for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    assert ask(*words[:-1])[0] == 2 and "its weights changed" in capsys.readouterr().err
    assert sum(ask(*words)[2].values()) == 5


def test_stored_answers_are_measured_again_without_models_and_pictures(base, adapters, sets, ask, tmp_path, capsys):
    samples, model = tmp_path / "mixed", tmp_path / "model"
    shutil.copytree(sets / "mixed", samples)
    shutil.copytree(base, model)
    words = ["--side", f"baseline={model}", "--side", f"robust={model}+{adapters[0]}", "--samples", samples]
    assert ask(*words)[0] == 0
    folder = tmp_path / "evaluation"
    before = (folder / "results.json").read_text()
    (folder / "results.json").unlink()
    shutil.rmtree(samples)
    shutil.rmtree(model)
    status, stored, asked = ask("--rescore")
    assert (status, asked) == (0, {}) and (folder / "results.json").read_text() == before
    assert all(set(one) >= {"prompt", "text", "seconds", "tokens", "key"} for one in stored)
    assert stored[-1]["chain"].keys() == {"types", "answer", "complete"}
    hashes = json.loads(before)["hashes"]
    assert set(hashes["sides"]) == {"baseline", "robust"} and len(hashes["sets"]["mixed"]) == 64
    assert hashes["sides"]["robust"]["weights"] != hashes["sides"]["baseline"]["weights"]
    # The first one is about the undegraded picture, in both of its states.
    (folder / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in stored[1:]))
    assert ask("--rescore")[0] == 2 and "lacks 2 answers of the last run" in capsys.readouterr().err
    assert ask("--rescore", output="nothing")[0] == 2 and "holds no finished evaluation" in capsys.readouterr().err


def test_a_run_that_ends_early_is_not_measured_with_the_results_of_the_one_before(
    base, adapters, sets, ask, monkeypatch, capsys
):
    words = ["--side", f"baseline={base}", "--samples", sets / "mixed"]
    assert ask(*words)[0] == 0

    def fail(*_):
        raise ValueError("no speed")

    monkeypatch.setattr(evaluate, "measure_speed", fail)
    more = ["--side", f"robust={base}+{adapters[0]}", "--speed"]
    assert ask(*words, *more)[0] == 2 and "no speed" in capsys.readouterr().err
    assert ask("--rescore")[0] == 2 and "did not come to its end" in capsys.readouterr().err


def test_a_sets_hash_follows_from_its_answers_too(base, sets, ask, tmp_path):
    samples = tmp_path / "mixed"
    shutil.copytree(sets / "mixed", samples)
    words = ["--side", f"baseline={base}", "--samples", samples]

    def told() -> str:
        assert ask(*words)[0] == 0
        return json.loads((tmp_path / "evaluation" / "results.json").read_text())["hashes"]["sets"]["mixed"]

    before, table = told(), samples / "samples.jsonl"
    assert told() == before
    table.write_text(
        table.read_text().replace('"answer": "cat", "answer_index": 1', '"answer": "hat", "answer_index": 0')
    )
    assert told() != before


class Together(Shard):
    """A process that is a thread."""

    def __init__(self, rank: int, barrier: threading.Barrier):
        super().__init__(rank, barrier.parties)
        object.__setattr__(self, "barrier", barrier)

    def wait(self) -> None:
        self.barrier.wait(900)


def test_shards_together_write_what_one_process_writes(base, adapters, sets, tmp_path, monkeypatch):
    sides = [Side("baseline", str(base), None, False), Side("robust", str(base), str(adapters[0]), True)]
    rows = {name: read_samples(sets / name) for name in ("mixed", "copies")}
    asking = Asking("{question} In tags.", 4, Spec("x", "", ""), batch_size=3)
    alone = answer_all(sides, rows, made(tmp_path / "one"), asking)
    barrier, found, lock = threading.Barrier(2), {}, threading.Lock()

    def one_at_a_time(function: Callable) -> Callable:  # loading is not meant for threads
        def locked(*arguments):
            with lock:
                return function(*arguments)

        return locked

    monkeypatch.setattr(local.checkpoints, "load", one_at_a_time(local.checkpoints.load))
    monkeypatch.setattr(Checkpoint, "add_adapter", one_at_a_time(Checkpoint.add_adapter))

    def work(rank: int) -> None:
        found[rank] = answer_all(sides, rows, made(tmp_path / "two"), asking, shard=Together(rank, barrier))

    (tmp_path / "two").mkdir()
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def texts(replies: dict) -> dict:
        return {
            place: {state: [reply.text for reply in own] for state, own in states.items()}
            for place, states in replies.items()
        }

    assert texts(found[0]) == texts(found[1]) == texts(alone)
    one, two = (
        {row["key"]: row["text"] for row in map(json.loads, made(tmp_path / name).read_text().splitlines())}
        for name in ("one", "two")
    )
    assert one == two and not list((tmp_path / "two").glob("answers.*.jsonl"))


def test_a_process_that_is_slow_to_read_asks_its_own_share(sets, tmp_path, monkeypatch):
    """Were the other one's answers for the next side known to it already, its batches would be others."""
    rows, asked = {"mixed": read_samples(sets / "mixed")}, []
    sides = [Side("one", "x", None, False), Side("two", "x", None, True)]
    asking = Asking("{question} In tags.", 4, Spec("x", "", ""), batch_size=1)

    def generate(checkpoint, pictures, prompts, *_):
        asked.append((prompts[0], tuple(pictures[0])))
        return [Reply(prompts[0], 1)]

    def slowly(table: Path):
        if threading.current_thread().name == "1" and table.name == "answers.0.jsonl":
            time.sleep(0.5)
        return read_table(table)

    monkeypatch.setattr(local, "find", lambda side: None)
    checkpoint = SimpleNamespace(model=None)
    monkeypatch.setattr(local, "loaded", lambda sides, spec: ((checkpoint, side, None) for side in sides))
    monkeypatch.setattr(local, "fingerprint", lambda checkpoint, adapter, template, asking: template)
    monkeypatch.setattr(answers, "weights_hash", lambda *_: "")
    monkeypatch.setattr(local, "speaking", lambda *_: nullcontext())
    monkeypatch.setattr(local, "generate", generate)
    monkeypatch.setattr(answers, "read_table", slowly)
    barrier, found, file = threading.Barrier(2), {}, made(tmp_path / "two")

    def work(rank: int) -> None:
        try:
            found[rank] = answer_all(sides, rows, file, asking, shard=Together(rank, barrier))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=work, args=(rank,), name=str(rank)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] and len(asked) == len(set(asked)) == 10


def test_processes_wait_for_each_other_as_long_as_it_takes(monkeypatch):
    """Not the ten minutes after which a process group gives up by itself."""
    told = {}

    def state(**options):
        told.update(options)
        return SimpleNamespace(process_index=1, num_processes=2, device="cpu")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(shards, "PartialState", state)
    monkeypatch.setattr(shards.torch.cuda, "is_available", lambda: False)
    assert shards.this_process() == Shard(1, 2) and told["timeout"] > timedelta(days=1)


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / "answers.jsonl"


def test_what_a_killed_process_has_written_is_not_lost(tmp_path):
    table = tmp_path / "answers.jsonl"
    table.write_text('{"key": "a"}\n{"key": "b"}\n')
    (tmp_path / "answers.0.jsonl").write_text('{"key": "b"}\n{"key": "c"}\n')
    (tmp_path / "answers.1.jsonl").write_text('{"key": "d"}\n{"key": "e')
    gather(table)
    assert [json.loads(line)["key"] for line in table.read_text().splitlines()] == ["a", "b", "c", "d"]
    assert list(tmp_path.glob("answers.*.jsonl")) == []


def test_a_fingerprint_is_the_same_beside_other_adapters(base, adapters):
    asking = Asking("{question}", 5, Spec("x", "", ""))
    checkpoint = load(str(base), asking.spec)
    plain = fingerprint(checkpoint, None, "{question}", asking)
    checkpoint.add_adapter(str(adapters[0]), "one")
    alone = fingerprint(checkpoint, "one", "{question}", asking)
    checkpoint.add_adapter(str(adapters[1]), "two")
    assert fingerprint(checkpoint, None, "{question}", asking) == plain
    assert fingerprint(checkpoint, "one", "{question}", asking) == alone
    others = [
        fingerprint(checkpoint, "two", "{question}", asking),
        fingerprint(checkpoint, "one", "{question}?", asking),
    ]
    with torch.no_grad():
        next(weight for name, weight in checkpoint.base.named_parameters() if "vision" in name).add_(0.1)
    others.append(fingerprint(checkpoint, "one", "{question}", asking))
    checkpoint.base.generation_config.repetition_penalty = 1.3
    others.append(fingerprint(checkpoint, "one", "{question}", asking))
    checkpoint.processor.chat_template += " "
    others.append(fingerprint(checkpoint, "one", "{question}", asking))
    assert len({plain, alone, *others}) == 7


def test_one_checkpoints_weights_are_let_go_before_the_next_ones_come(monkeypatch):
    """Whoever asks still holds the last one then."""
    held = []

    def load(name: str, spec: Spec):
        assert not any(checkpoint.model for checkpoint in held)
        held.append(SimpleNamespace(name=name, model=object()))
        return held[-1]

    monkeypatch.setattr(local.checkpoints, "load", load)
    sides = [Side(name, name.upper(), None, False) for name in ("a", "b", "c")]
    assert [(checkpoint.name, bool(checkpoint.model)) for checkpoint, _, _ in local.loaded(sides, None)] == [
        ("A", True), ("B", True), ("C", True),
    ]  # fmt: skip
    assert held[-1].model  # the last one is its holder's, as in a bridge


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
    rows = read_samples(sets / "mixed")
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
    assert written[length.HEAVY_TOKENS]["value"] is None and written[length.MILD_TOKENS]["value"] > 20
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
    monkeypatch.setattr(measuring, "SMALLEST_GROUP", 2)
    assert measuring._groups(["a", "b", "b", "c", "c", "c"]) == {"c": [3, 4, 5], "b": [1, 2]}
    assert measuring._groups(["a", "a"]) == {}
    rows = [
        {"id": n, "image": "", "clean": "x", "recipe": "none", "options": ["cat", "dog"], "answer": "cat"}
        | {"kind": kind, "source": "s", "made_of": [], "answer_index": 0}
        for n, kind in enumerate(("object", "garment", "object", "garment"))
    ]
    replies = {("b", "v"): {"clean": [Reply(text, 1) for text in ("cat", "dog", "cat", "cat")]}}
    found = measuring.measure([Side("b", "x", None, False)], {"v": rows}, replies)["v"]
    assert found["by source"] == {} and list(found["by kind"]) == ["object", "garment"]
    told = {kind: own["sides"]["b"]["accuracy, clean"]["value"] for kind, own in found["by kind"].items()}
    assert told == {"object": 1.0, "garment": 0.5}


def test_what_ships_is_measured_offline(monkeypatch, tmp_path):
    """The embedded pair on the examples, by the command of the documentation."""
    command = "python -m training.evaluate --preset embedded --set examples --output runs/examples"
    assert command in Path("training/README.md").read_text()
    words = command.replace("runs/examples", str(tmp_path)).split()[2:]
    monkeypatch.setattr(sys, "argv", [*words, "--limit", "2", "--max-new-tokens", "12", "--levels", "clean,100"])
    assert evaluate.main() == 0
    text = (tmp_path / "results.md").read_text()
    assert "## examples: 2 questions on 2 photos" in text and "## Right answers by strength" in text
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "intensity.png", "types.png", "tokens.png", "calibration.png",
    }  # fmt: skip
