"""A link: what is on the page, as the query of its address. It needs nothing that a restart forgets.

    ?photo=cat.jpg&question=…&options=dog%0Acat&recipe=lens+blur(0.3)&seed=7&temperature=0&tokens=320&pair=…

`photo` is an example's file name; `upload` stands in its place for a photo that somebody shared, by its id. `pair` says
in twelve digits which weights and prompts the page had that made the link; `recover=1` switches the recovery on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from degradations import Recipe
from demo import settings
from demo.texts import Text, reason

FIELDS = ("photo", "upload", "question", "options", "recipe", "seed", "temperature", "tokens", "pair", "recover")
UPLOAD = re.compile("[0-9a-f]{32}")
"""An id of `demo.share.uploads`: 128 bits."""


@dataclass(frozen=True)
class State:
    """What a link holds.

    Attributes:
        photo: an example's file name, or None.
        upload: the id of a shared photo, or None.
        question: without its options, which may be none.
        pair: `demo.provenance.pair_mark` of the page that made it; empty where it does not say.
        recover: whether the picture is to be recovered first.
    """

    photo: str | None = None
    upload: str | None = None
    question: str = ""
    options: tuple[str, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = settings.SEED
    temperature: float = settings.TEMPERATURE
    max_new_tokens: int = settings.NEW_TOKENS
    pair: str = ""
    recover: bool = False

    def as_query(self) -> str:
        """The address's query, with its question mark."""
        told = {
            "photo": self.photo,
            "upload": self.upload,
            "question": self.question,
            "options": "\n".join(self.options),
            "recipe": str(self.recipe),
            "seed": self.seed,
            "temperature": f"{self.temperature:g}",
            "tokens": self.max_new_tokens,
            "pair": self.pair,
            "recover": "1" if self.recover else "",
        }
        return "?" + urlencode({name: value for name, value in told.items() if value not in (None, "")}, safe="(),")


def read(query: str, max_new_tokens: int = settings.NEW_TOKENS) -> State | None:
    """What a link's query says; None where it says nothing of this kind.

    Args:
        query: with or without its question mark; anything that a visitor may write.
        max_new_tokens: where the link does not say.

    Raises:
        ValueError: too long, or something in it that cannot be.
    """
    query = query.removeprefix("?")
    if len(query) > settings.MAX_LINK_CHARACTERS:
        raise ValueError(Text("share.link-too-long", most=settings.MAX_LINK_CHARACTERS))
    try:
        given = {name: values[-1] for name, values in parse_qs(query, max_num_fields=50).items()}
        if not any(name in given for name in FIELDS):
            return None
        question, options = given.get("question", "").strip(), _lines(given.get("options", ""))
        if len(question) + sum(map(len, options)) > settings.MAX_QUESTION_CHARACTERS:
            raise ValueError(Text("page.question-too-long", most=settings.MAX_QUESTION_CHARACTERS))
        return State(
            photo=_photo(given.get("photo")),
            upload=_upload(given.get("upload")),
            question=question,
            options=options,
            recipe=Recipe.parse(given.get("recipe", "")),
            seed=_number("seed", given.get("seed", settings.SEED), 0, settings.MAX_SEED, whole=True),
            temperature=_number(
                "temperature", given.get("temperature", settings.TEMPERATURE), 0, settings.MAX_TEMPERATURE
            ),
            max_new_tokens=_number(
                "tokens", given.get("tokens", max_new_tokens), 1, settings.MAX_NEW_TOKENS, whole=True
            ),
            pair=given.get("pair", "")[:12],
            recover=given.get("recover") == "1",
        )
    except ValueError as error:
        raise ValueError(Text("share.bad-link", reason=reason(error))) from error


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _photo(name: str | None) -> str | None:
    if name is not None and (Path(name).name != name or len(name) > 200):
        raise ValueError(Text("share.no-such-photo", name=name[:80]))
    return name


def _upload(name: str | None) -> str | None:
    if name is not None and not UPLOAD.fullmatch(name):
        raise ValueError(Text("share.no-such-photo", name=name[:80]))
    return name


def _number(name: str, text: object, low: float, high: float, whole: bool = False) -> float | int:
    try:
        value = (int if whole else float)(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise ValueError(Text("page.bad-number", name=name, low=low, high=high, value=repr(text)[:40]))
    return value


def of_question(whole: str, options: Sequence[str]) -> str:
    """A question with its options as endpoints take it, without them: its first line."""
    return whole.splitlines()[0] if options else whole
