"""Sixteen degradations of photographs, and recipes that combine them.

The parameters are those behind the published Robust-R1 dataset, so an intensity means here what it means there.
"""

# The import order of the stages is the order of application.
from degradations import acquisition, transmission, environment, postprocessing  # noqa: F401, I001
from degradations.apply import degrade, warm_up
from degradations.recipe import Comparison, Recipe, Score, compare
from degradations.registry import COPIES, REGISTRY, STAGES, Degradation, lookup

__all__ = [
    "COPIES", "REGISTRY", "STAGES", "Comparison", "Degradation", "Recipe", "Score", "compare", "degrade", "lookup",
    "warm_up",
]  # fmt: skip
