"""From pictures to samples to chains: what the training reads is true, varied and repeatable."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from degradations import COPIES, REGISTRY, Recipe, degrade
from demo.chain import parse_chain, read_answer
from training.chains import on_grid, write_answer, write_chain
from training.corpus import SPLITS, Picture, read_corpus, read_things
from training.data import pixels, read_samples, targets
from training.embedded import INTENSITIES, build_processor, build_tokenizer
from training.phrases import PHRASES, SEEN, SUBJECTS
from training.questions import KINDS, PLACES, WORDING, QuestionMaker, fit_inside
from training.synthesize import synthesize

EXAMPLES = ("shirt", "dress", "hat", "pants")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Labelled folders: garments from the examples, drawn natural photos, and cut-outs in plain colours."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for label in EXAMPLES:
        (folder / label).mkdir()
        for number in range(6):
            shutil.copy(f"examples/{label}.jpg", folder / label / f"{label}{number}.jpg")
    for label in ("beagle", "pizza", "violin"):
        (folder / label).mkdir()
        for number in range(6):
            noise = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((320, 240)).save(folder / label / f"{label}{number}.png")
    for label, colour in (("tench", "red"), ("goldfinch", "lime"), ("banana", "yellow"), ("kimono", "blue")):
        (folder / "cutouts" / label).mkdir(parents=True)
        for number in range(6):
            image = Image.new("RGBA", (80, 60))
            ImageDraw.Draw(image).rectangle((0, 0, 79, 59), fill=colour)
            image.save(folder / "cutouts" / label / f"{label}{number}.png")
    return folder


@pytest.fixture(scope="module")
def maker(corpus):
    return QuestionMaker(read_corpus(corpus, "train"), open_share=0.3)


def test_the_splits_share_no_picture(corpus):
    splits = [read_corpus(corpus, split) for split in SPLITS]
    assert sum(len(pictures) for pictures in splits) == 6 * 11
    assert len({picture.path for pictures in splits for picture in pictures}) == 6 * 11


def test_a_corpus_of_tables_is_read(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "photos.jsonl").write_text(
        '{"image": "a.png", "label": "Beagle", "split": "train", "source": "here"}\n{"image": "a.png", "label": null}\n'
    )
    (tmp_path / "cutouts.jsonl").write_text('{"image": "a.png", "category": "animals/birds", "split": "validation"}\n')
    train = read_corpus(tmp_path, "train")
    assert [(p.thing and p.thing.name, p.cutout, p.source) for p in train] == [
        ("dog", False, "here"),
        (None, False, "photos"),
    ]
    (bird,) = read_corpus(tmp_path, "validation")
    assert (bird.thing.name, bird.cutout) == ("bird", True)


def test_a_corpus_with_a_broken_line_is_told_where(tmp_path):
    (tmp_path / "photos.jsonl").write_text('{"image": "a.png"}\n{"image": \n')
    with pytest.raises(ValueError, match=r"photos\.jsonl, line 2: not a JSON object: '{\"image\": '"):
        read_corpus(tmp_path, "train")


def test_a_twentieth_of_a_tables_training_pictures_is_for_development(tmp_path):
    rows = [{"image": f"{number}.png", "label": "beagle", "split": "train"} for number in range(1000)]
    rows += [{"image": f"other/{number}.png", "label": "beagle", "split": "validation"} for number in range(1000)]
    (tmp_path / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, development, validation = (read_corpus(tmp_path, split) for split in SPLITS)
    assert 30 <= len(development) <= 70 and len(train) + len(development) == len(validation) == 1000


def test_a_cutout_is_named_by_its_description_first(tmp_path):
    described = [
        ("animals/birds", "A Barn OWL."), ("animals/birds", "Something else"), ("animals/birds", "A rubber duck"),
        ("no/such", "A slice of pizza"), ("no/such", "Nothing known"), ("animals/birds", "An owlet"),
    ]  # fmt: skip
    rows = [
        {"image": f"{number}.png", "category": category, "description": text, "split": "validation"}
        for number, (category, text) in enumerate(described)
    ]
    (tmp_path / "cutouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    things = [picture.thing and picture.thing.name for picture in read_corpus(tmp_path, "validation")]
    assert things == ["owl", "bird", None, "pizza", None, "bird"]


def test_an_empty_corpus_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="give a folder of photos"):
        read_corpus(tmp_path, "train")


def test_the_vocabulary_has_no_label_twice():
    rows = json.loads(Path("training/everyday.json").read_text())
    for group in ("objects", "garments"):
        labels = [label.lower() for row in rows[group] for label in row["labels"]]
        assert len(labels) == len(set(labels))
        assert all(row["cue"] for row in rows[group])
    assert len(read_things()) == sum(len(row["labels"]) for group in ("objects", "garments") for row in rows[group])
    names = {row["name"] for row in rows["objects"]}
    assert {entry["name"] for entry in rows["described"]} <= names | {None}
    assert all({*row.get("also", ())} <= names - {row["name"]} for row in rows["objects"])
    phrases = [phrase for entry in rows["described"] for phrase in entry["words"]]
    assert len(phrases) == len(set(phrases))


def test_no_option_beside_the_answer_is_right_too():
    """A photo of an owl is never offered "bird" beside "owl"; one of a bird may be offered "owl"."""
    things = read_things()
    pictures = [
        Picture(Path("examples/cat.jpg"), things["object", label], False, "test", "train")
        for label in ("owl", "bird", "dog", "car", "cup", "chair")
    ]
    maker = QuestionMaker(pictures, still=True)
    asked = [maker.draw(np.random.default_rng(seed), "object") for seed in range(60)]
    assert not any(question.answer == "owl" and "bird" in question.options for question in asked)
    assert any(question.answer == "bird" and "owl" in question.options for question in asked)


@pytest.mark.parametrize("kind", KINDS)
def test_questions_have_their_answer_among_the_options(maker, kind):
    for seed in range(40):
        question = maker.draw(np.random.default_rng(seed), kind)
        assert question.kind == kind
        assert max(question.image.size) == maker.size
        assert len(set(question.options)) == len(question.options)
        if question.options:
            assert question.options[question.answer_index] == question.answer
            assert len(question.options) > 1
        else:
            assert kind in ("object", "garment")


def test_a_cutout_stands_where_the_answer_says(maker):
    colours = {"fish": (255, 0, 0), "bird": (0, 255, 0), "banana": (255, 255, 0), "robe": (0, 0, 255)}
    for seed in range(30):
        question = maker.draw(np.random.default_rng(seed), "where")
        array = np.asarray(question.image).astype(int)
        rows, columns = np.nonzero((abs(array - colours[question.thing.name]) < 8).all(-1))
        row, column = rows.mean() / array.shape[0], columns.mean() / array.shape[1]
        assert question.answer == PLACES[2 * (row > 0.5) + (column > 0.5)]


def test_as_many_cutouts_as_the_answer_says(maker):
    colours = {"fish": (255, 0, 0), "bird": (0, 255, 0), "banana": (255, 255, 0), "robe": (0, 0, 255)}
    for seed in range(30):
        question = maker.draw(np.random.default_rng(seed), "count")
        array = np.asarray(question.image).astype(int)
        found = (abs(array - colours[question.thing.name]) < 8).all(-1)
        height, width = found.shape
        quadrants = [
            found[top : top + height // 2, left : left + width // 2].mean()
            for top in (0, height - height // 2)
            for left in (0, width - width // 2)
        ]
        assert sum(share > 0.15 for share in quadrants) == question.count
        assert question.options[question.count - 1] == question.answer


def test_no_wrong_option_is_in_the_scene(maker):
    for seed in range(40):
        question = maker.draw(np.random.default_rng(seed), "which")
        assert not set(question.others) & set(question.options)


def test_fitting_leaves_a_fitting_picture_alone():
    image = Image.new("RGB", (224, 100))
    assert fit_inside(image, 224) is image
    assert fit_inside(Image.new("RGB", (1, 1000)), 224).size == (1, 224)


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_samples_do_not_depend_on_workers_or_on_a_kill(corpus, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    synthesize(corpus, whole, count=20, workers=1)
    synthesize(corpus, cut, count=12, workers=2)
    table = cut / "samples.jsonl"
    table.write_text(table.read_text()[:-40])  # as a kill leaves it
    synthesize(corpus, cut, count=20, workers=2)
    assert tree(whole) == tree(cut)


def test_a_sample_is_its_clean_picture_degraded_as_it_says(corpus, tmp_path):
    synthesize(corpus, tmp_path, count=6, workers=1)
    for row in read_samples(tmp_path):
        clean, degraded = Image.open(row["clean"]).convert("RGB"), Image.open(row["image"]).convert("RGB")
        assert np.array_equal(degrade(np.asarray(clean), row["recipe"], row["seed"]), np.asarray(degraded))


def test_only_training_photos_are_taken_in_sections(tmp_path):
    """On the two other splits figures are compared, so every run sees the same whole photos."""
    rows = []
    for number, (label, split) in enumerate(product(("beagle", "pizza"), ("train", "development", "validation"))):
        Image.effect_noise((400, 300), 90).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "label": label, "split": split})
    (tmp_path / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split in ("train", "development", "validation"):
        synthesize(tmp_path, tmp_path / split, count=6, split=split, workers=1)
        whole = []
        for row in read_samples(tmp_path / split):
            (photo,) = row["made_of"]
            assert rows[int(Path(photo).stem)]["split"] == split
            expected = fit_inside(Image.open(photo).convert("RGB"), 224)
            whole.append(np.array_equal(np.asarray(expected), np.asarray(Image.open(row["clean"]))))
        assert all(whole) if split != "train" else not any(whole)


def test_a_corpus_is_degraded_by_the_published_protocol(corpus, tmp_path):
    synthesize(corpus, tmp_path, count=4, copies=True, workers=1)
    for row in read_samples(tmp_path):
        (name,) = Recipe.parse(row["recipe"])
        assert row["recipe"] == f"{name}(0.9)" and tmp_path / row["copies"]["100"] == Path(row["image"])
        clean = np.asarray(Image.open(row["clean"]).convert("RGB"))
        for copy, intensity in COPIES.items():
            degraded = np.asarray(Image.open(tmp_path / row["copies"][copy]).convert("RGB"))
            assert np.array_equal(degrade(clean, {name: intensity}, row["seed"]), degraded)


def test_a_row_that_is_not_whole_and_a_limit_that_is_no_number_are_named(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"id": 0, "image": "a.png", "clean": null}\n{"id": 1, "ima')
    with pytest.raises(ValueError, match=r"samples\.jsonl, line 2: not a JSON object: '{\"id\": 1, \"ima'"):
        read_samples(tmp_path)
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"a limit is at least 1, not {limit}"):
            read_samples(tmp_path, limit)


def test_a_folder_without_samples_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"training\.synthesize"):
        read_samples(tmp_path)


def sample(recipe, kind="object", number=0, **changes):
    row = {
        "id": number, "recipe": recipe, "kind": kind, "options": ["cat", "dog", "car", "hat"], "answer": "dog",
        "answer_index": 1, "cue": "a muzzle", "thing": "dog", "others": [], "place": "top left", "count": 1,
    }  # fmt: skip
    if kind == "count":
        row.update(options=["one", "two", "three", "four"], answer="two", answer_index=1)
    if kind == "where":
        row.update(options=list(PLACES), answer="top left", answer_index=0)
    return row | changes


@pytest.mark.parametrize("kind", KINDS)
def test_chains_are_complete_and_true(kind):
    rng = np.random.default_rng(0)
    for number in range(60):
        recipe = Recipe.sample(rng)
        row = sample(str(recipe), kind, number)
        chain = parse_chain(write_chain(row))
        assert chain.complete
        assert chain.recipe == recipe
        assert read_answer(chain.answer, row["options"]) == row["answer_index"]
        assert row["answer"] in chain.conclusion
        assert chain.influence.endswith(".")
        assert "{" not in chain.raw and " i " not in chain.raw


def test_chains_without_options_answer_in_words():
    row = sample("none", options=[], answer_index=None)
    assert parse_chain(write_chain(row)).answer == write_answer(row) == "dog"


def test_an_option_can_be_answered_in_words():
    row = sample("lens blur(0.6)")
    assert parse_chain(write_chain(row)).answer == str(row["answer_index"])
    chain = parse_chain(write_chain(row, index=False))
    assert chain.answer == row["answer"]
    assert "option" not in chain.conclusion
    assert read_answer(chain.answer, row["options"]) == row["answer_index"]


def test_reasoning_grows_with_the_total_intensity():
    def words(recipe):
        return np.mean([len(write_chain(sample(recipe, number=n)).split()) for n in range(30)])

    assert words("none") < words("lens blur(0.4)") < words("lens blur(0.9), gaussian noise(0.8)")
    assert words("graffiti(0.2)") < words("graffiti(0.9)")


def test_chains_are_phrased_with_variety_and_repeatably():
    """Of pictures that differ in nothing that the chain speaks of, hardly two share a text."""
    for recipe in ("none", "lens blur(0.6)"):
        for kind in KINDS:
            texts = [write_chain(sample(recipe, kind, n)) for n in range(200)]
            assert len(set(texts)) > 170, (recipe, kind)
    texts = [write_chain(sample("lens blur(0.6)", number=n)) for n in range(4)]
    assert texts[3] == write_chain(sample("lens blur(0.6)", number=3))
    assert texts[3] != write_chain(sample("lens blur(0.6)", number=3), seed=1)


def test_every_degradation_and_every_kind_has_its_phrases():
    assert set(PHRASES) == set(REGISTRY)
    assert set(WORDING) == set(KINDS)
    assert set(SUBJECTS) == set(SEEN) == {*KINDS, "other"}
    for phrases in PHRASES.values():
        assert all(len(options) >= 2 for options in (phrases.mild, phrases.clear, phrases.heavy, phrases.remedy))


def test_a_grid_never_rounds_a_degradation_away():
    assert (
        str(on_grid(Recipe.parse("lens blur(0.01), gaussian noise(0.52)"), 0.05))
        == "lens blur(0.05), gaussian noise(0.5)"
    )


def test_the_tokenizer_has_one_token_for_each_word_of_the_chain():
    text = write_chain(sample("lens blur(0.9), gaussian noise(0.45)"), step=0.05)
    tokenizer = build_tokenizer([text])
    tokens = tokenizer.tokenize(text)
    assert {"<TYPE>", "<TYPE_END>", "lens blur", "0.9", "gaussian noise", "0.45"} <= set(tokens)
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert len(INTENSITIES) == 20
    assert all(len(tokenizer.tokenize(word)) == 1 for word in (*REGISTRY, *INTENSITIES))


@pytest.mark.parametrize("size", [(224, 224), (224, 149), (101, 224), (1, 224)])
def test_training_sees_the_pixels_that_the_processor_sees(size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    processor = build_processor(build_tokenizer([]))
    expected = processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
    assert abs(pixels(image, 224) - expected).max() < 1e-5


def test_targets_follow_the_registry():
    presence, intensity = targets(Recipe.parse("gaussian noise(0.25)"))
    assert presence.sum() == 1
    assert intensity[list(REGISTRY).index("gaussian noise")] == 0.25
