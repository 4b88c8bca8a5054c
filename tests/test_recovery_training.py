"""The stages of recovery: pairs, each stage for a few steps, killed and gone on with; figures; sides that see it."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from degradations import REGISTRY, degrade
from demo.chain import JOINT_PREFACE
from demo.recovery.network import WEIGHTS, load_network
from tests import tiny
from tests.pictures import picture
from tests.recovering import Scripted, network, saved
from tests.test_training_processes import approximately, start
from tests.trainer_runs import log_of, one_thread, train  # noqa: F401  (a fixture)
from training import evaluate, recover_align, recover_measure, recover_release, recover_samples
from training.data import read_chained, read_samples
from training.evaluation import recovered as evaluated
from training.evaluation.rows import Picture
from training.evaluation.sides import Asking, Side
from training.recover_align import AlignArguments, Aligning
from training.recover_decoder import Decoder, DecoderRecovery, channels_of, load_tower
from training.recover_sft import Restoring, quality
from training.recovery import measuring
from training.recovery.load import load_recovery
from training.recovery.pairs import Pairs, Photos
from training.recovery.rewards import load_encoder, semantic, structure
from training.recovery.runs import start_from
from training.sft import SFTArguments, sft_dataset

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {
    "section": 32, "size": 64, "width": 4, "encoders": [1, 1], "decoders": [1, 1], "max_grad_norm": 0.1,
    "per_device_train_batch_size": 4, "max_steps": 4, "save_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Photos of a plain folder, some of whose names fall into each split."""
    folder = tmp_path_factory.mktemp("corpus") / "cat"
    folder.mkdir()
    for number in range(24):
        Image.fromarray(picture(60 + number, 90, number)).save(folder / f"{number}.png")
    return folder.parent


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Path:
    """A few steps of stage I."""
    folder = tmp_path_factory.mktemp("stage")
    return train("recover_sft", **SMALL, corpus=corpus, cache=folder / "cache", output_dir=folder / "one")


# --- pairs ---


def test_a_pair_follows_from_seed_and_number(corpus, tmp_path):
    photos = Photos(corpus, "train", 64, tmp_path)
    assert len(photos) > 10 and max(photos[0].shape) == 64
    one, other = (Pairs(photos, 40, seed, 32, 64).cuts(7, 32, 2)[1] for seed in (0, 1))
    again = Pairs(Photos(corpus, "train", 64, tmp_path), 40, 0, 32, 64).cuts(7, 32, 2)[1]
    assert all(torch.equal(one[key], again[key]) for key in ("degraded", "clean"))
    assert not torch.equal(one["clean"], other["clean"])
    assert one["clean"].shape == (3, 32, 32) and one["clean"].dtype == torch.uint8


def test_a_tenth_stays_clean_and_batches_are_of_one_weight(corpus, tmp_path):
    pairs = Pairs(Photos(corpus, "train", 64, tmp_path), 400, 0, 32, 64, section_share=0.5)
    drawn = [pairs.cuts(number, 32, 1)[0] for number in range(300)]
    clean = sum(torch.equal(pair["degraded"], pair["clean"]) for pair in drawn) / len(drawn)
    assert 0.05 < clean < 0.25  # of those degraded, a few sections show nothing of it
    batches = [pairs.__getitems__(list(range(first, first + 8))) for first in range(0, 160, 8)]
    assert {(len(batch), batch[0]["clean"].shape[-1]) for batch in batches} == {(8, 32), (2, 64)}


def test_photos_are_decoded_once(corpus, tmp_path):
    first = Photos(corpus, "train", 64, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = Photos(corpus, "train", 64, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert np.array_equal(first[3], second[3])
    with pytest.raises(ValueError, match="no picture"):
        Photos(tmp_path, "train", 64, tmp_path)


# --- stage I ---


def test_a_network_learns_to_undo_darkness():
    torch.manual_seed(0)
    clean = np.stack([picture(32, 32, number) for number in range(8)])
    degraded = np.stack([np.asarray(degrade(one, "dark illumination(0.8)", 0)) for one in clean])
    batch = [torch.from_numpy(one.transpose(0, 3, 1, 2).copy()) for one in (degraded, clean)]
    restoring = Restoring(network(), [45.0, 45.0])
    optimizer, gained = torch.optim.AdamW(restoring.parameters(), 2e-3), []
    for _ in range(30):
        found = restoring(*batch)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        gained.append(float(found["figures"]["psnr_gain"]))
    assert gained[-1] > gained[0] + 3


class Added(torch.nn.Module):
    """A network that adds what it is told."""

    def __init__(self, noise: torch.Tensor):
        super().__init__()
        self.noise = torch.nn.Parameter(noise)

    def forward(self, pictures):
        return pictures + self.noise


def test_the_ceiling_rises_with_the_run_and_says_what_counts():
    """At first a clean picture that was harmed weighs less than a degraded one that is bad, at the end much more."""

    def pull(progress: float) -> float:
        torch.manual_seed(0)
        clean = torch.full((2, 3, 8, 8), 128, dtype=torch.uint8)
        degraded = clean.clone()
        degraded[1] -= 60
        restored = Added(torch.randn(2, 3, 8, 8) * 0.003)
        restoring = Restoring(restored, [20.0, 45.0])
        restoring.progress = progress
        restoring(degraded, clean)["loss"].backward()
        harmed, bad = restored.noise.grad.flatten(1).norm(dim=1)
        return float(harmed / bad)

    assert pull(0.0) < 0.1 and pull(1.0) > 5
    assert Restoring(torch.nn.Identity(), [20.0, 45.0]).ceiling == 20
    with pytest.raises(ValueError, match="two numbers of dB"):
        Restoring(torch.nn.Identity(), [20.0])


def test_clean_pictures_do_not_hold_the_network_back():
    """With a ceiling that is high from the start they do: it stays where stage I begins, at leaving all as it is."""

    def gained(ceiling: float) -> float:
        torch.manual_seed(0)
        kinds = ["none"] * 4 + ["dark illumination(0.8)", "scan lines(0.9)"]
        clean = np.stack([picture(32, 32, number) for number in range(6)])
        degraded = np.stack([np.asarray(degrade(one, kind, 0)) for one, kind in zip(clean, kinds, strict=True)])
        batch = [torch.from_numpy(one.transpose(0, 3, 1, 2).copy()) for one in (degraded, clean)]
        restoring = Restoring(start_from(None, width=8, encoders=[1], middle=1, decoders=[1]), [ceiling, ceiling])
        optimizer = torch.optim.AdamW(restoring.parameters(), 1e-3, (0.9, 0.9))
        for _ in range(40):
            found = restoring(*batch)
            optimizer.zero_grad()
            found["loss"].backward()
            torch.nn.utils.clip_grad_norm_(restoring.parameters(), 0.01)
            optimizer.step()
        return float(found["figures"]["psnr_gain"])

    assert gained(20.0) > gained(50.0) + 1


def test_what_is_logged_is_what_the_bars_ask_for():
    clean = torch.rand(3, 3, 8, 8)
    degraded = torch.cat([clean[:1], clean[1:] * 0.5])
    restored = torch.cat([clean[:1] - 1e-4, clean[1:2], degraded[2:]])
    told = {name: float(value) for name, value in quality(restored, degraded, clean).items()}
    before = [-10 * np.log10(float((clean[n] * 0.5).square().mean())) for n in (1, 2)]
    wanted = {"psnr": (80 + before[1]) / 3, "psnr_gain": (40 - before[0]) / 2, "psnr_clean": 40}
    assert told == pytest.approx(wanted, rel=1e-3)
    assert quality(clean, clean, clean).keys() == {"psnr", "psnr_clean"}, "no gain without degraded pictures"


def test_stage_one_leaves_weights_that_load_and_a_card(trained):
    recovery = load_network(trained)
    assert recovery.recover(Image.fromarray(picture(50, 70))).size == (70, 50)
    card = (trained / "README.md").read_text()
    assert "image-to-image" in card and "psnr_gain" in card and "--recovery" in card
    assert (trained / WEIGHTS).stat().st_size < 200_000


def test_a_killed_stage_goes_on_as_if_nothing_had_happened(corpus, tmp_path):
    options = {"corpus": str(corpus), "cache": str(tmp_path / "cache"), **SMALL}
    align = {
        "corpus": str(corpus), "cache": str(tmp_path / "cache"), "start": str(saved(tmp_path / "small")), "size": 64,
        "section": 32, "group": 2, "max_steps": 4, "save_steps": 2, "per_device_train_batch_size": 2,
    }  # fmt: skip
    for stage, run in (("recover_sft", options), ("recover_align", align)):
        whole = train(stage, **run, output_dir=tmp_path / f"{stage}-whole")
        killed = start([run | {"stage": stage, "output_dir": str(tmp_path / stage), "killed_at": 4}])
        output, _ = killed.communicate()
        assert killed.returncode == -signal.SIGKILL, output.decode()
        resumed = train(stage, **run, output_dir=tmp_path / stage)
        assert len(log_of(whole)) == 4 and log_of(resumed)[:3] == approximately(log_of(whole)[:3])
        one, other = (load_file(folder / WEIGHTS) for folder in (whole, resumed))
        assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one)


# --- stage II ---


def aligning(reward_weights=(1.0, 0.2), **options) -> Aligning:
    arguments = AlignArguments(
        corpus=Path(), start=Path(), size=64, section=32, reward_weights=list(reward_weights), **options
    )
    arguments.check()
    made, reference = network(), network()
    return Aligning(made, reference, load_encoder("imagenet"), arguments)


def batch_of(count: int, size: int = 64) -> dict[str, torch.Tensor]:
    clean = np.stack([picture(size, size, number) for number in range(count)])
    degraded = np.stack([np.asarray(degrade(one, "noise(0.4), darkness(0.5)", 0)) for one in clean])
    both = {"degraded": degraded, "clean": clean}
    return {name: torch.from_numpy(one.transpose(0, 3, 1, 2).copy()) for name, one in both.items()}


def test_rewards_in_their_published_form():
    assert semantic(torch.tensor([1.0, 0.8])).tolist() == pytest.approx([1.0, float(np.exp(-1))])
    clean, other = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    whole, local = structure(other, clean, None), structure(other, clean, 32)
    assert whole.shape == (2, 1, 1) and local.shape == (2, 2, 2)
    assert torch.allclose(whole.flatten(), local.mean((1, 2)), atol=0.02)
    assert structure(clean, clean, 32).min() > 0.999


def test_the_policys_gradient_points_where_the_rewards_grow(monkeypatch):
    """Over many samples the estimate is the gradient of the reward, here a cheap one that depends on blocks alone."""
    torch.manual_seed(0)

    def near(self, pictures, clean, meant, region):
        blocks = [torch.nn.functional.avg_pool2d(one, 8) for one in (pictures, clean.to(pictures))]
        earned = -(blocks[0] - blocks[1]).square().mean((1, 2, 3))
        return earned[:, None, None], torch.zeros(len(pictures))

    monkeypatch.setattr(Aligning, "_rewards", near)
    batch = batch_of(1)

    def gradient(**options) -> torch.Tensor:
        model = aligning(beta=0.0, block=8, **options)
        with torch.no_grad():
            model.network.ending.weight.mul_(0.1)  # nothing is clipped
        model(**batch)["loss"].backward()
        return torch.cat([weight.grad.flatten() for weight in model.network.ending.parameters()])

    sampled, direct = gradient(group=2048, credit="picture", spread=0.005), gradient(method="ascent")
    assert torch.nn.functional.cosine_similarity(sampled, direct, dim=0) > 0.8


@pytest.mark.parametrize("method", ["policy", "ascent"])
def test_alignment_raises_the_reward_it_is_told_to(method):
    torch.manual_seed(0)
    batch, model = batch_of(1), aligning((1.0, 0.0), beta=0.0, group=8, method=method)
    optimizer, earned = torch.optim.AdamW(model.network.parameters(), 2e-3), []
    for _ in range(10):
        found = model(**batch)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        earned.append(float(found["figures"]["reward_ssim"].detach()))
    assert earned[-1] > earned[0] + 0.005
    assert list(model.state_dict()) == [f"network.{key}" for key in model.network.state_dict()], "the rest rests"


def test_the_divergence_is_that_of_the_two_policies():
    model = aligning(beta=1.0)
    batch = batch_of(1)
    assert model(**batch)["figures"]["divergence"] == 0
    with torch.no_grad():
        model.network.ending.bias += 0.01
    options = model.arguments
    blocks = 3 * (recover_align.REGION // options.block) ** 2
    wanted = blocks * 0.01**2 / (2 * options.spread**2)
    assert float(model(**batch)["figures"]["divergence"].detach()) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group": 3}, "even"),
        ({"reward_weights": [0, 0]}, "not both 0"),
        ({"size": 50}, "multiple"),
        ({"start": None}, "stage I"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        AlignArguments(**{"corpus": Path(), "start": Path()} | options).check()


# --- the decoder ---


def test_a_decoder_of_the_tower_is_trained_and_recovers(corpus, tmp_path):
    base = tiny.fast_vlm(tmp_path / "base", tower=1.0)
    gates_open(base)
    run = {key: SMALL[key] for key in ("per_device_train_batch_size", "max_grad_norm", "save_steps")}
    out = train(
        "recover_decoder", **run, corpus=corpus, cache=tmp_path / "cache", base=base, size=64, section=32,
        levels=[32, 4], max_steps=2, output_dir=tmp_path / "decoder",
    )  # fmt: skip
    recovery = load_recovery(out)
    assert isinstance(recovery, DecoderRecovery) and set(recovery.decoder.lateral) == {"32", "4"}
    assert recovery.recover(Image.fromarray(picture(300, 200))).size == (200, 300)
    seen = load_tower(str(base))
    assert channels_of(seen, [32, 16, 8, 4, 2]).keys() == {32, 16, 8, 4, 2}
    with pytest.raises(ValueError, match="the first among them"):
        Decoder({4: 24})


def gates_open(folder: Path) -> None:
    """As the embedded base has them: at 1."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder)
    for name, weight in model.model.vision_tower.named_parameters():
        if "squeeze_excite" in name:
            torch.nn.init.constant_(weight, 20.0 if name.endswith("expand.bias") else 0.0)
    model.save_pretrained(folder)


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


def test_a_recovery_is_measured_by_type_and_strength_and_held_against_the_bars(corpus, trained, tmp_path, monkeypatch):
    """Of a scripted recovery that undoes darkness alone, everything is known."""

    def brighten(image):
        factor = 1 - 0.9**2
        return Image.fromarray(np.clip(np.asarray(image) / factor, 0, 255).astype(np.uint8))

    monkeypatch.setattr(measuring, "load_recovery", lambda source: Scripted(brighten, steps=0))
    words = ["recover_measure", "one=x", "--corpus", str(corpus), "--output", str(tmp_path / "out"), "--size", "64",
             "--limit", "2", "--types", "dark illumination", "gaussian noise", "--workers", "1"]  # fmt: skip
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


def test_of_a_few_photos_every_source_has_its_share(corpus):
    photos = measuring.chosen_photos(corpus, "train", None)
    few = measuring.chosen_photos(corpus, "train", 3)
    assert [few[0], few[-1]] == [photos[0], photos[-1]]
    assert abs(photos.index(few[1]) - (len(photos) - 1) / 2) <= 0.5
    assert measuring.chosen_photos(corpus, "train", 99) == photos


def test_processes_measure_what_one_measures(corpus, trained, tmp_path):
    photos = measuring.chosen_photos(corpus, "validation", 2)
    options = {"size": 64, "types": ["scan lines"], "encoder": "imagenet"}
    one, two = (
        measuring.measure_all({"net": str(trained)}, photos, tmp_path / f"{workers}.jsonl", workers=workers, **options)
        for workers in (1, 2)
    )
    assert [row["key"] for row in one] == [row["key"] for row in two] and len(one) == 2 * 4
    for mine, other in zip(one, two, strict=True):
        assert mine["after"] == pytest.approx(other["after"], abs=1e-3) and mine["before"] != mine["after"]


def test_all_types_are_measured_by_default():
    assert recover_measure.check({}) == []
    assert set(recover_measure.TYPE_BARS) <= set(REGISTRY)


def test_a_recovery_is_released_with_its_figures(trained, corpus, tmp_path, monkeypatch):
    adapter = tiny.adapter(tiny.fast_vlm(tmp_path / "base"), tmp_path / "adapter")
    (adapter / "run.json").write_text('{"stage": "SFT", "samples": "/home/anna/data/recovered"}')
    words = ["recover_measure", f"net={trained}", "--corpus", str(corpus), "--output", str(tmp_path / "out"),
             "--size", "64", "--limit", "1", "--types", "gaussian noise", "--workers", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    assert recover_measure.main() == 0
    recover_release.release(trained, adapter, tmp_path / "out/recovery.json", tmp_path / "released")
    card = (tmp_path / "released/README.md").read_text()
    assert "second network" in card and "PSNR gain at 100 %, gaussian noise" in card and "Stage II**: none." in card
    assert '"samples": "recovered"' in card and str(tmp_path) not in card and "/home" not in card
    assert load_network(tmp_path / "released").digest == load_network(trained).digest
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
