"""The truth-knowing writer: what its chains say, how long they are, and that they read as English."""

import re
from statistics import correlation, mean

import numpy as np
import pytest

from degradations import REGISTRY, Recipe
from demo.chain import parse_chain, read_answer
from training.chains import WORDS_CLEAN, WORDS_EACH, write_chain
from training.corpus import read_things
from training.phrases import CHECK, CLEAR, CONCLUSION, HEAVY, HIDDEN, LEFT, PHRASES, SEEN, SUBJECTS, strength

KINDS = list(SEEN)


def sample(recipe, kind="object", number=0, **changes):
    row = {
        "id": number, "recipe": str(recipe), "kind": kind, "options": ["cat", "dog", "car", "hat"], "answer": "dog",
        "answer_index": 1, "cue": "a muzzle", "thing": "dog", "others": [], "place": "top left", "count": 1,
    }  # fmt: skip
    if kind == "count":
        row.update(options=["one", "two", "three", "four"], answer="two")
    if kind == "where":
        row.update(options=["top right", "top left", "bottom left", "bottom right"], answer="top left")
    if kind == "which":
        row.update(others=["insect", "chair"])
    if kind == "other":
        row = {key: row[key] for key in ("id", "recipe", "kind", "options", "answer", "answer_index")}
    return row | changes


def prose(text):
    chain = parse_chain(text)
    return {name: getattr(chain, name) for name in ("influence", "reasoning", "conclusion")}


def assert_grammar(text):
    """A lower bound: sentences with a capital and a full stop, nothing left over from the phrases."""
    for block in prose(text).values():
        assert re.fullmatch(r"([A-Z][^.{}]*\. )*[A-Z][^.{}]*\.", block), block
        assert not re.search(
            r"  | [,.]|,,|[^.] It\b|\bi\b|\b(a|an) (a|an|the|pants|shoes|furniture)\b|\ba [aeio]", block
        ), block


@pytest.mark.parametrize("kind", KINDS)
def test_every_degradation_at_every_strength_reads_as_sentences(kind):
    for name in REGISTRY:
        for intensity in (0.1, 0.5, 0.9):
            for number in range(8):
                assert_grammar(write_chain(sample(Recipe({name: intensity}), kind, number)))


@pytest.mark.parametrize("kind", KINDS)
def test_several_degradations_and_none_read_as_sentences(kind):
    rng = np.random.default_rng(0)
    for number in range(200):
        text = write_chain(sample(Recipe.sample(rng), kind, number), index=number % 2 == 0)
        assert_grammar(text)
        assert len(set(prose(text)["influence"].split(". "))) == prose(text)["influence"].count(". ") + 1


def test_names_in_the_plural_take_no_article():
    names = {thing.name for thing in read_things().values()}
    plurals = [name for name in names if re.search("[^su]s$", name)]
    assert {"pants", "shoes"} <= set(plurals)
    for name in plurals:
        text = write_chain(sample("none", answer=name, thing=name))
        assert not re.search(rf"\ban? {name}", text), text


def test_every_kind_of_question_has_its_phrases():
    assert set(SUBJECTS) == set(LEFT) == set(HIDDEN) == set(CHECK) == set(CONCLUSION) == set(SEEN)


def test_influence_follows_the_type_and_the_strength():
    for name, phrases in PHRASES.items():
        for intensity in (0.1, CLEAR, HEAVY, 1.0):
            said = {
                prose(write_chain(sample(Recipe({name: intensity}), number=number)))["influence"].split(".")[0]
                for number in range(40)
            }
            expected = {
                text.format(subject=subject)
                for text in getattr(phrases, strength(intensity))
                for subject in SUBJECTS["object"]
            }
            assert said == {text[0].upper() + text[1:] for text in expected}


def test_influence_follows_the_question():
    for recipe, consequences in (("lens blur(0.9), graffiti(0.9)", HIDDEN), ("lens blur(0.6), graffiti(0.35)", LEFT)):
        for kind in KINDS:
            influences = [prose(write_chain(sample(recipe, kind, n)))["influence"] for n in range(20)]
            last = {text.split(". ")[-1].rstrip(".") for text in influences if text.count(".") == 3}
            assert last == set(consequences[kind])


def test_length_follows_the_total_intensity():
    rng = np.random.default_rng(1)
    for kind in KINDS:
        recipes = [Recipe.sample(rng) for _ in range(300)]
        lengths = [len(write_chain(sample(recipe, kind, n)).split()) for n, recipe in enumerate(recipes)]
        totals = [recipe.total for recipe in recipes]
        assert correlation(totals, lengths) > 0.93, kind
        wanted = [WORDS_CLEAN + WORDS_EACH * total for total in totals]
        short = [length - want for length, want, total in zip(lengths, wanted, totals, strict=True) if total < 1.5]
        assert abs(mean(short)) < 5, kind


def test_a_mildly_degraded_picture_gets_a_much_shorter_chain():
    def words(recipe):
        return mean(len(write_chain(sample(recipe, number=n)).split()) for n in range(30))

    mild = words("lens blur(0.1), graffiti(0.1), gaussian noise(0.1), dirty lens(0.1)")
    assert words("none") < mild < 0.6 * words("lens blur(0.9), graffiti(0.9), gaussian noise(0.9), dirty lens(0.9)")


def test_reasoning_names_the_evidence_and_rules_out_options_where_much_is_hidden():
    heavy = "lens blur(0.9), graffiti(0.9), gaussian noise(0.8)"
    for number in range(30):
        clean, hidden = (prose(write_chain(sample(r, number=number)))["reasoning"].lower() for r in ("none", heavy))
        assert "a muzzle" in clean and "a muzzle" in hidden
        assert not re.search(r"\b(cat|car|hat)\b", clean)
        assert re.search(r"\b(cat|car|hat|whiskers|windows|brim)\b", hidden)


@pytest.mark.parametrize("kind", KINDS)
def test_the_conclusion_names_the_answer_in_words_and_by_its_index_where_asked_for(kind):
    for number in range(20):
        row = sample("lens blur(0.6)", kind, number)
        for index in (True, False):
            chain = parse_chain(write_chain(row, index=index))
            assert row["answer"] in chain.conclusion
            assert ("option 1" in chain.conclusion) == index
            assert chain.answer == ("1" if index else row["answer"])
            assert read_answer(chain.answer, row["options"]) == 1


def test_questions_of_other_data_sets_need_no_cue():
    row = sample("lens blur(0.9)", "other", options=[], answer="A man {riding}  a wave.", answer_index=None)
    chain = parse_chain(write_chain(row))
    assert '"A man {riding} a wave"' in chain.conclusion
    assert chain.answer == row["answer"]


def test_an_answer_with_a_tag_is_refused():
    with pytest.raises(ValueError, match="must not contain a tag"):
        write_chain(sample("none", "other", options=[], answer="<TYPE>", answer_index=None))


def test_identifiers_may_be_texts():
    texts = {write_chain(sample("lens blur(0.6)", number=name)) for name in ("coco-1", "coco-2", "coco-3")}
    assert len(texts) == 3
