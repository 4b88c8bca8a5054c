"""What the second release of the embedded pair set out to reach, and whether it did, by an evaluation's results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.evaluation import length, naming
from training.evaluation.choice import accuracy_of, drop_to
from training.evaluation.rows import CLEAN, DEGRADED, STATES
from training.evaluation.tables import shown

BASELINE, SFT = "baseline", "sft"
"""What the sides are called that the degradation-aware one is measured against."""

FULL = STATES["100"]
MEGABYTES, SPEED = 40, 100


@dataclass(frozen=True)
class Target:
    """One line: a figure of the degradation-aware side, or how far it is above another side's.

    Attributes:
        text: what is wanted, in words.
        state: it is measured on sets that have this state.
        least, most, above, below: the bound; one of them is given.
        against: name of the side that is subtracted, or None.
    """

    text: str
    figure: str
    state: str = DEGRADED
    against: str | None = None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def met(self, value: float) -> bool:
        if self.least is not None:
            return value >= self.least
        if self.most is not None:
            return value <= self.most
        return value > self.above if self.above is not None else value < self.below


TARGETS = (
    Target("five blocks in order: at least 99 %", naming.CHAINS_COMPLETE, least=0.99),
    Target("types F1: at least 0.85", naming.F1, least=0.85),
    Target("mean intensity error: at most 0.10", naming.ERROR, most=0.10),
    Target("predicted and true total intensity: correlation at least 0.9", naming.TOTALS, least=0.9),
    Target("GRPO less its SFT start: r_deg at least 0.15", naming.R_DEG, against=SFT, least=0.15),
    Target("GRPO less its SFT start: intensity error lower", naming.ERROR, against=SFT, below=0),
    Target("GRPO less its SFT start: tokens no more", length.TOKENS, against=SFT, most=0),
    Target("GRPO less its SFT start: accuracy on degraded not lower", accuracy_of(DEGRADED), against=SFT, least=0),
    Target("GRPO less its SFT start: accuracy on clean not lower", accuracy_of(CLEAN), against=SFT, least=0),
    Target("output: tokens of heavily above those of mildly degraded", length.GROWTH, above=0),
    Target("accuracy at 100 % less the baseline's: at least 6 points", accuracy_of(FULL), FULL, BASELINE, least=0.06),
    Target("accuracy on clean less the baseline's: at least -1 point", accuracy_of(CLEAN), FULL, BASELINE, least=-0.01),
    Target("drop from clean to 100 % less the baseline's: smaller", drop_to(FULL), FULL, BASELINE, below=0),
)


def check(results: Mapping) -> list[dict]:
    """Every target on every set that it is measured on.

    Args:
        results: as `training.evaluate` writes them; ``"megabytes"`` may be among them.

    Returns:
        Rows ``{"target", "set", "figure", "met"}``; figure and met are None where the set or the side is missing.
    """
    return [*_of_sets(results), *_of_the_rest(results)]


def _of_sets(results: Mapping) -> Iterator[dict]:
    main = results["main"]
    for target in TARGETS:
        found = False
        for name, measured in results["sets"].items():
            if target.against:
                own = measured["differences"].get(f"{main} - {target.against}", {})
            else:
                own = measured["sides"][main]
            if target.state in measured["states"] and target.figure in own:
                found = True
                yield _row(target.text, name, own[target.figure], target.met)
        if not found:
            yield _row(target.text, None, None, target.met)


def _of_the_rest(results: Mapping) -> Iterator[dict]:
    data = {name: written[length.GROWTH] for name, written in results["data"].items()} or {None: None}
    for name, figure in data.items():
        yield _row("data: tokens of heavily above those of mildly degraded", name, figure, lambda value: value > 0)
    for side, speed in (results.get("speed") or {None: None}).items():
        text = f"tokens a second: at least {SPEED}"
        yield _row(text, side, {"value": speed, "low": None, "high": None} if side else None, lambda v: v >= SPEED)
    size = results.get("megabytes")
    figure = None if size is None else {"value": size, "low": None, "high": None}
    yield _row(f"both sides on disk: at most {MEGABYTES} MB", None, figure, lambda value: value <= MEGABYTES)


def _row(text: str, place: str | None, figure: Mapping | None, met) -> dict:
    value = figure and figure["value"]
    return {"target": text, "set": place, "figure": figure, "met": None if value is None else met(value)}


def targets_table(rows: list[dict]) -> str:
    """The rows of `check` as Markdown; met is judged by the figure itself, its interval says how surely."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    lines = ["| target | on | measured | met |", "|---|---|---:|---|"]
    lines += [f"| {r['target']} | {r['set'] or '–'} | {shown(r['figure'])} | {words[r['met']]} |" for r in rows]
    return "\n".join(lines)
