"""Who asks, and what they may do.

A login (of the Space, or of Gradio's own ``auth``) says who somebody is. Without one, whoever started the program may
set a secret: each annotator gets a key made of it and of their name (``python -m demo.annotate invite NAME``), so
nobody writes under another's name. With neither, names are believed, but only where the page is served to its own
machine alone; elsewhere there is no annotating.

Operators open batches, have them predicted, export and import; annotators judge and see figures.
"""

import hashlib
import hmac
import ipaddress
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from demo.store.tables import NAME_LENGTH
from demo.texts import Text

SHORTEST_SECRET = 16
KEY_CHARACTERS = 32
"""Of 4 bits each."""
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")


class ForbiddenError(ValueError):
    """Somebody who may not do what they ask for."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who was checked."""

    name: str
    operator: bool


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Attributes:
        secret: what keys are made of, None without keys.
        local: the page is served to its own machine alone.
        operators: names of logins that are operators.
    """

    secret: str | None = None
    local: bool = False
    operators: frozenset[str] = frozenset()

    def __post_init__(self):
        if self.secret is not None and len(self.secret) < SHORTEST_SECRET:
            raise ValueError(
                f"the secret for annotators' keys has {len(self.secret)} characters; give {SHORTEST_SECRET}"
            )

    @property
    def needs_key(self) -> bool:
        """Whether a name has to be proved by its key."""
        return self.secret is not None

    def visitor(
        self, name: object, key: object, login: str | None = None, address: str = "", headers: Mapping = {}
    ) -> Visitor:
        """Who asks.

        Args:
            name, key: as typed or sent.
            login: the name by which they have logged in, None without.
            address, headers: of the request.

        Raises:
            ForbiddenError: nobody who may annotate.
        """
        if login:
            return Visitor(check_name(login), login in self.operators)
        if self.secret is not None:
            name = check_name(name)
            for operator in (False, True):
                if isinstance(key, str) and hmac.compare_digest(
                    key.strip().encode(), self.key(name, operator).encode()
                ):
                    return Visitor(name, operator)
            raise ForbiddenError(Text("annotate.wrong-key", name=name))
        if self.local and _is_own(address, headers):
            return Visitor(check_name(name), True)
        raise ForbiddenError(Text("annotate.closed"))

    def operator(self, visitor: Visitor) -> Visitor:
        """The visitor, if they are an operator.

        Raises:
            ForbiddenError: they are not.
        """
        if not visitor.operator:
            raise ForbiddenError(Text("annotate.operators-only", name=visitor.name))
        return visitor

    def key(self, name: str, operator: bool = False) -> str:
        """The key of a name."""
        if self.secret is None:
            raise ValueError("there is no secret to make keys of")
        words = f"{'operator' if operator else 'annotator'}\n{check_name(name)}"
        return hmac.new(self.secret.encode(), words.encode(), hashlib.sha256).hexdigest()[:KEY_CHARACTERS]


def check_name(name: object) -> str:
    """A name as it is kept: without spaces around it, each letter in one spelling.

    Raises:
        ValueError: none, too long, or with letters that cannot be seen.
    """
    text = unicodedata.normalize("NFC", name).strip() if isinstance(name, str) else ""
    if not text or len(text) > NAME_LENGTH or not text.isprintable():
        raise ValueError(Text("annotate.name", most=NAME_LENGTH))
    return text


def is_loopback(host: str | None) -> bool:
    """Whether a server at this address is reached from its own machine alone; None is Gradio's default, which is so."""
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_own(address: str, headers: Mapping) -> bool:
    """A request of this machine that no other server has passed on, made to this machine by its own name.

    The last keeps out other sites' pages, which a browser can be brought to send here under their names.
    """
    asked = urlsplit(f"//{headers.get('host') or ''}").hostname
    passed_on = any(headers.get(name) for name in _FORWARDED)
    return bool(address) and is_loopback(address) and is_loopback(asked) and not passed_on
