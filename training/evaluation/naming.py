"""What a chain says about degradations: which types, how strong, how well calibrated."""

import numpy as np

from degradations import REGISTRY
from training.evaluation.resampling import MOMENTS, Figure, Figures, Sums, correlation, moments, ratio
from training.evaluation.rows import CLEAN
from training.evaluation.said import Said
from training.rewards import complete, r_deg

CHAINS_COMPLETE = "chains complete"
F1, PRECISION, RECALL = "types F1", "types precision", "types recall"
ERROR, BIAS = "intensity error", "intensity bias"
TOTALS = "correlation of true and predicted total intensity"
R_DEG = "r_deg"
INVENTIONS = "inventions per clean picture"

BINS = 10
"""Tenths of predicted intensity in the calibration curve."""


def quantities(said: Said) -> dict[str, float | list[float]]:
    """Everything but whether the chain is complete counts only where it is known what was done to the picture."""
    known, compared, predicted = said.applied is not None, said.compared, said.parsed.recipe
    hits = [compared.hits.get(name) for name in REGISTRY]
    named = [(value, compared.hits.get(name, (None,))[0]) for name, value in predicted.items()] if known else []
    curve = np.zeros((3, BINS))
    for value, truth in named:
        place = min(int(value * BINS), BINS - 1)
        curve[:, place] += (1, 0, 0) if truth is None else (1, 1, truth)
    return {
        "pictures": 1,
        "known": known,
        "complete": complete(said.reply.text),
        "r_deg": r_deg(said.applied, predicted) if known else 0,
        "hits": [name in compared.hits for name in REGISTRY],
        "misses": [name in compared.misses for name in REGISTRY],
        "inventions": [name in compared.inventions for name in REGISTRY],
        "error": [abs(pair[1] - pair[0]) if pair else 0 for pair in hits],
        "bias": [pair[1] - pair[0] if pair else 0 for pair in hits],
        **(moments("totals", said.applied.total, predicted.total) if known else moments("totals", 0, 0)),
        **dict(zip(("named in bin", "there in bin", "true in bin"), map(list, curve), strict=True)),
    }


def figures(sums: Sums, states: list[str]) -> Figures:
    """Types, intensities and r_deg of the states other than clean together; chains are complete on all."""
    damaged = [state for state in states if state != CLEAN]
    if not damaged or (damaged[0], "complete") not in sums:
        return {}

    def total(quantity: str, of: list[str] = damaged) -> np.ndarray:
        return sum(sums[state, quantity] for state in of)

    hits, misses, inventions = (total(name).sum(-1) for name in ("hits", "misses", "inventions"))
    result = {
        CHAINS_COMPLETE: ratio(total("complete", states), total("pictures", states)),
        F1: ratio(2 * hits, 2 * hits + misses + inventions),
        PRECISION: ratio(hits, hits + inventions),
        RECALL: ratio(hits, hits + misses),
        ERROR: ratio(total("error").sum(-1), hits),
        BIAS: ratio(total("bias").sum(-1), hits),
        TOTALS: correlation(total("known"), *(total(f"totals {moment}") for moment in MOMENTS)),
        R_DEG: ratio(total("r_deg"), total("known")),
    }
    if CLEAN in states:
        result[INVENTIONS] = ratio(sums[CLEAN, "inventions"].sum(-1), sums[CLEAN, "pictures"])
    return result


def figures_by_type(sums: Sums, states: list[str]) -> dict[str, Figures]:
    """F1, intensity error and bias of every degradation by itself, over the states other than clean."""
    total = {
        name: sum(sums[state, name] for state in states if state != CLEAN)
        for name in ("hits", "misses", "inventions", "error", "bias")
    }
    f1 = ratio(2 * total["hits"], 2 * total["hits"] + total["misses"] + total["inventions"])
    error, bias = (ratio(total[name], total["hits"]) for name in ("error", "bias"))
    return {
        name: {F1: f1[:, place], ERROR: error[:, place], BIAS: bias[:, place]} for place, name in enumerate(REGISTRY)
    }


def calibration(sums: Sums, states: list[str]) -> list[dict]:
    """For every tenth of predicted intensity: how strong it truly was where it was there, and how often it was there.

    Returns:
        Rows ``{"from", "to", "named", "true", "there"}``; the last two are figures, None where nothing was named.
    """
    damaged = [state for state in states if state != CLEAN]
    named, there, true = (sum(sums[s, f"{name} in bin"] for s in damaged) for name in ("named", "there", "true"))
    rows = []
    for place in range(BINS):
        found = {"true": ratio(true[:, place], there[:, place]), "there": ratio(there[:, place], named[:, place])}
        told = {name: vars(Figure.of(values)) for name, values in found.items()}
        for figure in told.values():
            del figure["p"]
        rows.append({"from": place / BINS, "to": (place + 1) / BINS, "named": float(named[0, place]), **told})
    return rows
