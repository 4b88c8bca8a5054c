"""Every word of the page in every language: the tables, what is shown, and that no word is left in code."""

import ast
import io
import re
import string
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from degradations import REGISTRY, Recipe, files
from demo import texts
from demo.examples import load_examples
from demo.labels import Labels
from demo.texts import LANGUAGES, Text, both, known, reason, say

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = texts.tables()
SOURCES = [path for path in sorted((ROOT / "demo").rglob("*.py")) if path.name != "texts.py"]
SHOWN = {"label", "value", "placeholder", "info", "title", "submit_btn", "choices"}
"""What a component or a message shows of what it is given."""
MARKUP = {"message", "remark", "empty", "heading", "small", "both"}
ALLOWED = {"none", "bad", "played", "tspan"}
"""A recipe, kinds of message and of element: arguments that are no words for the visitor."""
LETTERS = re.compile(r"[A-Za-z一-鿿]{2}")


def fields(entry: str | list[str]) -> set[str]:
    forms = entry if isinstance(entry, list) else [entry]
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


# --- the tables ---


@pytest.mark.parametrize("key", ENTRIES)
def test_a_text_is_there_in_every_language_with_the_same_values(key):
    entry = ENTRIES[key]
    assert set(entry) == set(LANGUAGES)
    vocabulary = "." not in key or " " in key
    for language, form in entry.items():
        assert all(part.strip() for part in (form if isinstance(form, list) else [form]))
        assert isinstance(form, list) == isinstance(entry["en"], list)
        if not vocabulary:
            # One of something need not say its number.
            assert fields(form) == fields(entry["en"]), language
    # Some names are the same everywhere; a sentence is not.
    if len(str(entry["en"]).split()) > 3:
        assert entry["zh"] != entry["en"]


def used() -> set[str]:
    """The keys that the code names: whole, or by their beginning where the rest is put in."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                found.add(node.values[0].value)
    return found


def test_every_text_is_used_and_every_text_that_is_used_is_there():
    named = used()
    prefixes = tuple(name for name in named if re.fullmatch(r"[a-z]+\.[a-z-]*-", name))
    keys = {key for key in ENTRIES if re.fullmatch(r"[a-z]+\.\S+", key)}
    assert not [key for key in keys if key not in named and not key.startswith(prefixes)], "texts that nothing shows"
    tables = {key.split(".")[0] for key in keys}
    wanted = {
        name
        for name in named
        if not name.endswith((".js", ".css")) and re.fullmatch(r"[a-z]+\.[a-z][A-Za-z-]*[A-Za-z]", name)
    }
    assert not [name for name in wanted if name.split(".")[0] in tables and name not in keys], "texts without an entry"


def test_what_others_say_in_english_is_in_the_vocabulary():
    english = [text for entry in REGISTRY.values() for text in (entry.label, entry.description)]
    english += [text for example in load_examples() for text in (example.title, example.note) if text]
    assert not [text for text in english if not isinstance(known(text), Text)]
    recipes = ["sun(1)", "noise(1), noise(1)", "noise", "noise(1) blur(1)", "noise(x)", "noise(2)"]
    refusals = [refusal(Recipe.parse, recipe) for recipe in recipes]
    large = files.encode(Image.new("RGB", (2000, 1000)), "png")
    for content in (b"no picture", large, large[:100]):
        refusals.append(refusal(files.read_photo, io.BytesIO(content), 1_000_000 if content is large else None))
    refusals.append(refusal(files.eight_bits, np.full((1, 1), np.nan)))
    said = {known(text).key for text in refusals if isinstance(known(text), Text)}
    assert len(said) == len(recipes) + 4, refusals
    vocabulary = {key for key in ENTRIES if not re.fullmatch(r"[a-z]+\.\S+", key)}
    assert vocabulary == {*english, *said}, "translations of what nobody says"


def refusal(function: Callable, *arguments: object) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    return str(caught.value)


# --- what is made of them ---


def test_a_text_is_said_with_its_values_in_one_language():
    assert say("compare.tokens", "en", count=1) == "1 token"
    assert say("compare.tokens", "en", count=2) == "2 tokens"
    nested = Text("page.photo-unusable", reason=known("broken or incomplete"))
    assert str(nested) == "The photo is broken or incomplete. Please choose another."
    assert nested.say("zh") == "照片无法使用：已损坏或不完整。请换一张。"
    assert known("sunshine") == "sunshine"
    with pytest.raises(KeyError):
        say("compare.there-is-none")
    with pytest.raises(KeyError):
        say("compare.tokens", "fr", count=1)
    with pytest.raises(KeyError):
        say("compare.seen-at", "en", width=3)


def test_html_carries_every_language_and_no_markup_of_a_visitor():
    html = both(Text("compare.wrong", answer="<b>cat</b>"))
    assert html.count('class="said"') == len(LANGUAGES)
    assert "<b>" not in html and "&lt;b&gt;" in html
    assert both("<b>") == "&lt;b&gt;"
    assert both(Text("compare.options-placeholder")) == "dog\ncat"  # alike in all: said once


def test_an_error_says_what_it_was_raised_with():
    assert reason(ValueError(Text("page.no-photo"))) == Text("page.no-photo")
    assert reason(ValueError("plain")) == "plain"
    assert reason(files.PhotoError("broken or incomplete")).say("zh") == "已损坏或不完整"
    assert str(ValueError(Text("page.no-photo"))) == say("page.no-photo")


def test_labels_switch_and_nothing_else_of_a_component_does():
    labels = Labels()
    with gr.Blocks():
        box = labels(gr.Textbox, "typed", label=Text("compare.seed"), placeholder="as it is", lines=2)
        labels(gr.Button, value="plain")
        choice = labels(gr.Radio, choices=[(Text("compare.ask"), "a"), ("b", "b")], value="a")
    assert labels.components == [box, choice]
    assert (box.label, box.value, choice.choices) == ("Seed", "typed", [("Ask both", "a"), ("b", "b")])
    first, second = labels.updates("zh")
    assert first == gr.update(label="种子")
    assert second == gr.update(choices=[("同时提问", "a"), ("b", "b")])


# --- that no word is left in code ---


def words(node: ast.expr) -> str:
    """What a visitor would read of a string that stands in the code; tags are not read."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
    return re.sub(r"<[^>]*>", "", text)


def shown_literals(path: Path) -> list[str]:
    """Strings in code that a visitor would see: arguments of components and of messages, text between HTML tags."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # The endpoints' parameters are names for scripts.
    of_scripts = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name == "register"
        for node in ast.walk(function)
    }
    strings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node not in of_scripts:
            called = ast.unparse(node.func)
            if called.startswith("gr.") or called == "labels" or called.split(".")[-1] in MARKUP:
                strings += [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg in SHOWN)]
        elif isinstance(node, ast.Constant | ast.JoinedStr) and re.search(r">[^<>]*</", ast.unparse(node)):
            strings.append(node)
    read = {words(node) for node in strings if isinstance(node, ast.Constant | ast.JoinedStr)}
    return [text for text in read - ALLOWED if LETTERS.search(text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_for_the_visitor_stands_in_code(path):
    assert not shown_literals(path)


def test_the_search_for_words_in_code_finds_them(tmp_path):
    path = tmp_path / "tab.py"
    for line in ('gr.Button("Go")', 'labels(gr.Textbox, label="Name")', 'gr.Error(f"{n} wrong")', 'x = "<p>Hello</p>"',
                 'markup.message("Stopped.")', 'x = f"<b>Hello {name}</b>"'):  # fmt: skip
        path.write_text(line)
        assert shown_literals(path), line
    for line in ('labels(gr.Button, value=Text("a.b"))', 'gr.Button(name, elem_id="go")', 'x = "<p>{}</p>"'):
        path.write_text(line)
        assert not shown_literals(path), line
