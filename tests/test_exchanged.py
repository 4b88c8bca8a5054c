"""Samples about things that their pictures do not show, and how the chain is learned from them."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from degradations.jobs import OtherRunError
from demo.chain import parse_chain
from tests import tiny
from tests.trainer_runs import LORA, log_of, one_thread, train  # noqa: F401  (a fixture)
from training import exchanged
from training.data import read_chained, read_picture, read_samples
from training.embedded import build_model, build_processor, build_tokenizer
from training.exchange import QUARTERS
from training.exchanged import Exchanging, exchange_samples
from training.questions import PLACES
from training.stage import show_exchanged
from training.write import TruthWriter, write_chains

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return tiny.samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def made(samples, tmp_path) -> Path:
    """A folder of exchanged samples with their chains."""
    exchange_samples(samples, tmp_path / "exchanged", share=0.75)
    write_chains(tmp_path / "exchanged", TruthWriter(step=0.05, index=False))
    return tmp_path / "exchanged"


def test_rows_ask_about_what_is_to_be_seen(samples):
    row = read_samples(samples)[1]
    make, rng, kinds = exchanged.Exchanger(), np.random.default_rng(0), Counter()
    for _ in range(300):
        new = make(row, rng)
        shares = [one["shares"] for one in new["exchanged"]]
        places = [one["place"] for one in new["exchanged"]]
        classes = [make.classes.right.get(name, set()) for name in [new["thing"], *new["others"]]]
        assert new["options"][new["answer_index"]] == new["answer"]
        assert [new[name] for name in ("id", "image", "recipe")] == [row[name] for name in ("id", "image", "recipe")]
        if places == [""]:
            assert new["answer"] == new["thing"] and new["kind"] in ("object", "other") and not new["others"]
            assert sum(share for _, share in shares[0]) == pytest.approx(1)
            assert bool(new["cue"]) == (new["kind"] == "object")
            seen = classes[0] & {number for number, _ in shares[0]}
            assert seen if new["kind"] == "object" else seen or not classes[0]
        else:
            assert len(set(places)) == len(places) <= 3 and set(places) <= set(PLACES)
            for ((number, share),), numbers in zip(shares, classes, strict=True):
                assert number in numbers and share == 1
        if new["kind"] == "where":
            assert new["answer"] == new["place"] == places[0] and new["options"] == list(PLACES)
            assert new["thing"] in new["question"]
        elif new["kind"] == "which":
            assert new["answer"] == new["thing"] and not set(new["others"]) & set(new["options"])
            assert row["thing"] not in new["options"] or row["thing"] == new["thing"]
        kinds[new["kind"]] += 1
        kinds["doubt"] += len(shares[0]) == 2
    assert min(kinds[kind] for kind in ("object", "which", "where", "doubt")) > 40 and kinds["other"] > 10
    opened = [make(row | {"options": []}, rng) for _ in range(20)]
    assert all((new["answer_index"] is None) == (new["kind"] == "object") for new in opened)


def test_a_folder_of_them_is_written_again_the_same(samples, made, tmp_path):
    rows = read_samples(made, exchanged=True)
    before = read_samples(samples)
    new = ["exchanged" in row for row in rows]
    assert 0 < sum(new) < len(rows) == len(before)
    for row, old, is_new in zip(rows, before, new, strict=True):
        assert Path(row["image"]).samefile(old["image"]) and Path(row["clean"]).samefile(old["clean"])
        assert is_new or row | {"image": 0, "clean": 0} == old | {"image": 0, "clean": 0}
    table = (made / "samples.jsonl").read_bytes()
    exchange_samples(samples, made, share=0.75)
    assert (made / "samples.jsonl").read_bytes() == table
    with pytest.raises(OtherRunError, match=r"share was 0\.75 and is now 0\.5"):
        exchange_samples(samples, made, share=0.5)
    with pytest.raises(ValueError, match=r"lies in \(0, 1\], not 0"):
        exchange_samples(samples, tmp_path / "none", share=0)


def test_other_questions_are_exchanged_where_it_is_asked_for(samples, tmp_path):
    shutil.copytree(samples, tmp_path / "garments")
    table = tmp_path / "garments/samples.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    table.write_text("".join(json.dumps(row | {"kind": "garment", "thing": "longsleeve"}) + "\n" for row in rows))

    def exchanged_of(others: float) -> list[bool]:
        exchange_samples(tmp_path / "garments", tmp_path / f"{others}", others=others)
        return ["exchanged" in row for row in read_samples(tmp_path / f"{others}", exchanged=True)]

    assert not any(exchanged_of(0.0)) and all(exchanged_of(1.0)) and 0 < sum(exchanged_of(0.5)) < len(rows)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], not 2"):
        exchanged_of(2)


def test_black_pictures_stay_what_they_are(samples, tmp_path):
    """A model that is shown them could not tell which of several it sees."""
    shutil.copytree(samples, tmp_path / "dark")
    for row in read_samples(tmp_path / "dark", 4):
        Image.new("RGB", (64, 64)).save(row["image"])
    exchange_samples(tmp_path / "dark", tmp_path / "exchanged", share=1)
    rows = read_samples(tmp_path / "exchanged", exchanged=True)
    assert [row["id"] for row in rows if "exchanged" in row] == [4, 5, 6, 7]


def test_chains_tell_of_what_is_to_be_seen(made):
    for row in read_chained(made, exchanged=True):
        chain = parse_chain(row["chain"])
        assert chain.answer == row["answer"] and row["cue"] in chain.reasoning.lower()


def test_whoever_looks_at_the_pictures_themselves_is_not_given_them(made):
    for read in (read_samples, read_chained):
        with pytest.raises(ValueError, match="what its pictures do not show"):
            read(made)


def test_the_command(samples, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["training.exchanged", str(samples), str(tmp_path / "out"), "--share", "1"])
    assert exchanged.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    count = sum("exchanged" in row for row in rows)
    assert count == len(rows) == 8  # all of them ask for the main object
    assert f"{len(rows)} samples, {count} of them exchanged" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["training.exchanged", str(tmp_path), str(tmp_path / "other")])
    assert exchanged.main() == 2 and "holds no samples.jsonl" in capsys.readouterr().err


@pytest.fixture
def base(made, tmp_path) -> Path:
    """A FastVLM on the tower that is trained here, with words for the samples."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([row["chain"] for row in read_chained(made, exchanged=True)])
    build_model(tokenizer, hidden=64, layers=1).save_pretrained(tmp_path / "base")
    build_processor(tokenizer).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def a_model_that_sees(rows: list[dict]) -> tuple:
    """A model with its processor, and a function that gives the tower's features of the rows' pictures."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    model, processor = build_model(tokenizer, hidden=64, layers=1).eval(), build_processor(tokenizer)
    pictures = processor.image_processor([read_picture(row["image"]) for row in rows], return_tensors="pt")

    def see() -> np.ndarray:
        with torch.no_grad():
            seen = model.model.vision_tower(pictures["pixel_values"]).last_hidden_state
        return seen.flatten(2).transpose(1, 2).numpy()

    return model, processor, see


def test_a_model_sees_classes_where_a_row_says(samples, monkeypatch):
    first, second, third = read_samples(samples, 3)
    shown = [{"place": "top left", "shares": [[3, 1.0]]}, {"place": "bottom right", "shares": [[5, 1.0]]}]
    rows = [first | {"exchanged": shown}, second, third | {"exchanged": [{"place": "", "shares": [[7, 1.0]]}]}]
    model, processor, see = a_model_that_sees(rows)
    before = see()
    exchanging = Exchanging(model, processor, rows)
    monkeypatch.setattr(exchanging, "exchange", lambda features, shares: np.full_like(features, *shares))
    seen = see()
    assert (seen[0, QUARTERS[0]] == 3).all() and (seen[0, QUARTERS[3]] == 5).all() and (seen[2] == 7).all()
    untouched = np.setdiff1d(np.arange(49), [*QUARTERS[0], *QUARTERS[3]])
    assert np.array_equal(seen[0, untouched], before[0, untouched]) and np.array_equal(seen[1], before[1])
    with pytest.raises(ValueError, match="another sample has the picture of 0"):
        Exchanging(model, processor, [rows[0], rows[0]])


def test_a_share_of_the_pictures_is_hidden_in_part(samples):
    rows = read_samples(samples)
    rows[0] |= {"exchanged": []}
    model, processor, see = a_model_that_sees(rows)
    before = see()
    Exchanging(model, processor, rows, hidden_share=0.5)
    seen = see()
    hidden = (seen == 0).all(2)
    assert np.array_equal(seen[~hidden], before[~hidden]) and not (before == 0).all(2).any()
    some = hidden.any(1)
    assert 0 < some.sum() < len(rows) and not hidden.all(1).any()
    assert np.array_equal(see(), seen), "a picture hides the same part whenever it is shown"
    assert len({tuple(one) for one in hidden[some]}) == some.sum()
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], not 1.5"):
        Exchanging(model, processor, rows, hidden_share=1.5)
    with pytest.raises(ValueError, match="leave hidden_share out"):
        show_exchanged(model, processor, rows[1:], hidden_share=0.5)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_both_stages_show_every_exchanged_picture(stage, base, made, tmp_path, monkeypatch):
    """Each picture that is to be exchanged, and no other, is known again where the trainer shows it to the model."""
    shown, wanted, hidden = Counter(), set(), set()

    class Watched(Exchanging):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.exchange = lambda features, shares: shown.update([str(shares)]) or features
            wanted.update(str(shares) for one in self.wanted.values() for _, shares in one)
            hidden.add(self.hidden_share)

    monkeypatch.setattr("training.stage.Exchanging", Watched)
    options = LORA | {"max_steps": 2, "per_device_train_batch_size": 8, "hidden_share": 0.25}
    options |= {"num_generations": 2, "steps_per_generation": 1, "cache_features": True} if stage == "grpo" else {}
    train(stage, samples=made, model_name_or_path=base, output_dir=tmp_path / stage, **options)
    assert set(shown) == wanted if stage == "sft" else set(shown) <= wanted and shown
    assert hidden == {0.25}


def test_the_chain_is_learned_from_them(base, made, tmp_path):
    """What is exchanged changes what is learned, and only that: rows without it are learned as ever."""
    options = {"model_name_or_path": base, **LORA, "max_steps": 2}
    losses = log_of(train("sft", samples=made, output_dir=tmp_path / "seen", **options))
    rows = [json.loads(line) for line in (made / "samples.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("exchanged", None)
    (made / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    unseen = log_of(train("sft", samples=made, output_dir=tmp_path / "unseen", **options))
    assert losses[0]["loss"] != unseen[0]["loss"] and losses[0]["loss"] == pytest.approx(unseen[0]["loss"], rel=0.05)


def test_who_would_look_at_the_pictures_in_another_way_is_refused(made, tmp_path):
    common = {"samples": made, "model_name_or_path": tmp_path, "output_dir": tmp_path / "out"}
    with pytest.raises(ValueError, match="leave train_vision out"):
        train("sft", **common, train_vision=True)
    with pytest.raises(ValueError, match="a reference model of its own"):
        train("grpo", **common)
    assert not (tmp_path / "out").exists()
