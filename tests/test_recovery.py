"""Recovery in the demo: the network, tiles, attempts that end in every way, measures, and what is shown of them."""

import argparse
import math
import re
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from degradations import degrade
from demo import settings
from demo.chain import JOINT_PREFACE
from demo.checkpoints import Checkpoint, CheckpointError
from demo.models import load_pair
from demo.provenance import provenance, same_weights
from demo.recovery import joint, panels
from demo.recovery.attempt import Attempt
from demo.recovery.encoders import encoder_at_hand
from demo.recovery.measures import CEILING_DB, changes, measure
from demo.recovery.nafnet import NAFNet, of_weights
from demo.recovery.network import NetworkRecovery, load_network
from demo.recovery.tiles import places, tiled
from demo.replies import SIDES
from demo.settings import Spec
from demo.streaming import stream
from tests import tiny
from tests.pictures import picture
from tests.recovering import Scripted, brighter, network, saved
from tests.spoken import spoken

PHOTO = Image.fromarray(picture(96, 128))


# --- the network ---


def test_the_shipped_shape_is_as_small_as_it_is_to_be():
    weights = sum(parameter.numel() for parameter in NAFNet().parameters())
    assert 1.0e6 < weights < 1.2e6 and 4 * weights < 6e6


def test_a_network_is_known_by_its_weights_alone():
    made = network(width=6, depth=3)
    read = of_weights(made.state_dict()).eval()
    pictures = torch.rand(2, 3, 37, 50)
    assert torch.equal(read(pictures), made(pictures)) and made(pictures).shape == pictures.shape
    with pytest.raises(ValueError, match=r"no NAFNet's: they hold conv\.weight"):
        of_weights({"conv.weight": torch.zeros(1)})
    torn = made.state_dict()
    del torn["middle_blks.0.conv1.weight"]
    with pytest.raises(ValueError, match="middle_blks"):
        of_weights(torn)


def test_spandrel_reads_the_weights_and_computes_the_same(tmp_path):
    spandrel = pytest.importorskip("spandrel", reason="it needs torchvision, which the page does without")
    loaded = spandrel.ModelLoader().load_from_file(saved(tmp_path) / "nafnet.safetensors")
    assert loaded.architecture.id == "NAFNet"
    pictures = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model.eval()(pictures), network()(pictures), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (97, 31)])
def test_pictures_of_every_size_come_back_at_theirs(size):
    image = Image.fromarray(picture(*size))
    restored = NetworkRecovery(network(), "small").recover(image)
    assert restored.size == image.size and restored.mode == "RGB"


def test_a_large_picture_is_cut_into_tiles_that_leave_no_seams():
    image, done = Image.fromarray(picture(150, 230)), []
    restored = NetworkRecovery(network(), "small", tile=96).recover(image, done.append)
    whole = NetworkRecovery(network(), "small", tile=512).recover(image)
    assert done == sorted(done) and len(done) == 3 * 4 and done[-1] == 1.0
    # Channel attention sees another mean in every tile, so they are near, not the same.
    assert np.abs(np.asarray(restored).astype(int) - np.asarray(whole)).mean() < 12
    assert not np.array_equal(restored, image)


@pytest.mark.parametrize(("length", "tile", "overlap"), [(10, 10, 3), (11, 10, 3), (100, 10, 9), (1000, 384, 48)])
def test_tiles_cover_a_side_and_overlap_enough(length, tile, overlap):
    begins = places(length, tile, overlap)
    assert begins[0] == 0 and begins[-1] + tile >= length
    assert all(b - a <= tile - overlap and b > a for a, b in pairwise(begins))


def test_what_leaves_a_tile_alone_leaves_the_picture_alone():
    pixels = picture(70, 90)
    seen = []
    assert np.array_equal(tiled(pixels, lambda tile: seen.append(tile.shape) or tile, 32, 8), pixels)
    assert max(shape[0] for shape in seen) == 32 and len(seen) == 3 * 4
    with pytest.raises(ValueError, match="cannot overlap by 32"):
        tiled(pixels, lambda tile: tile, 32, 32)


def test_weights_that_are_not_there_or_others_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        load_network(tmp_path / "nowhere")
    (tmp_path / "nafnet.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="recovery"):
        load_network(tmp_path)
    one, other = (load_network(saved(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    assert one.digest != other.digest == load_network(tmp_path / "1").digest


def test_broken_weights_are_a_failure_and_no_black_picture():
    broken = network()
    broken.ending.bias.data[0] = math.nan
    attempt = ended(Attempt(NetworkRecovery(broken, "broken"), PHOTO))
    assert attempt.image is None and "broken computes no numbers" in str(attempt.error)


# --- an attempt ---


def ended(attempt: Attempt, stop: threading.Event | None = None) -> Attempt:
    *_, last = attempt.wait(stop)
    assert last is attempt and attempt.done
    return attempt


def test_an_attempt_gives_the_recovered_picture_and_its_progress():
    attempt = ended(Attempt(Scripted(brighter), PHOTO))
    assert np.array_equal(attempt.image, brighter(PHOTO)) and attempt.error is None
    assert attempt.progress == 1.0 and not attempt.unchanged


def test_a_failure_is_one_and_never_the_input():
    def fail(image):
        raise ValueError("the network is upset")

    attempt = ended(Attempt(Scripted(fail), PHOTO))
    assert attempt.image is None and str(attempt.error) == "the network is upset"
    attempt = ended(Attempt(Scripted(lambda image: 1 / 0), PHOTO))
    assert attempt.image is None and "ZeroDivisionError" in str(attempt.error)
    attempt = ended(Attempt(Scripted(lambda image: image.resize((5, 5))), PHOTO))
    assert attempt.image is None and "5 × 5" in str(attempt.error)


def test_a_recovery_that_takes_too_long_has_failed_and_ends(monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    recovery = Scripted(brighter, steps=100, pause=0.05)
    attempt = Attempt(recovery, PHOTO, limit_s=0.2)
    watched = [one.done for one in attempt.wait()]
    assert watched[-1] and not any(watched[:-1]) and len(watched) > 2
    assert attempt.image is None and "more than 0 s" in str(attempt.error)
    assert recovery.left.wait(2), "it goes on though nobody waits"


def test_stop_ends_a_recovery(monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    stop, recovery = threading.Event(), Scripted(brighter, steps=100, pause=0.05)
    attempt = Attempt(recovery, PHOTO)
    next(attempt.wait(stop))
    stop.set()
    assert str(ended(attempt, stop).error) == "stopped" and recovery.left.wait(2)


def test_a_recovery_knows_how_long_it_may_take():
    slow = Scripted(brighter)
    slow.limit_s = 300
    limits = [Attempt(recovery, PHOTO, limit_s).limit for recovery, limit_s in ((slow, None), (slow, 2))]
    assert limits == [300, 2] and Attempt(Scripted(brighter), PHOTO).limit == settings.RECOVERY_LIMIT_S


def test_a_recovery_that_changes_nothing_says_so():
    assert ended(Attempt(Scripted(lambda image: image.copy()), PHOTO)).unchanged


# --- measures ---


def test_measures_by_hand():
    clean = Image.new("RGB", (32, 32), (100, 100, 100))
    other = Image.new("RGB", (32, 32), (110, 110, 110))
    found = measure(other, clean)
    assert found.psnr == pytest.approx(20 * math.log10(255 / 10), abs=1e-3)
    mu = np.array([100, 110]) / 255
    assert found.ssim == pytest.approx((2 * mu[0] * mu[1] + 1e-4) / (mu[0] ** 2 + mu[1] ** 2 + 1e-4), abs=1e-3)
    assert found.semantic is None
    same = measure(clean, clean)
    assert same.psnr == math.inf and same.capped == CEILING_DB and same.ssim == pytest.approx(1)
    assert measure(clean.crop((0, 0, 8, 8)), other.crop((0, 0, 8, 8))).ssim is None
    with pytest.raises(ValueError, match="cannot be held against"):
        measure(clean, clean.resize((8, 8)))


def test_semantic_similarity_falls_as_pictures_part():
    encoder = encoder_at_hand("nowhere/clip")
    cat = Image.open("examples/cat.jpg").convert("RGB").resize((200, 150))
    mild, strong = (degrade(cat, f"noise({intensity})", 0) for intensity in (0.1, 0.9))
    found = [measure(image, cat, encoder).semantic for image in (cat, mild, strong)]
    assert found[0] == pytest.approx(1, abs=1e-4) and found[0] > found[1] > found[2]
    assert "EfficientNet" in encoder.name


def test_the_map_of_changes_shows_where():
    after = np.array(PHOTO)
    after[20:60, 30:70] = 255 - after[20:60, 30:70]
    found = changes(PHOTO, Image.fromarray(after))
    level = np.asarray(found.map).astype(int)
    colour = level.max(-1) - level.min(-1)
    assert colour[30:50, 40:60].mean() > 5 * colour[75:, 90:].mean() + 5
    assert 0.05 < found.share < 0.15
    assert changes(PHOTO, PHOTO).share == 0


# --- what is shown ---


def test_a_state_tells_gains_and_losses():
    clean = brighter(brighter(PHOTO))
    state = panels.state_of(ended(Attempt(Scripted(brighter), PHOTO)), clean)
    assert state["after"]["psnr"] > state["before"]["psnr"] and state["before"]["semantic"] is None
    html = spoken(panels.recovery(state, {"degraded": "a b.png", "recovered": "c.png"}), "en")
    assert "gradio_api/file=a%20b.png" in html and "confidently wrong" in html and 'class="number gain good"' in html
    worse = panels.state_of(ended(Attempt(Scripted(brighter), clean)), clean)
    assert worse["before"]["psnr"] is None and worse["after"]["psnr"] < CEILING_DB
    html = panels.recovery(worse)
    assert "∞" in html and re.search(r'gain bad">-0\.\d+', html), "a loss of SSIM is told"


def test_without_a_clean_picture_nothing_is_claimed():
    html = panels.recovery(panels.state_of(ended(Attempt(Scripted(brighter), PHOTO))))
    assert "<table" not in html and "Nothing was degraded" in spoken(html, "en")


def test_a_failure_and_a_slow_recovery_are_shown_as_such():
    def fail(image):
        raise ValueError("<b>upset</b>")

    html = panels.recovery(panels.state_of(ended(Attempt(Scripted(fail), PHOTO))), {"degraded": "a.png"})
    assert "no recovered picture" in spoken(html, "en") and "&lt;b&gt;upset" in html and "c.png" not in html
    assert "recovered.png" not in html and 'class="recovered"' not in html
    going = panels.state_of(None) | {"seconds": settings.RECOVERY_SLOW_S + 1, "progress": 0.42}
    html = spoken(panels.recovery(going), "en")
    assert 'aria-valuenow="42"' in html and "longer than usual" in html
    assert "longer than usual" not in panels.recovery(panels.state_of(None) | {"seconds": 1.0})
    assert "What was there before?" in spoken(panels.recovery(None), "en")


# --- the third side ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    base = tiny.fast_vlm(folder / "base")
    adapter = tiny.adapter(base, folder / "adapter", seed=1)
    tiny.adapter(base, folder / "recovery" / "adapter", seed=2)
    saved(folder / "recovery")
    spec = Spec("embedded", str(base), str(base), adapter=str(adapter), max_new_tokens=12, dtype="float32")
    return SimpleNamespace(folder=folder, pair=load_pair(spec, fallback=False))


def chosen(**options) -> argparse.Namespace:
    return argparse.Namespace(**{"recovery": None, "recovery_adapter": None} | options)


def texts(events) -> str:
    found, done = "", []
    for event in events:
        assert event.side == joint.NAME and event.error is None
        found += event.text
        done.append(event.done)
    assert done[-1] and not any(done[:-1])
    return found


def test_the_third_side_answers_from_both_pictures_with_its_own_adapter(pair, monkeypatch):
    third = joint.joint_from(chosen(recovery=str(pair.folder / "recovery")), pair.pair, {})
    assert third.side.adapter == joint.NAME and "stands in for self-recovery" in str(third.notice)
    assert third.side.prompt == JOINT_PREFACE + pair.pair.robust.prompt
    given, other, asked = PHOTO, brighter(PHOTO), []
    inputs = Checkpoint.inputs

    def listening(self, images, prompts):
        asked.append((images, prompts))
        return inputs(self, images, prompts)

    monkeypatch.setattr(Checkpoint, "inputs", listening)

    def robust() -> str:
        return "".join(event.text for event in stream(pair.pair, given, "What?") if event.side == "robust")

    before = robust()
    asked.clear()
    both = texts(stream(third, [given, other], "What?"))
    assert asked == [([[given, other]], [third.side.prompt_for("What?")])]
    assert both and both != before, "its own adapter and prompt"
    assert before == robust(), "the pair answers as it did"


def test_an_adapter_for_one_picture_is_told(pair):
    weights = str(pair.folder / "recovery" / "nafnet.safetensors")
    third = joint.joint_from(chosen(recovery=weights), pair.pair, {})
    assert third.side.adapter == pair.pair.robust.adapter and "not trained to do" in str(third.notice)
    texts(stream(third, [PHOTO, PHOTO], "What?"))
    told = provenance(pair.pair, third)["checkpoints"]
    assert told["recovered"]["weights"] == told["robust"]["weights"] and told["recovered"]["adapter"] is None


def test_a_run_names_the_weights_of_the_third_side_and_of_its_recovery(pair):
    third = joint.joint_from(chosen(recovery=str(pair.folder / "recovery")), pair.pair, {})
    told = provenance(pair.pair, third)["checkpoints"]
    hashes = [told[side]["weights"] for side in SIDES] + [told["recovered"]["recovery_weights"]]
    assert len(set(hashes)) == 4 and all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)
    assert told["recovered"]["adapter"] == "recovery/adapter" and str(pair.folder) not in str(told)
    assert same_weights(told, pair.pair, third) and not same_weights(told, pair.pair)
    other = joint.joint_from(chosen(recovery="bagel@http://here/v1"), pair.pair, {})
    assert not same_weights(told, pair.pair, other)
    assert provenance(pair.pair, other)["checkpoints"]["recovered"]["name"] == "bagel"
    assert "http" not in str(provenance(pair.pair, other)["checkpoints"]["recovered"])


def test_what_chooses_a_recovery(pair, tmp_path, monkeypatch):
    assert joint.joint_from(chosen(recovery="none"), pair.pair, {}) is None
    monkeypatch.setattr(settings, "RECOVERY", tmp_path)
    assert joint.joint_from(chosen(), pair.pair, {}) is None, "none ships there"
    environment = {"DEMO_RECOVERY": "none"}
    assert joint.joint_from(chosen(), pair.pair, environment) is None
    with pytest.raises(CheckpointError, match="nowhere"):
        joint.joint_from(chosen(recovery="nowhere"), pair.pair, environment)
    with pytest.raises(CheckpointError, match="adapter_config"):
        joint.joint_from(chosen(recovery=str(pair.folder / "recovery"), recovery_adapter="/no/x"), pair.pair, {})
    with pytest.raises(ValueError, match="MODEL@"):
        joint.joint_from(chosen(recovery="@http://here/v1"), pair.pair, {})
    third = joint.joint_from(chosen(recovery="bagel@http://here/v1"), pair.pair, {"DEMO_RECOVERY_KEY": "secret"})
    assert third.recovery.server.key == "secret" and "secret" not in repr(third.recovery.server)
