"""The stages of recovery: pairs, stages I and II and the decoder for a few steps, killed and gone on with."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from degradations import degrade
from demo.recovery.network import WEIGHTS, load_network
from tests import tiny
from tests.pictures import picture
from tests.recovering import network, saved
from tests.recovery_runs import SMALL
from tests.test_training_processes import approximately, start
from tests.trainer_runs import log_of, one_thread, train  # noqa: F401  (a fixture)
from training import recover_align
from training.recover_align import AlignArguments, Aligning
from training.recover_decoder import Decoder, DecoderRecovery, channels_of, load_tower
from training.recover_sft import Restoring, quality
from training.recovery.load import load_recovery
from training.recovery.pairs import Pairs, Photos
from training.recovery.rewards import load_encoder, semantic, structure
from training.recovery.runs import start_from

pytestmark = pytest.mark.usefixtures("one_thread")
# --- pairs ---


def test_a_pair_follows_from_seed_and_number(recovery_photos, tmp_path):
    photos = Photos(recovery_photos, "train", 64, tmp_path)
    assert len(photos) > 10 and max(photos[0].shape) == 64
    one, other = (Pairs(photos, 40, seed, 32, 64).cuts(7, 32, 2)[1] for seed in (0, 1))
    again = Pairs(Photos(recovery_photos, "train", 64, tmp_path), 40, 0, 32, 64).cuts(7, 32, 2)[1]
    assert all(torch.equal(one[key], again[key]) for key in ("degraded", "clean"))
    assert not torch.equal(one["clean"], other["clean"])
    assert one["clean"].shape == (3, 32, 32) and one["clean"].dtype == torch.uint8


def test_a_tenth_stays_clean_and_batches_are_of_one_weight(recovery_photos, tmp_path):
    pairs = Pairs(Photos(recovery_photos, "train", 64, tmp_path), 400, 0, 32, 64, section_share=0.5)
    drawn = [pairs.cuts(number, 32, 1)[0] for number in range(300)]
    clean = sum(torch.equal(pair["degraded"], pair["clean"]) for pair in drawn) / len(drawn)
    assert 0.05 < clean < 0.25  # of those degraded, a few sections show nothing of it
    batches = [pairs.__getitems__(list(range(first, first + 8))) for first in range(0, 160, 8)]
    assert {(len(batch), batch[0]["clean"].shape[-1]) for batch in batches} == {(8, 32), (2, 64)}


def test_photos_are_decoded_once(recovery_photos, tmp_path):
    first = Photos(recovery_photos, "train", 64, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = Photos(recovery_photos, "train", 64, tmp_path)
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


def test_stage_one_leaves_weights_that_load_and_a_card(recovery_network):
    recovery = load_network(recovery_network)
    assert recovery.recover(Image.fromarray(picture(50, 70))).size == (70, 50)
    card = (recovery_network / "README.md").read_text()
    assert "image-to-image" in card and "psnr_gain" in card and "--recovery" in card
    assert (recovery_network / WEIGHTS).stat().st_size < 200_000


def test_a_killed_stage_goes_on_as_if_nothing_had_happened(recovery_photos, tmp_path):
    options = {"corpus": str(recovery_photos), "cache": str(tmp_path / "cache"), **SMALL}
    align = {
        "corpus": str(recovery_photos), "cache": str(tmp_path / "cache"), "start": str(saved(tmp_path / "small")),
        "size": 64, "section": 32, "group": 2, "max_steps": 4, "save_steps": 2, "per_device_train_batch_size": 2,
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


def test_a_decoder_of_the_tower_is_trained_and_recovers(recovery_photos, tmp_path):
    base = tiny.fast_vlm(tmp_path / "base", tower=1.0)
    gates_open(base)
    run = {key: SMALL[key] for key in ("per_device_train_batch_size", "max_grad_norm", "save_steps")}
    out = train(
        "recover_decoder", **run, corpus=recovery_photos, cache=tmp_path / "cache", base=base, size=64, section=32,
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
