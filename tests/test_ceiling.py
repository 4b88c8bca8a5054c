"""The large head on frozen features: what it sees, how it learns, when it stops."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from degradations import Recipe
from training import ceiling
from training.ceiling import Head, Seen, best_threshold, learn, load_tower, loss, measure, name, see
from training.data import TYPES, pixels, read_picture, read_samples
from training.embedded import EYES, build_model, build_tokenizer
from training.evaluation.naming import ERROR, F1, R_DEG


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """The ImageNet tower, as training.perceive leaves it."""
    folder = tmp_path_factory.mktemp("eyes")
    model = build_model(build_tokenizer([]))
    parts = {"tower": model.model.vision_tower, "projector": model.model.multi_modal_projector}
    weights = {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}
    save_file(weights, folder / EYES)
    model.save_pretrained(folder / "base")
    return folder


def separable(count: int, seed: int) -> Seen:
    """Feature n is the intensity of type n where it is there, else -1; the last two never are."""
    generator = torch.Generator().manual_seed(seed)
    presence = (torch.rand(count, len(TYPES), generator=generator) < 0.3).float()
    presence[:, -2:] = 0
    intensity = presence * (0.1 + 0.9 * torch.rand(count, len(TYPES), generator=generator))
    return Seen(torch.where(presence > 0, intensity, -1.0), presence, intensity)


def test_a_head_reads_what_is_there_to_read():
    torch.manual_seed(0)
    head, epochs = learn(separable(4000, 0), separable(300, 1), hidden=64, dropout=0.0, epochs=60, patience=10)
    new = separable(300, 2)
    recipes = name(head, new, best_threshold(head, separable(300, 1)))
    truth = [Recipe({t: float(v) for t, v in zip(TYPES, row, strict=True)}) for row in new.intensity]
    known = {"image": "", "clean": "", "options": [], "answer": "cat", "kind": "other", "made_of": []}
    found = measure([known | {"id": n, "recipe": str(recipe)} for n, recipe in enumerate(truth)], recipes)
    assert found[F1]["value"] > 0.97 and found[ERROR]["value"] < 0.08 and 10 < epochs <= 60
    assert found["by type"][TYPES[-1]][F1]["value"] is None and found["by type"][TYPES[0]][F1]["value"] > 0.95


def test_it_keeps_its_best_state_and_stops(monkeypatch):
    """The development samples are best after the second epoch."""
    heights = iter([0.5, 0.3, 0.4, 0.35, 0.6, 0.7, 0.8])
    states = []

    def told(head: Head, seen: Seen) -> torch.Tensor:
        if head.training:
            return loss(head, seen)
        states.append([weight.clone() for weight in head.parameters()])
        return torch.tensor(next(heights))

    monkeypatch.setattr(ceiling, "loss", told)
    head, epoch = learn(separable(300, 0), separable(10, 1), hidden=8, dropout=0.1, epochs=7, patience=3)
    assert epoch == 2 and len(states) == 5
    assert all(torch.equal(*pair) for pair in zip(head.parameters(), states[1], strict=True))
    assert not torch.equal(next(head.parameters()), states[4][0])


def test_the_threshold_is_where_f1_is_best():
    """Two types are surely there; a third is not, and is said to be with 0.7."""

    class Said(torch.nn.Module):
        def forward(self, features):
            return torch.logit(features), features

    probability = torch.full((1, len(TYPES)), 0.02)
    probability[0, :3] = torch.tensor([0.9, 0.8, 0.7])
    presence = torch.zeros(1, len(TYPES))
    presence[0, :2] = 1
    assert 0.7 <= best_threshold(Said(), Seen(probability, presence, presence)) < 0.8
    presence[0, 2] = 1
    assert 0.02 < best_threshold(Said(), Seen(probability, presence, presence)) < 0.7


def test_the_loss_counts_intensities_of_what_is_there_only():
    class Said(torch.nn.Module):
        def forward(self, features):
            return torch.zeros_like(features), torch.zeros_like(features)

    presence = torch.zeros(2, len(TYPES))
    presence[0, 0] = presence[1, 3] = 1
    seen = Seen(torch.zeros_like(presence), presence, 0.9 * presence)
    assert loss(Said(), seen).item() == pytest.approx(np.log(2) + 0.4, rel=1e-5)


def test_features_are_pooled_and_kept(eyes, samples, tmp_path):
    rows, tower = read_samples(samples, 3), load_tower(eyes)
    seen = see(tower, rows, tmp_path, batch_size=2)
    with torch.inference_mode():
        whole = tower(pixels(read_picture(rows[1]["image"]), 224)[None]).last_hidden_state[0].flatten(1)
    expected = torch.cat([whole.mean(1), whole.std(1), whole.amax(1)])
    assert seen.features.shape == (3, 3 * 1280)
    assert (seen.features[1] - expected).abs().mean() < 0.05 * expected.abs().mean()  # bfloat16
    there = {TYPES[n]: round(seen.intensity[1, n].item(), 3) for n in seen.presence[1].nonzero().flatten()}
    assert there == {"lens blur": 0.5, "gaussian noise": 0.3} and seen.presence[0].sum() == 0
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    see(tower, rows, tmp_path)
    assert path.stat().st_mtime_ns == written
    # A base checkpoint has the same tower.
    of_base = load_tower(eyes / "base")
    assert all(torch.equal(*pair) for pair in zip(tower.parameters(), of_base.parameters(), strict=True))


def test_one_command_from_tower_to_table(eyes, samples, tmp_path, monkeypatch, capsys):
    options = {"tower": eyes, "samples": samples, "development": samples, "validation": samples, "output": tmp_path}
    words = [word for key, value in (options | {"things": samples}).items() for word in (f"--{key}", str(value))]
    monkeypatch.setattr(
        sys, "argv", ["ceiling", *words, "--epochs", "8", "--hidden", "32", "--limit", "4", "--dropout", "0"]
    )
    assert ceiling.main() == 0
    result = json.loads((tmp_path / "ceiling.json").read_text())
    assert result["learned from"]["count"] == 4 and result["figures"]["samples"] == 8
    assert result["figures"]["types F1"]["value"] is not None and R_DEG in result["figures"]
    # All are about one cat, which the published tower recognises at least where nothing hides it.
    (things,) = result["things"].values()
    assert things["questions"] == sum(bool(row["options"]) for row in read_samples(samples))
    assert things["accuracy, clean"]["value"] == 1
    text = capsys.readouterr().out
    assert "| types F1 |" in text and "| lens blur |" in text and ceiling.report(result) in text


def test_a_folder_without_a_tower_is_named(samples, tmp_path, monkeypatch, capsys):
    folders = {"tower": tmp_path, "samples": samples, "development": samples, "validation": samples, "output": tmp_path}
    monkeypatch.setattr(sys, "argv", ["ceiling", *(word for k, v in folders.items() for word in (f"--{k}", str(v)))])
    assert ceiling.main() == 2
    assert f"{tmp_path}: there is no config.json" in capsys.readouterr().err
