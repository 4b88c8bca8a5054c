"""How long answers are, in tokens and in seconds, and whether chains grow with the degradation."""

from training.evaluation.resampling import MOMENTS, Figures, Sums, correlation, moments, ratio
from training.evaluation.rows import CLEAN
from training.evaluation.said import Said

MILD, HEAVY = 0.7, 1.8
"""Total intensities up to which a picture is mildly degraded (above 0), and from which heavily."""

TOKENS, MILD_TOKENS, HEAVY_TOKENS = "tokens", f"tokens, mildly degraded (≤ {MILD})", f"tokens, heavily (≥ {HEAVY})"
GROWTH = "tokens, heavily less mildly degraded"
LENGTHS = "correlation of tokens with total intensity"
SECONDS = "seconds an answer"


def quantities(said: Said) -> dict[str, float]:
    tokens, seconds = said.reply.tokens, said.reply.seconds
    return {"answers": tokens is not None, "tokens": tokens or 0, "timed": seconds is not None, "seconds": seconds or 0}


def quantities_of_chain(said: Said) -> dict[str, float]:
    """What is told of chains only, and of pictures of which it is known what was done to them."""
    tokens = said.reply.tokens or 0
    known = said.applied is not None and said.reply.tokens is not None
    total = said.applied.total if known else 0
    mild, heavy = 0 < total <= MILD, total >= HEAVY
    return {
        **(moments("lengths", total, tokens) if known else moments("lengths", 0, 0)),
        "measured": known,
        "mild": mild,
        "mild tokens": mild * tokens,
        "heavy": heavy,
        "heavy tokens": heavy * tokens,
    }


def figures(sums: Sums, states: list[str]) -> Figures:
    """Of the states other than clean together."""
    damaged = [state for state in states if state != CLEAN]
    if not damaged:
        return {}

    def total(quantity: str):
        return sum(sums[state, quantity] for state in damaged)

    result = {}
    if (damaged[0], "mild") in sums:
        mild, heavy = (ratio(total(f"{name} tokens"), total(name)) for name in ("mild", "heavy"))
        result |= {MILD_TOKENS: mild, HEAVY_TOKENS: heavy, GROWTH: heavy - mild}
        result[LENGTHS] = correlation(total("measured"), *(total(f"lengths {moment}") for moment in MOMENTS))
    result[TOKENS] = ratio(total("tokens"), total("answers"))
    if total("timed")[0]:
        result[SECONDS] = ratio(total("seconds"), total("timed"))
    return result
