"""The rewards, computed by hand; and each fault of the published reward code, avoided."""

import pytest

from degradations import REGISTRY, Recipe
from demo.chain import format_chain, parse_chain
from tests import tiny
from training.rewards import REWARDS, accuracy, complete, for_trl, r_deg, r_deg_paper, r_len

OPTIONS = ["a dog", "a cat", "2 dogs", "no animal"]
BLUR, NOISE, RAIN = list(REGISTRY)[:3]


def chain(types: str = "lens blur(0.5)", answer: str = "1") -> str:
    """A complete chain whose TYPE block holds any text."""
    return format_chain(Recipe(), "Edges are soft.", "I look at the outline.", "It is a cat.", answer).replace(
        "none", types, 1
    )


def named(types: str) -> Recipe:
    return parse_chain(chain(types)).recipe


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.tokenizer()


# --- accuracy ---


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("a cat", 1), ("1", 1), ("B", 1), ("1. a cat", 1), ("a dog", 0), ("0", 0), ("", 0), ("nothing of these", 0)],
)
def test_an_answer_is_right_if_it_means_the_true_option(answer, expected):
    assert accuracy(answer, "a cat", OPTIONS) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Red car", 1), ("the red car.", 1), ("a  RED, car", 1), ("car", 0), ("red cars", 0), ("the", 0), ("", 0)],
)
def test_without_options_the_words_decide(answer, expected):
    assert accuracy(answer, "a red car") == expected


@pytest.mark.parametrize(("truth", "options"), [("", []), ("the", []), ("a horse", OPTIONS), ("", OPTIONS)])
def test_a_truth_that_nothing_can_equal_is_refused(truth, options):
    with pytest.raises(ValueError, match="the true answer"):
        accuracy("a cat", truth, options)


# --- format ---


def test_a_chain_is_complete_with_all_blocks_closed_in_order():
    whole = chain()
    blocks = whole.split("\n")
    assert complete(whole) == complete(f"Well: {whole} That was it.") == 1
    assert complete(whole.removesuffix("<ANSWER_END>")) == 0
    assert complete("\n".join(blocks[:4])) == 0
    assert complete("\n".join([blocks[1], blocks[0], *blocks[2:]])) == 0
    assert complete("") == 0


# --- r_deg ---


def test_r_deg_is_that_of_the_published_code():
    applied = Recipe({BLUR: 0.5, NOISE: 0.3})
    assert r_deg(applied, applied) == pytest.approx(2 * 1.5)
    assert r_deg(applied, Recipe({BLUR: 0.7, NOISE: 0.3})) == pytest.approx(1.3 + 1.5)
    assert r_deg(applied, Recipe({BLUR: 0.5})) == pytest.approx(1.5 - 1)
    assert r_deg(applied, Recipe({BLUR: 0.5, NOISE: 0.3, RAIN: 0.9})) == pytest.approx(3 - 1)
    assert r_deg(applied, Recipe({RAIN: 0.9})) == pytest.approx(-1 - 2)
    assert r_deg(applied, Recipe()) == -2
    assert r_deg(Recipe(), Recipe()) == 0
    assert r_deg(Recipe(), Recipe({RAIN: 0.9})) == -1


def test_r_deg_of_the_paper_is_its_double_sum():
    three = Recipe({BLUR: 0.5, NOISE: 0.3, RAIN: 0.2})
    assert r_deg_paper(three, three) == pytest.approx(3 - 6)  # what makes it no default
    assert r_deg_paper(three, Recipe({BLUR: 0.7})) == pytest.approx(0.8 - 2)
    assert r_deg_paper(Recipe({BLUR: 0.5}), Recipe({BLUR: 0.1})) == pytest.approx(0.6)
    assert r_deg_paper(Recipe({BLUR: 0.5, NOISE: 0.1}), Recipe({RAIN: 0.5})) == -2
    assert r_deg_paper(three, Recipe()) == r_deg_paper(Recipe(), three) == 0


# --- r_len ---


def test_r_len_falls_by_the_relative_difference():
    assert r_len(100, 100) == 1
    assert r_len(80, 100) == r_len(120, 100) == pytest.approx(0.8)
    assert r_len(0, 100) == 0
    assert r_len(1000, 100) == pytest.approx(-8)  # not bounded below, as published
    with pytest.raises(ValueError, match="no tokens"):
        r_len(10, 0)


# --- as TRL calls them ---


def scored(names: list[str], texts: list[str], tokenizer, **columns) -> dict[str, list[float]]:
    given = {"id": 0, "recipe": "lens blur(0.5)", "answer": "a cat", "options": OPTIONS, "chain": chain()} | columns
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    given = {name: [value] * len(texts) for name, value in given.items()}
    prompts = [[{"role": "user", "content": "?"}]] * len(texts)
    return {
        reward.__name__: reward(prompts=prompts, completions=completions, completion_ids=[], **given)
        for reward in for_trl(names, tokenizer)
    }


def test_every_reward_scores_a_batch_under_its_name(tokenizer):
    texts = [chain(), chain("lens blur(0.8), gaussian noise(0.1)", "0"), "I do not know."]
    given = scored(list(REWARDS), texts, tokenizer)
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert given == {
        "accuracy": [1, 0, 0],
        "format": [1, 1, 0],
        "r_deg": [1.5, pytest.approx(1.2 - 1), -1],
        "r_deg_paper": [1, pytest.approx(0.7 - 1), 0],
        "r_len": [pytest.approx(1 - abs(length - lengths[0]) / lengths[0]) for length in lengths],
    }


@pytest.mark.parametrize(
    ("reference", "said", "paid"),
    [
        ("1", "1", 1), ("1", "2", 0), ("1", "(1)", 1), ("1", "1. 2", 1),  # the reference answers by index: 1 is "2"
        ("2", "2", 1), ("2", "1", 0), ("2", "1. 2", 1),  # in words
    ],
)  # fmt: skip
def test_a_number_among_numbers_means_what_it_means_in_the_reference(tokenizer, reference, said, paid):
    asked = {"options": ["1", "2", "3"], "answer": "2", "chain": chain(answer=reference)}
    assert scored(["accuracy"], [chain(answer=said)], tokenizer, **asked) == {"accuracy": [paid]}
    asked = {"options": ["4", "0", "2"], "answer": "4", "chain": chain(answer="4")}  # in words, as 4 is no index
    assert scored(["accuracy"], [chain(answer="0")], tokenizer, **asked) == {"accuracy": [0]}


def test_samples_are_logged_beside_their_completions_once(tokenizer):
    logged = []
    for reward in for_trl(["r_deg", "format"], tokenizer):
        reward(
            prompts=[None], completions=[[{"role": "assistant", "content": chain()}]], id=[7],
            recipe=["lens blur(0.5)"], answer=["a cat"], log_extra=lambda *column: logged.append(column),
        )  # fmt: skip
    assert logged == [("id", [7]), ("recipe", ["lens blur(0.5)"]), ("answer", ["a cat"])]


@pytest.mark.parametrize("names", [["accuracy", "r_size"], []])
def test_an_unknown_reward_is_named_with_those_that_there_are(names, tokenizer):
    with pytest.raises(ValueError, match=r"there is no reward .*accuracy, format, r_deg"):
        for_trl(names, tokenizer)


# --- faults of the published reward code ---


def test_fault_a_repeated_type_pays_once():
    repeated = named("lens blur(0.5), lens blur(0.5), Lens_Blur (0.4)")
    assert r_deg(Recipe({"lens blur": 0.5}), repeated) == 1.5


def test_fault_a_space_before_the_bracket_is_read():
    assert r_deg(Recipe({"lens blur": 0.31}), named("lens blur (0.31)")) == 1.5


@pytest.mark.parametrize("types", ["lens blur(0.5.1)", "lens blur()", "lens blur(½)", "lens blur(1e9)", "((((", "\x00"])
def test_fault_a_number_that_is_none_earns_nothing_and_raises_nothing(types, tokenizer):
    assert scored(["r_deg"], [chain(types)], tokenizer) == {"r_deg": [-1]}


@pytest.mark.parametrize("text", ["", "no tags", "<ANSWER>", "<ANSWER> <ANSWER_END>", chain(answer="")])
def test_fault_two_missing_answers_are_not_equal(text, tokenizer):
    assert scored(["accuracy"], [text], tokenizer) == {"accuracy": [0]}
    assert scored(["accuracy"], [text], tokenizer, options=[]) == {"accuracy": [0]}
    with pytest.raises(ValueError, match="the true answer"):
        scored(["accuracy"], [text], tokenizer, answer="", options=[])


def test_fault_the_tokenizer_is_loaded_once(tokenizer, monkeypatch):
    calls = []

    class Counting:
        def __call__(self, texts, **options):
            calls.append(len(texts))
            return tokenizer(texts, **options)

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", None)
    (reward,) = for_trl(["r_len"], Counting())
    for _ in range(2):
        completion = [{"role": "assistant", "content": chain()}]
        assert reward(prompts=[None] * 3, completions=[completion] * 3, chain=[chain()] * 3) == [1, 1, 1]
    assert calls == [3, 3] * 2  # the completions of a batch at once, and its references


def test_fault_a_perfect_chain_reaches_every_rewards_best(tokenizer):
    text = chain("lens blur(0.5)", "1")
    best = scored(["accuracy", "format", "r_deg", "r_len"], [text], tokenizer, chain=text)
    assert best == {"accuracy": [1], "format": [1], "r_deg": [1.5], "r_len": [1]}
