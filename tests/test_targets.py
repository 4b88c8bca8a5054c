"""What a release set out to reach, met at the bounds and not beyond."""

from training.evaluation import length, naming
from training.evaluation.targets import TARGETS, check, targets_table


def figure(value: float) -> dict:
    return {"value": value, "low": value, "high": value}


def results_with(own: dict, less_sft: dict, copies_less_baseline: dict) -> dict:
    everything = {name: figure(value) for name, value in own.items()}
    less = {name: figure(value) for name, value in less_sft.items()}
    copied = {name: figure(value) for name, value in copies_less_baseline.items()}
    own = {"sides": {"robust": everything}}
    validation = {"states": ["clean", "degraded"], **own, "differences": {"robust - sft": less}}
    protocol = {"states": ["clean", "25 %", "50 %", "100 %"], **own, "differences": {"robust - baseline": copied}}
    return {
        "main": "robust",
        "sets": {"validation": validation, "protocol": protocol},
        "data": {"train": {length.GROWTH: figure(50.0)}},
        "speed": {"baseline": 120.0, "robust": 99.0},
        "megabytes": 40.0,
    }


ACCURACIES = ("accuracy, degraded", "accuracy, clean")
REACHED = results_with(
    {naming.CHAINS_COMPLETE: 0.99, naming.F1: 0.85, naming.ERROR: 0.1, naming.TOTALS: 0.9, length.GROWTH: 0.1},
    {
        naming.R_DEG: 0.15,
        naming.ERROR: -0.001,
        length.TOKENS: 0.0,
        "accuracy, degraded": 0.0,
        "accuracy, clean": 0.0,
    },
    {"accuracy, 100 %": 0.06, "accuracy, clean": -0.01, "drop from clean to 100 %": -0.001},
)
MISSED = results_with(
    {naming.CHAINS_COMPLETE: 0.98, naming.F1: 0.84, naming.ERROR: 0.11, naming.TOTALS: 0.89, length.GROWTH: 0.0},
    {naming.R_DEG: 0.14, naming.ERROR: 0.0, length.TOKENS: 0.1, **dict.fromkeys(ACCURACIES, -0.1)},
    {"accuracy, 100 %": 0.05, "accuracy, clean": -0.02, "drop from clean to 100 %": 0.0},
)


def test_targets_are_met_at_their_bounds_and_not_beyond():
    rows = check(REACHED)
    assert len(rows) == len(TARGETS) + 4
    assert [row["target"] for row in rows if not row["met"]] == ["tokens a second: at least 100"]
    assert not any(row["met"] for row in check(MISSED)[: len(TARGETS)])
    places = {row["target"]: row["set"] for row in rows}
    assert places["types F1: at least 0.85"] == "validation"
    assert places["accuracy at 100 % less the baseline's: at least 6 points"] == "protocol"


def test_what_was_not_measured_is_no_target_met():
    bare = {"main": "robust", "sets": {"validation": {"states": ["clean", "degraded"], "sides": {"robust": {}}}}}
    bare["sets"]["validation"]["differences"] = {}
    rows = check(bare | {"data": {}, "speed": None})
    assert len(rows) == len(TARGETS) + 3 and all(row["met"] is None and row["set"] is None for row in rows)
    assert targets_table(rows).count("| not measured |") == len(rows)
    assert "| 0.850 [0.850, 0.850] | yes |" in targets_table(check(REACHED))
    assert "| 99.0 | **no** |" in targets_table(check(REACHED))
