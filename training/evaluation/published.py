"""The papers' figures (``published.json``), to stand beside ours and marked as what they are.

Source: Robust-R1 (AAAI 2026) and Robust-U1 (ICML 2026), as published; nothing here was measured by us.
"""

import json
from functools import cache
from pathlib import Path

from training.evaluation.rbench import CELLS

MARK = " (published)"

RBENCH, LEVELS, ABLATION, ROBUST_U1 = "R-Bench", "anti-degradation", "R-Bench ablation", "Robust-U1"

STATES = {"clean": "clean", "25 %": "25%", "50 %": "50%", "100 %": "100%"}
"""Our states -> the papers' names."""


@cache
def figures() -> dict:
    return json.loads(Path(__file__).with_name("published.json").read_text())


def rbench(part: str = RBENCH) -> dict[str, dict[str, float]]:
    """Row's name with `MARK` -> cell -> score from 0 to 1, and the mean of the nine cells as "overall"."""
    rows = {f"{name}{MARK}": dict(own) for name, own in figures()[part].items()}
    if part == RBENCH:
        for name, value in figures()[ROBUST_U1]["R-Bench overall"].items():
            rows[f"{name}{MARK}"] = {"overall": value}
        for name, value in figures()[ROBUST_U1]["R-Bench CAP high"].items():
            rows[f"{name}{MARK}"][CELLS[-1]] = value
    return rows


def levels(set_name: str) -> dict[str, dict[str, float]]:
    """The same of a benchmark at four levels: our state -> accuracy in per cent; {} where none was published.

    Args:
        set_name: such as ``MMMB_en``, ``MMStar`` or ``RealWorldQA``; what follows an underscore does not count.
    """
    benchmark = set_name.partition("_")[0].lower()
    rows: dict[str, dict[str, float]] = {}
    for name, benchmarks in figures()[LEVELS].items():
        for known, own in benchmarks.items():
            if known.lower() == benchmark:
                rows[f"{name}{MARK}"] = {state: own[theirs] for state, theirs in STATES.items()}
    if benchmark == "mmmb":
        for name, value in figures()[ROBUST_U1]["MMMB 100%"].items():
            rows[f"{name}{MARK}"] = {"100 %": value}
    return rows
