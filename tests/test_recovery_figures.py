"""Recovered pictures in samples and in stage III; figures of recoveries; sides that see recovered pictures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from degradations import REGISTRY
from demo.chain import JOINT_PREFACE
from demo.recovery.network import load_network
from tests import tiny
from tests.recovering import Scripted, saved
from tests.trainer_runs import log_of, one_thread, train  # noqa: F401  (a fixture)
from training import evaluate, recover_measure, recover_release, recover_samples
from training.data import read_chained, read_samples
from training.evaluation import recovered as evaluated
from training.evaluation.rows import Picture
from training.evaluation.sides import Asking, Side
from training.recovery import measuring
from training.sft import SFTArguments, sft_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

# --- stage III ---


@pytest.fixture(scope="module")
def recovered(tmp_path_factory) -> Path:
    """Samples with recovered pictures."""
    folder = tmp_path_factory.mktemp("recovered")
    samples = tiny.samples(folder / "samples", 6)
    recover_samples.recover_samples(samples, folder / "out", str(saved(folder / "network")), workers=1)
    return folder / "out"


def test_samples_get_recovered_pictures_beside_the_degraded_ones(recovered):
    rows = read_chained(recovered)
    recovery = load_network(recovered.parent / "network")
    assert len(rows) == 6
    for row in rows:
        degraded = Image.open(row["image"]).convert("RGB")
        assert np.array_equal(Image.open(row["recovered"]), recovery.recover(degraded))
    written = (recovered / "recovered/000003.png").stat().st_mtime_ns
    recover_samples.recover_samples(recovered.parent / "samples", recovered, str(recovered.parent / "network"))
    assert (recovered / "recovered/000003.png").stat().st_mtime_ns == written


def test_a_model_is_taught_with_both_pictures(recovered, tmp_path):
    arguments = SFTArguments(samples=recovered, sees="both")
    rows = arguments.read()
    dataset = sft_dataset(rows, arguments)
    images = dataset[1]["images"]
    assert [np.array_equal(one, Image.open(path)) for one, path in zip(
        images, (rows[1]["image"], rows[1]["recovered"]), strict=True)] == [True, True]  # fmt: skip
    content = dataset[1]["prompt"][0]["content"]
    assert [part["type"] for part in content] == ["image", "image", "text"]
    assert content[-1]["text"].startswith(JOINT_PREFACE)
    assert SFTArguments(samples=recovered, sees="recovered").pictures(rows[0]) == [rows[0]["recovered"]]
    with pytest.raises(ValueError, match=r"training\.recover_samples"):
        SFTArguments(samples=recovered.parent / "samples", sees="both").read()


def test_an_adapter_goes_on_from_one_that_knows_the_chain(recovered, tmp_path):
    base = tiny.fast_vlm(tmp_path / "base")
    before = tiny.adapter(base, tmp_path / "adapter")
    out = train(
        "sft", samples=recovered, sees="both", model_name_or_path=base, adapter=before, max_steps=2,
        output_dir=tmp_path / "out",
    )  # fmt: skip
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (before, out))
    assert one.keys() == other.keys() and any(not torch.equal(one[key], other[key]) for key in one)
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 4


# --- figures ---


def test_a_recovery_is_measured_by_type_and_strength_and_held_against_the_bars(
    recovery_photos, recovery_network, tmp_path, monkeypatch
):
    """Of a scripted recovery that undoes darkness alone, everything is known."""

    def brighten(image):
        factor = 1 - 0.9**2
        return Image.fromarray(np.clip(np.asarray(image) / factor, 0, 255).astype(np.uint8))

    monkeypatch.setattr(measuring, "load_recovery", lambda source: Scripted(brighten, steps=0))
    words = ["recover_measure", "one=x", "--corpus", str(recovery_photos), "--output", str(tmp_path / "out"),
             "--size", "64", "--limit", "2", "--types", "dark illumination", "gaussian noise",
             "--workers", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    assert recover_measure.main() == 0
    results = json.loads((tmp_path / "out/recovery.json").read_text())
    figures = results["figures"]["one"]
    assert figures["100 %, dark illumination"]["psnr gain"]["value"] > 10
    assert figures["25 %, dark illumination"]["psnr gain"]["value"] < 0, "losses are told"
    bars = {one["name"]: one for one in results["bars"]}
    assert bars["PSNR gain at 100 %, dark illumination"]["reached"]
    assert not bars["dB that clean photos lose"]["reached"] and bars["dB that clean photos lose"]["found"]["value"] > 10
    assert "PSNR gain at 100 %, scan lines" not in bars and "megabytes" not in bars
    assert 0 < bars["seconds a picture"]["found"]["value"] < 1
    rows = (tmp_path / "out/measures.jsonl").read_text().splitlines()
    assert len(rows) == 2 * (1 + 2 * 3)
    assert (tmp_path / "out/gains.png").exists() and len(list((tmp_path / "out/pictures").iterdir())) == 8
    (tmp_path / "out/measures.jsonl").write_text("\n".join(rows[:5]) + '\n{"key": "to')
    assert recover_measure.main() == 0
    assert len((tmp_path / "out/measures.jsonl").read_text().splitlines()) == len(rows)
    monkeypatch.setattr(sys, "argv", [*words[:2], "other=y", *words[2:]])
    monkeypatch.setattr(
        measuring,
        "load_recovery",
        lambda source: Scripted(brighten if source == "x" else lambda image: image, steps=0),
    )
    assert recover_measure.main() == 0
    (gap,) = json.loads((tmp_path / "out/recovery.json").read_text())["differences"].values()
    assert gap["clean"]["psnr"]["high"] < -10, "the other one leaves clean photos alone"


def test_of_a_few_photos_every_source_has_its_share(recovery_photos):
    photos = measuring.chosen_photos(recovery_photos, "train", None)
    few = measuring.chosen_photos(recovery_photos, "train", 3)
    assert [few[0], few[-1]] == [photos[0], photos[-1]]
    assert abs(photos.index(few[1]) - (len(photos) - 1) / 2) <= 0.5
    assert measuring.chosen_photos(recovery_photos, "train", 99) == photos


def test_processes_measure_what_one_measures(recovery_photos, recovery_network, tmp_path):
    photos = measuring.chosen_photos(recovery_photos, "validation", 2)
    options = {"size": 64, "types": ["scan lines"], "encoder": "imagenet"}
    one, two = (
        measuring.measure_all(
            {"net": str(recovery_network)}, photos, tmp_path / f"{workers}.jsonl", workers=workers, **options
        )
        for workers in (1, 2)
    )
    assert [row["key"] for row in one] == [row["key"] for row in two] and len(one) == 2 * 4
    for mine, other in zip(one, two, strict=True):
        assert mine["after"] == pytest.approx(other["after"], abs=1e-3) and mine["before"] != mine["after"]


def test_all_types_are_measured_by_default():
    assert recover_measure.check({}) == []
    assert set(recover_measure.TYPE_BARS) <= set(REGISTRY)


def test_a_recovery_is_released_with_its_figures(recovery_network, recovery_photos, tmp_path, monkeypatch):
    adapter = tiny.adapter(tiny.fast_vlm(tmp_path / "base"), tmp_path / "adapter")
    (adapter / "run.json").write_text('{"stage": "SFT", "samples": "/home/anna/data/recovered"}')
    words = ["recover_measure", f"net={recovery_network}", "--corpus", str(recovery_photos),
             "--output", str(tmp_path / "out"), "--size", "64", "--limit", "1", "--types", "gaussian noise",
             "--workers", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    assert recover_measure.main() == 0
    recover_release.release(recovery_network, adapter, tmp_path / "out/recovery.json", tmp_path / "released")
    card = (tmp_path / "released/README.md").read_text()
    assert "second network" in card and "PSNR gain at 100 %, gaussian noise" in card and "Stage II**: none." in card
    assert '"samples": "recovered"' in card and str(tmp_path) not in card and "/home" not in card
    assert load_network(tmp_path / "released").digest == load_network(recovery_network).digest
    assert (tmp_path / "released/adapter/prompt.txt").read_text().startswith(JOINT_PREFACE)
    assert "| megabytes | 0.0" in card
    with pytest.raises(ValueError, match="measure that one"):
        recover_release.release(saved(tmp_path / "else"), None, tmp_path / "out/recovery.json", tmp_path / "other")


# --- sides ---


def test_a_side_says_what_it_sees():
    side = Side.parse("both=base+adapter,sees=both:chain")
    assert (side.adapter, side.sees, side.chain) == ("adapter", "both", True)
    assert str(Side.parse(str(side))) == str(side)
    assert Side.parse("x=m,sees=recovered@http://h/v1:letters").sees == "recovered"
    assert str(Side.parse("plain=base")) == "plain=base:direct"
    with pytest.raises(ValueError, match="sees=recovered"):
        Side.parse("x=m,sees=nothing")
    asking = Asking("{question}!", 5, None)
    row = {"question": "What?", "options": []}
    assert asking.prompt(side, row) == JOINT_PREFACE + "What?!"
    assert asking.template_of(side) == JOINT_PREFACE + "{question}!"


def test_rows_degraded_recovered_and_both(tmp_path, monkeypatch):
    """All three of one model, their pictures, the figures of the recovery and the plot."""
    base = tiny.fast_vlm(tmp_path / "base")
    adapter = tiny.adapter(base, tmp_path / "adapter")
    samples = tiny.samples(tmp_path / "samples", 12)
    source = saved(tmp_path / "network")
    words = ["evaluate", "--samples", str(samples), "--output", str(tmp_path / "out"), "--max-new-tokens", "3"]
    for name, sees in (("degraded", "given"), ("recovered", "recovered"), ("both", "both")):
        words += ["--side", f"{name}={base}+{adapter},sees={sees}"]
    monkeypatch.setattr(sys, "argv", words)
    assert evaluate.main() == 2, "nothing recovers"
    monkeypatch.setattr(sys, "argv", [*words, "--recovery", str(source)])
    assert evaluate.main() == 0
    results = json.loads((tmp_path / "out/results.json").read_text())
    (own,) = results["recovery"].values()
    assert own["clean"]["figures"]["psnr before"]["value"] == 40 > own["clean"]["figures"]["psnr after"]["value"]
    parts = own["degraded"]["by gain"]
    assert set(parts[0]["sides"]) == {"degraded", "recovered", "both"}
    assert sum(part["count"] for part in parts) == 8, "questions with options"
    assert "recovered pictures against clean ones" in (tmp_path / "out/results.md").read_text()
    assert (tmp_path / "out/plots/recovery-samples.png").exists()
    rows = read_samples(samples)
    recoverer = evaluated.Recoverer(load_network(source), tmp_path / "out")
    given = Picture(rows[1]["image"])
    first, second = (one.read() for one in evaluated.seen("both", [given], recoverer))
    assert np.array_equal(first, given.read()) and np.array_equal(second, recoverer.recovery.recover(given.read()))
    assert len(list((tmp_path / "out/recovered").iterdir())) == 24
    prompts = {
        row["side"]: row["prompt"] for row in map(json.loads, (tmp_path / "out/answers.jsonl").read_text().splitlines())
    }
    assert prompts["both"] == JOINT_PREFACE + prompts["recovered"] and prompts["degraded"] == prompts["recovered"]
    monkeypatch.setattr(sys, "argv", ["evaluate", "--output", str(tmp_path / "out"), "--rescore"])
    assert evaluate.main() == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["recovery"] == results["recovery"]


def test_what_was_asked_before_recovery_was_known_stays_asked(tmp_path):
    """A side that sees what it is given has the key that it always had."""
    side = Side("a", "base", None, False)
    assert side.sees == evaluated.GIVEN and evaluated.seen(side.sees, ["x", "y"], None) == ["x", "y"]
