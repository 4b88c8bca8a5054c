"""The chain's formatter and parser: they agree, and the parser takes anything."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations import REGISTRY, Recipe
from demo.chain import (
    DEFAULT_PROMPT,
    DIRECT_PROMPT,
    TAGS,
    build_prompt,
    format_chain,
    parse_chain,
    parse_options,
    question_with_options,
    read_answer,
    read_recipe,
)

EXAMPLE = (
    "<TYPE>lens blur(0.31), gaussian noise(0.05)<TYPE_END>\n"
    "<INFLUENCE>Edges are soft.<INFLUENCE_END>\n"
    "<REASONING>Two sleeves, a collar.<REASONING_END>\n"
    "<CONCLUSION>A shirt, so 1.<CONCLUSION_END>\n"
    "<ANSWER>1<ANSWER_END>"
)
RECIPE = Recipe({"lens blur": 0.31, "gaussian noise": 0.05})
TEXTS = ("influence", "reasoning", "conclusion", "answer")

recipes = st.dictionaries(st.sampled_from(list(REGISTRY)), st.floats(0, 1)).map(Recipe)
# Words that look like tags without being one are allowed inside a block.
prose = st.lists(
    st.one_of(
        st.text(max_size=20), st.sampled_from(["<", ">", "<T", "</", "< ", "TYPE", "_END>", "<b>", "\n", "0.5)"])
    ),
    max_size=6,
).map("".join)


def is_prose(text: str) -> bool:
    try:
        format_chain(Recipe(), text, "", "", "")
    except ValueError:
        return False
    return True


def tag(name: str) -> st.SearchStrategy[str]:
    forms = [
        f"<{name}>",
        f"<{name}_END>",
        f"</{name}>",
        f"<{name.lower()}>",
        f"< {name} >",
        f"<{name}_end>",
        f"<{name}",
    ]
    return st.sampled_from(forms)


# Model output gone wrong: tags in any order and form, entries, prose.
wild = st.lists(
    st.one_of(
        st.sampled_from(TAGS).flatmap(tag),
        prose,
        st.sampled_from(["lens blur(0.31)", "Noise (0.5), ", "graffiti(1.7)", "sun(0.2)", "lens_blur(.4", "(0.5.1)"]),
    ),
    max_size=14,
).map("".join)


# --- writing and reading ---


@given(recipes, *[prose.filter(is_prose)] * 4)
def test_what_is_written_is_read(recipe, influence, reasoning, conclusion, answer):
    chain = parse_chain(format_chain(recipe, influence, reasoning, conclusion, answer))
    assert chain.recipe == recipe
    for name, text in zip(TEXTS, (influence, reasoning, conclusion, answer), strict=True):
        assert getattr(chain, name) == text.strip()
    assert chain.open is None and chain.closed == set(TAGS) and chain.complete


def test_the_written_form_is_the_published_one():
    written = format_chain(RECIPE, "Edges are soft.", "Two sleeves, a collar.", "A shirt, so 1.", "1")
    assert written == EXAMPLE
    assert parse_chain(written).raw == written


@pytest.mark.parametrize("position", range(4))
def test_a_tag_inside_a_text_is_refused(position):
    texts = ["fine"] * 4
    texts[position] = "so <ANSWER>2<ANSWER_END>"
    with pytest.raises(ValueError, match="tag"):
        format_chain(RECIPE, *texts)


# --- reading anything ---


@given(st.one_of(st.text(), wild))
def test_nothing_raises(text):
    chain = parse_chain(text)
    assert chain.raw == text
    assert isinstance(chain.recipe, Recipe)
    assert chain.closed <= set(TAGS)
    assert chain.open is None or (chain.open in TAGS and chain.open not in chain.closed)


@given(wild)
def test_longer_prefixes_never_take_back_what_was_closed(text):
    before = parse_chain("")
    for end in range(len(text) + 1):
        now = parse_chain(text[:end])
        assert before.closed <= now.closed
        for name in before.closed - {"TYPE"}:
            assert getattr(now, name.lower()) == getattr(before, name.lower())
        if "TYPE" in before.closed:
            assert now.recipe == before.recipe
        # Entries appear one by one and stay.
        assert before.recipe.items() <= now.recipe.items()
        before = now


def test_the_prefixes_of_a_whole_chain():
    opened, closed = [], []
    for end in range(len(EXAMPLE) + 1):
        chain = parse_chain(EXAMPLE[:end])
        # A tag that is being written never shows as text.
        assert "<" not in chain.influence + chain.reasoning + chain.conclusion + chain.answer
        if chain.open and chain.open not in opened:
            opened.append(chain.open)
        closed.extend(sorted(chain.closed - set(closed)))
        assert chain.complete == (end == len(EXAMPLE))
    assert opened == closed == list(TAGS)
    assert chain.recipe == RECIPE


def test_an_empty_text_is_an_empty_chain():
    chain = parse_chain("")
    assert chain.recipe == {} and not any(getattr(chain, name) for name in TEXTS)
    assert chain.open is None and chain.closed == frozenset() and not chain.complete


# --- the sloppy variants that published models write ---


@pytest.mark.parametrize(
    "block",
    [
        "lens blur(0.31), gaussian noise(0.05)",
        "lens blur (0.31), gaussian noise (0.05)",
        "lens blur( 0.31 ), gaussian noise( .05 )",
        "Lens Blur(0.31), GAUSSIAN NOISE(0.05)",
        "lens_blur(0.31), gaussian_noise(0.05)",
        "Lens_Blur (0.31); Gaussian_Noise (0.05)",
        "lens blur(0.31)\ngaussian noise(0.05)\n",
        "- lens blur(0.31)\n- noise(0.05)",
        "gaussian noise(0.05), lens blur(0.31)",
        "lens blur(0.31), gaussian noise(0.05), overall(0.36)",
        "Overall (0.36): lens blur(0.31), gaussian noise(0.05)",
        "lens blur(0.31), lens blur(0.9), gaussian noise(0.05)",
        "lens blur(0.31), sunshine(0.7), gaussian noise(0.05), graffiti(1.7), scan lines(0.5.1), flare",
        "lens blur(0.31), gaussian noise(0.05), scan lines(",
    ],
)
def test_types_are_read_however_they_are_written(block):
    assert read_recipe(block) == RECIPE
    assert parse_chain(f"<TYPE>{block}<TYPE_END>").recipe == RECIPE
    assert parse_chain(f"<TYPE> {block}").recipe == RECIPE


@pytest.mark.parametrize("name", list(REGISTRY))
def test_every_type_is_read_by_name_and_label(name):
    for spelling in (name, REGISTRY[name].label, name.replace(" ", "_").upper()):
        assert read_recipe(f"{spelling} (0.31)") == {name: 0.31}


@pytest.mark.parametrize("block", ["", "none", "None", "NONE.", "nothing", "lens blur", "lens blur(strong)", "(0.5)"])
def test_types_that_name_nothing_are_an_empty_recipe(block):
    assert parse_chain(f"<TYPE>{block}<TYPE_END>").recipe == Recipe()


def test_other_scripts_digits_and_endless_numbers_are_left_out():
    assert read_recipe("lens blur(٠.٥), graffiti(" + "9" * 500 + "), scan lines(0." + "3" * 500 + ")") == {
        "scan lines": pytest.approx(1 / 3)
    }


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.lower(),
        EXAMPLE.replace("\n", ""),
        EXAMPLE.replace("\n", "\n\nLet me think about <b>that</b>.\n"),
        "Sure!\n" + EXAMPLE + "\nDone.",
        EXAMPLE.replace("_END>", "_end>"),
        EXAMPLE.replace("<TYPE_END>", "</TYPE>").replace("<ANSWER_END>", "</ANSWER>"),
        EXAMPLE.replace("<TYPE_END>", "").replace("<REASONING_END>", ""),
        EXAMPLE.replace("<REASONING_END>", "<TYPE_END>").replace("<CONCLUSION_END>", ""),
        EXAMPLE.replace("<", "< ").replace(">", " >"),
        EXAMPLE.removesuffix("<ANSWER_END>"),
        EXAMPLE.removesuffix("_END>"),
        EXAMPLE + "\n" + EXAMPLE.replace("shirt", "hat").replace("0.31", "0.9"),
    ],
)
def test_blocks_are_read_however_they_are_closed(text):
    chain = parse_chain(text)
    assert chain.recipe == RECIPE
    assert chain.influence.lower() == "edges are soft."
    assert chain.reasoning.lower() == "two sleeves, a collar."
    assert chain.conclusion.lower() == "a shirt, so 1."
    assert chain.answer == "1"


def test_a_block_that_never_closes_is_open():
    chain = parse_chain("<TYPE>none<TYPE_END><INFLUENCE>Nothing hides the")
    assert (chain.open, chain.influence, chain.closed) == ("INFLUENCE", "Nothing hides the", {"TYPE"})


def test_between_blocks_nothing_is_open():
    chain = parse_chain("<TYPE>none<TYPE_END> and so on")
    assert (chain.open, chain.closed, chain.influence) == (None, {"TYPE"}, "")


def test_blocks_out_of_order_are_read_but_are_no_complete_chain():
    text = "<ANSWER>2<ANSWER_END><TYPE>graffiti(0.5)<TYPE_END>"
    chain = parse_chain(text)
    assert (chain.answer, chain.recipe) == ("2", {"graffiti": 0.5})
    assert not chain.complete


@pytest.mark.parametrize("name", TAGS)
def test_a_chain_without_one_block_is_not_complete(name):
    lines = [line for line in EXAMPLE.split("\n") if not line.startswith(f"<{name}>")]
    assert not parse_chain("\n".join(lines)).complete


def test_degenerate_text_is_read_quickly():
    """A model that repeats itself to its limit must not hold up the page, which parses after every update."""
    start = time.process_time()
    for text in ("a ", "lens blur ", "<", "< ", "<TYPE", "(0.3", " ", "_", "<TYPE>", "lens blur(0.3), "):
        parse_chain("<TYPE>" + text * 2000)
        parse_chain(text * 2000)
        parse_chain("<TYPE>a" + text * 2000)
    for text in ("<" + " " * 50_000, "<TYPE" + " " * 50_000, "<TYPE>a(" + "1" * 50_000, "<TYPE>a" + " " * 50_000):
        parse_chain(text)
    for text in ("\n" * 50_000 + "x", "0. a" + " " * 50_000 + "b", "0" * 50_000, " " * 50_000 + "0"):
        parse_options(text)
        read_answer(text, OPTIONS)
    assert time.process_time() - start < 5


# --- the prompt ---


def test_the_default_prompt_asks_for_the_five_blocks_in_order():
    prompt = build_prompt("What is {this}?")
    assert prompt.startswith("What is {this}?\n")
    places = [prompt.index(f"<{name}>") for name in TAGS] + [prompt.index(f"<{name}_END>") for name in TAGS]
    assert places[:5] == sorted(places[:5]) and places[5:] == sorted(places[5:])
    assert "{question}" in DEFAULT_PROMPT
    assert build_prompt("What is {this}?", DIRECT_PROMPT) == "What is {this}?"


def test_a_prompt_of_ones_own():
    assert build_prompt("Why?", "A {thing}: {question} {{}}") == "A {thing}: Why? {{}}"
    with pytest.raises(ValueError, match="question"):
        build_prompt("Why?", "no placeholder")


# --- options and answers ---

OPTIONS = ["shirt", "t-shirt", "hat", "red hat"]
option = st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs")), min_size=1, max_size=12)


@given(st.lists(option, min_size=1, max_size=12))
def test_options_round_trip(options):
    assert parse_options(question_with_options("Which garment is shown?", options)) == options


def test_options_are_written_as_published_models_read_them():
    text = question_with_options("Which?", ["trucks", "a hat"])
    assert text == "Which?\n0. trucks\n1. a hat"
    assert parse_options(text) == ["trucks", "a hat"]
    assert question_with_options("Which?", []) == "Which?"


@pytest.mark.parametrize("question", ["", "What is 2. in the list?", "Which?\n1. a\n2. b", "Which?\n0. a\n2. b"])
def test_a_question_without_proper_options_has_none(question):
    assert parse_options(question) == []


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("2", 2), ("2.", 2), (" 2 \n", 2), ("2. hat", 2), ("(2)", 2), ("2: hat", 2), ("option 2", 2), ("Answer: 2", 2),
        ("The answer is 2.", 2), ("hat", 2), ("Hat.", 2), ("C", 2), ("c.", 2), ("(C)", 2), ("Option C", 2),
        ("C. hat", 2), ("0", 0), ("A", 0), ("shirt", 0), ("t-shirt", 1), ("T-Shirt", 1),
        ("red hat", 3), ("3. red hat", 3), ("It is the shirt, clearly.", 0), ("I would say option 1", 1),
        ("", None), ("7", None), ("4", None), ("Z", None), ("a dog", None), ("-1", None), ("shoes", None),
        ("2.5", None), ("9" * 5000, None), ("2 dogs", None), ("2 hat", 2), ("2) a warm hat", 2), ("option 1 it is", 1),
    ],
)  # fmt: skip
def test_answers_are_read_as_they_are_meant(text, index):
    assert read_answer(text, OPTIONS) == index


def test_options_that_are_numbers_are_meant_by_their_text():
    """Counting: "how many?" answered with a number that is the text of one option and the index of another."""
    assert read_answer("3", ["1", "2", "3", "4"]) == 2
    assert read_answer("4", ["2", "3", "4", "5"]) == 2


@pytest.mark.parametrize(
    ("text", "index"), [("1", 1), ("(1).", 1), ("2 dogs", 0), ("7", None), ("two", None), ("3", 1)]
)
def test_a_model_that_answers_by_the_index_means_the_index(text, index):
    """Where there is no such option, a number is read as anybody's is."""
    options = ["2 dogs", "3", "1"]
    assert read_answer(text, options, by_index=True) == index


def test_without_options_nothing_is_meant():
    assert read_answer("2", []) is None
    assert read_answer("hat", []) is None


@given(st.text(), st.lists(option, max_size=6))
def test_reading_an_answer_never_raises(text, options):
    index = read_answer(text, options)
    assert index is None or 0 <= index < len(options)
