"""What one model has said about one picture, from its events to what the page and the endpoints show."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from PIL import Image

from demo.chain import Chain, parse_chain, read_answer

RECOVERED = "recovered"
PAIR = ("baseline", "robust")
SIDES = (*PAIR, RECOVERED)
"""All sides, in the order in which they stand; the last one sees a recovered picture, too, and is not always asked."""
CHAINS = ("robust", RECOVERED)
"""The sides that write a chain."""


@dataclass(frozen=True)
class Recovered:
    """How far the recovery is whose picture a side is to see.

    Attributes:
        state: as `demo.recovery.panels.state_of`.
        image: the recovered picture (mode RGB), once there is one.
    """

    state: Mapping
    image: Image.Image | None = None


@dataclass(frozen=True)
class Stats:
    """How an answer went.

    Attributes:
        tokens: how many were generated, the one that ends the answer included.
        ttft_s: seconds from when the model was free to the first token, None without one.
        tokens_per_s: speed after the first token, None with fewer than two.
        stop_reason: ``eos`` (said all), ``length`` (cut off), ``stopped`` (by the visitor) or ``error``.
    """

    tokens: int
    ttft_s: float | None
    tokens_per_s: float | None
    stop_reason: str


@dataclass(frozen=True)
class Event:
    """News from one side.

    Attributes:
        side: ``baseline``, ``robust``, or ``recovered`` for the one that sees two pictures.
        text: new text, to be appended to what came before; empty in a heartbeat.
        done: True in the side's last event, the only one with `stats`.
        error: why this side failed, None if it did not; never part of the text.
        tokens: how many tokens this side has generated so far; 0 in a heartbeat.
        picture: which of the pictures that were asked about, by its place among them.
        by_index: whether a number that is this side's whole answer is an option's index, as `demo.settings.Spec` says.
        recovered: how far the recovery is whose picture this side is to see; in events about nothing else.
    """

    side: str
    text: str = ""
    done: bool = False
    stats: Stats | None = None
    error: str | None = None
    tokens: int = 0
    picture: int = 0
    by_index: bool = False
    recovered: Recovered | None = None


class Reply:
    """One side's answer while it comes in.

    Attributes:
        name: of the side; those in `CHAINS` write a chain.
        text: what has been said so far.
        done: whether that is all.
        stats: how it went; None until then.
        error: why it failed, None if it did not.
        tokens: how many tokens so far.
        by_index: whether a number is an option's index in any case, `demo.chain.read_answer`.
        recovered: how far its recovery is; None for a side without one, and before there is news of it.
    """

    def __init__(self, name: str):
        self.name, self.text, self.done, self.stats, self.error, self.tokens = name, "", False, None, None, 0
        self.by_index, self.recovered = False, None

    def take(self, event: Event) -> None:
        """Add what is new."""
        self.text += event.text
        self.done = self.done or event.done
        self.stats = event.stats or self.stats
        self.error = event.error or self.error
        self.tokens = max(self.tokens, event.tokens)
        self.by_index = self.by_index or event.by_index
        self.recovered = event.recovered or self.recovered

    @property
    def chain(self) -> Chain | None:
        """The chain so far; None for the side that writes none."""
        return parse_chain(self.text) if self.name in CHAINS else None

    def answer(self, options: list[str]) -> tuple[str | None, int | None]:
        """The answer and its option's index. Among options it is read once it is whole: half of it may mean another."""
        chain = self.chain
        written = (chain.answer if chain else self.text).strip()
        whole = self.done or bool(chain and "ANSWER" in chain.closed)
        if not written or self.error or (options and not whole):
            return None, None
        choice = read_answer(written, options, self.by_index) if options else None
        return (written if choice is None else options[choice]), choice

    def as_json(self, options: list[str]) -> dict:
        """A *side* as api.py describes it; where there is news of its recovery, that state as `recovery`."""
        chain = self.chain
        answer, choice = self.answer(options)
        side = {
            "text": self.text,
            "done": self.done,
            "stats": asdict(self.stats) if self.stats else None,
            "answer": answer,
            "choice": choice,
        }
        if self.error:
            side["error"] = self.error
        if self.recovered:
            side["recovery"] = self.recovered.state
        if chain:
            side["chain"] = {
                "recipe": dict(chain.recipe),
                "influence": chain.influence,
                "reasoning": chain.reasoning,
                "conclusion": chain.conclusion,
                "answer": chain.answer,
                "open": chain.open,
            }
        return side
