"""What one model has said about one picture, from its events to what the page and the endpoints show."""

from dataclasses import asdict

from demo.chain import Chain, parse_chain, read_answer

CHAINS = ("robust", "recovered")
"""The sides that write a chain."""


class Reply:
    """One side's answer while it comes in.

    Attributes:
        name: of the side; those in `CHAINS` write a chain.
        text: what has been said so far.
        done: whether that is all.
        stats: how it went, `demo.generation.Stats`; None until then.
        error: why it failed, None if it did not.
        tokens: how many tokens so far.
        by_index: whether a number is an option's index in any case, `demo.chain.read_answer`.
    """

    def __init__(self, name: str):
        self.name, self.text, self.done, self.stats, self.error, self.tokens = name, "", False, None, None, 0
        self.by_index = False

    def take(self, event) -> None:
        """Add a `demo.generation.Event`."""
        self.text += event.text
        self.done = self.done or event.done
        self.stats = event.stats or self.stats
        self.error = event.error or self.error
        self.tokens = max(self.tokens, event.tokens)
        self.by_index = self.by_index or event.by_index

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
        """A *side* as api.py describes it."""
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
