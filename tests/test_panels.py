"""Chains to HTML: states, marks, figures, and that nothing a model writes becomes markup."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations import REGISTRY, Recipe
from demo import markup
from demo.chain import TAGS, format_chain
from demo.compare import panels
from tests.spoken import spoken

RECIPE = Recipe({"lens blur": 0.31, "gaussian noise": 0.5})
CHAIN = format_chain(RECIPE, "Edges are soft.", "Two ears, short fur.", "It is a cat.", "1")
OPTIONS = ("dog", "cat")
DONE = {"tokens": 42, "ttft_s": 0.21, "tokens_per_s": 33.4, "stop_reason": "eos"}


def side(text="", answer=None, choice=None, **more):
    return {"text": text, "done": False, "stats": None, "answer": answer, "choice": choice, **more}


def done(text="", answer=None, choice=None, stop_reason="eos", **more):
    return side(text, answer, choice, **more) | {"done": True, "stats": DONE | {"stop_reason": stop_reason}}


class Tags(HTMLParser):
    """The elements of some HTML, and whether they nest."""

    VOID = frozenset({"br", "img", "input"})

    def __init__(self, html: str):
        super().__init__()
        self.names, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        assert all(not name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def states(html: str) -> dict[str, str]:
    return {name: state for state, name in re.findall(r'class="panel (\w+)" data-block="(\w+)"', html)}


def test_before_a_question_every_column_says_what_will_come():
    for html in (panels.baseline_column(None), panels.robust_column(None), panels.scoreboard(None)):
        assert "empty" in html


def test_five_panels_fill_in_order_with_the_open_one_marked():
    seen = []
    for end in range(len(CHAIN) + 1):
        html = panels.robust_column(side(CHAIN[:end]))
        now = states(html)
        assert tuple(now) == TAGS
        order = ["closed", "open", "ahead"]
        ranks = [order.index(state) for state in now.values()]
        assert ranks == sorted(ranks)
        assert list(now.values()).count("open") == html.count('aria-current="step"') <= 1
        if not seen or seen[-1] != now:
            seen.append(now)
    assert set(seen[0].values()) == {"ahead"}
    assert set(seen[-1].values()) == {"closed"}
    assert {name for state in seen for name, how in state.items() if how == "open"} == set(TAGS)


def test_predicted_types_are_chips_with_their_intensity():
    html = panels.robust_column(side(CHAIN))
    assert html.count('class="chip ') == 2
    for name, intensity in RECIPE.items():
        assert REGISTRY[name].label in html
        assert f"--level:{intensity:.0%}" in html


def test_no_degradation_seen_is_said():
    assert ">none<" in panels.robust_column(side("<TYPE>none<TYPE_END>"))


def test_a_chain_cut_off_says_where_and_why():
    html = panels.robust_column(done(CHAIN[: CHAIN.index("short")], stop_reason="length"))
    assert states(html)["REASONING"] == "cut"
    assert "token limit" in html


def test_words_without_tags_are_shown_as_they_are():
    html = panels.robust_column(done("It is a cat."))
    assert "no tagged chain" in html
    assert "It is a cat." in html


@pytest.mark.parametrize("column", [panels.baseline_column, panels.robust_column])
def test_the_right_answer_is_marked_where_it_is_known(column):
    assert "correct" not in column(done(CHAIN, "cat", 1), OPTIONS)
    assert 'class="mark right"' in column(done(CHAIN, "cat", 1), OPTIONS, 1)
    wrong = column(done(CHAIN, "dog", 0), OPTIONS, 1)
    assert 'class="mark wrong"' in wrong
    assert "it is cat" in wrong
    assert "none of the options" in column(done(CHAIN, "a bird", None), OPTIONS, 1)
    assert "mark" not in column(side(CHAIN, "cat", 1), OPTIONS, 1)


def test_an_open_question_has_an_answer_and_no_mark():
    html = panels.baseline_column(done("A cat on a sofa.", "A cat on a sofa."))
    assert states(html) == {"ANSWER": "closed"}
    assert "mark" not in html


@pytest.mark.parametrize("column", [panels.baseline_column, panels.robust_column])
def test_figures(column):
    html = spoken(column(done("It is", "It is", stop_reason="stopped")))
    assert "42 tokens · first after 0.21 s · 33 tokens/s · stopped" in html
    nothing = done() | {"stats": {"tokens": 0, "ttft_s": None, "tokens_per_s": None, "stop_reason": "stopped"}}
    assert "0 tokens · stopped" in spoken(column(nothing))
    assert "waiting" in column(side())
    assert "writing" in column(side("It"))


@pytest.mark.parametrize("column", [panels.baseline_column, panels.robust_column])
@pytest.mark.parametrize("stats", [None, DONE | {"stop_reason": "error"}])
def test_a_failure_is_shown_as_a_failure(column, stats):
    html = column(side("It", error="out of memory") | {"done": True, "stats": stats}, OPTIONS, 1)
    assert 'role="alert"' in html
    assert "out of memory" in html
    assert 'class="mark' not in html
    assert "waiting" not in html
    assert "writing" not in html


def test_scoreboard_of_hits_misses_and_inventions():
    applied = Recipe({"lens blur": 0.4, "scan lines": 0.2})
    html = panels.scoreboard(applied, done(CHAIN))
    assert re.findall(r'<tr class="(\w+)', html) == ["hit", "miss", "invention"]  # in the order of application
    assert re.findall(r"<dd>(.*?)</dd>", html) == ["1", "1", "1", "0.09"]
    assert html.count('class="bar ') == 6
    assert "off by 0.09" in html


def test_nothing_is_missed_while_the_model_may_still_name_it():
    applied = Recipe({"lens blur": 0.4, "scan lines": 0.2})
    for text in ("", "<TYPE>lens blur(0.31), "):
        html = panels.scoreboard(applied, side(text))
        assert "missed" not in html
    assert html.count("<tr class=") == 2
    assert "missed" in panels.scoreboard(applied, side("<TYPE>lens blur(0.31)<TYPE_END>"))
    assert panels.scoreboard(applied, done("nothing tagged")).count("missed") == 2
    assert "missed" not in panels.scoreboard(applied, done("<TYPE>", stop_reason="stopped"))
    assert "missed" not in panels.scoreboard(applied, side(error="broken") | {"done": True})


def test_scoreboard_of_nothing():
    assert "none was predicted" in panels.scoreboard(Recipe(), done("<TYPE>none<TYPE_END>"))
    assert "–" in panels.scoreboard(Recipe({"lens blur": 0.4}), done("<TYPE>none<TYPE_END>"))  # no error without hits


def test_a_page_in_chinese_says_all_but_the_models_words_in_chinese():
    shown = [panels.robust_column(None), panels.scoreboard(None), panels.scoreboard(Recipe(), done(CHAIN))]
    shown += [column(done("x", "x", stop_reason="length"), ("x", "y"), 1) for column in (panels.baseline_column,)]
    shown += [panels.robust_column(side("", error="x") | {"done": True}), markup.header("x", 3)]
    for html in shown:
        assert not re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", " ", spoken(html, "zh"))), html
        assert not re.findall(r"[一-鿿]", re.sub(r"<[^>]*>", " ", spoken(html, "en"))), html


HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</p></article>",
        '" onload="x',
        "&lt;b&gt;",
        "<TYPE>",
    ]
)


@given(
    st.lists(HOSTILE | st.sampled_from([f"<{name}{end}>" for name in TAGS for end in ("", "_END")])), HOSTILE, HOSTILE
)
def test_whatever_a_model_or_a_visitor_writes_stays_text(pieces, answer, option):
    own = {"div", "article", "h3", "small", "span", "p", "ul", "li", "b"}
    text = "".join(pieces)
    for state in (side(text), done(text, answer, 0), done(text, answer, None, error=option)):
        for column in (panels.baseline_column, panels.robust_column):
            assert set(Tags(column(state, (option, option), 1)).names) <= own
    assert "script" not in Tags(panels.scoreboard(RECIPE, done(text))).names
    assert set(Tags(markup.message(text, "bad") + markup.remark(text) + markup.heading(text, text)).names) <= {
        "p",
        "h2",
        "small",
    }
    assert "script" not in Tags(markup.header(text, 3)).names
