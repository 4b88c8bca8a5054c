"""Every word that a visitor reads, from the tables in texts/, in every language of the page.

A table is named by its tab, an entry by a key: ``compare.json``'s entry ``ask`` is the text ``compare.ask``. Each entry
has one string a language, with ``{names}`` for values; two strings are for a `count` of one and of any other number.
``vocabulary.json`` is for English that is written elsewhere (the registry of degradations, the examples, what the
degradations' own errors say): its keys are that English, with ``{names}`` where it varies, its entries translations.

What a browser draws itself (HTML) carries all languages, and the style sheet shows the page's one: switching costs
nothing and loses nothing. What Gradio draws from a component's properties is the business of `demo.labels`.
"""

import json
import re
from functools import lru_cache
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = {"en": "English", "zh": "中文"}
"""Code -> own name. The first one is what scripts and logs get."""
VOCABULARY = "vocabulary"
DEFAULT = next(iter(LANGUAGES))


@lru_cache(maxsize=1)
def tables() -> dict[str, dict[str, str | list[str]]]:
    """Every text: key -> language -> string, or the pair for one and for many."""
    texts = {}
    for path in sorted(FOLDER.glob("*.json")):
        for key, entry in json.loads(path.read_text(encoding="utf-8")).items():
            own = path.stem == VOCABULARY
            texts[key if own else f"{path.stem}.{key}"] = {DEFAULT: key, **entry} if own else entry
    return texts


def say(key: str, language: str = DEFAULT, **values: object) -> str:
    """A text in one language.

    Args:
        key: ``table.entry``, or the English of an entry of the vocabulary.
        language: one of `LANGUAGES`.
        values: for the names in braces; a `Text` among them is said in the same language.

    Raises:
        KeyError: there is no such text, it lacks this language, or a value for it is missing.
    """
    text = tables()[key][language]
    if isinstance(text, list):
        text = text[values["count"] != 1]
    if not values:
        return text
    return text.format(**{name: spoken(value, language) for name, value in values.items()})


class Text:
    """A text whose language is not chosen yet; as a string it is English."""

    def __init__(self, key: str, **values: object):
        self.key, self.values = key, values

    def say(self, language: str) -> str:
        return say(self.key, language, **self.values)

    def __str__(self) -> str:
        return self.say(DEFAULT)

    def __repr__(self) -> str:
        return f"Text({self.key!r}, **{self.values!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.key, self.values) == (other.key, other.values)

    def __hash__(self) -> int:
        return hash(self.key)


def known(english: str) -> "Text | str":
    """The text for English that is written elsewhere; the English itself where the vocabulary lacks it."""
    if english in tables():
        return Text(english)
    matches = ((key, pattern.fullmatch(english)) for key, pattern in _patterns().items())
    return next((Text(key, **match.groupdict()) for key, match in matches if match), english)


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern]:
    """What the vocabulary's entries with values look like when they are said."""
    keys = [key for key, entry in tables().items() if entry[DEFAULT] == key and "{" in key]
    return {key: re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(key)), re.DOTALL) for key in keys}


def reason(error: Exception) -> "Text | str":
    """What an exception says: the `Text` that it was raised with, else its message."""
    first = error.args[0] if error.args else ""
    return first if isinstance(first, Text) else known(str(error))


def spoken(value: object, language: str) -> object:
    """A value for one language: each `Text` in it, also inside lists and tuples, as a string."""
    if isinstance(value, Text):
        return value.say(language)
    if isinstance(value, list | tuple):
        return type(value)(spoken(item, language) for item in value)
    return value


def both(text: "Text | str", element: str = "span") -> str:
    """A text as escaped HTML in all languages, of which the style sheet shows one.

    Args:
        element: what wraps each language; ``tspan`` inside of an SVG.
    """
    if not isinstance(text, Text):
        return escape(text)
    said = {language: text.say(language) for language in LANGUAGES}
    if len(set(said.values())) == 1:
        return escape(said[DEFAULT])
    return "".join(
        f'<{element} class="said" lang="{language}">{escape(words)}</{element}>' for language, words in said.items()
    )


def shown(key: str, **values: object) -> str:
    """`both` of `Text(key, **values)`."""
    return both(Text(key, **values))
