"""The results as Markdown and as LaTeX: targets, every set, and the papers' tables with the published figures."""

from collections.abc import Mapping

from training.evaluation import length, naming, published
from training.evaluation.choice import accuracy_of, none_named
from training.evaluation.open_answers import no_answer
from training.evaluation.rbench import CELLS, ITEMS, OF_CELLS
from training.evaluation.rows import CLEAN, STATES
from training.evaluation.tables import latex, table, turned
from training.evaluation.targets import check, targets_table

TOLD_OF_CHAINS = (length.TOKENS, length.MILD_TOKENS, length.HEAVY_TOKENS, length.GROWTH, length.LENGTHS)

P_ALONE = "Each p is that of one figure by itself; of twenty that nothing is behind, one is likely to be below 0.05."

LEVELS = (CLEAN, *STATES.values())


def report(results: Mapping) -> str:
    """The results as Markdown: the targets where there are some, every set, the papers' tables."""
    # Judged anew: the size on disk is known to a release only.
    parts = ["## Targets", targets_table(check(results))] if results.get("targets", True) else []
    for name, found in results["sets"].items():
        parts += [f"## {name}: {found['samples']} questions on {found['photos']} photos", table(found["sides"])]
        if found["differences"]:
            parts += [f"{results['main']} less each other side, on the same pictures. {P_ALONE}"]
            parts += [table(found["differences"])]
        for grouping in ("by source", "by kind"):
            if found[grouping]:
                parts += [f"{grouping.capitalize()}:", table(_grouped(found[grouping]))]
        if found["by type"]:
            parts += ["By degradation:", types_table(found["by type"])]
        for grading, own in found.get("R-Bench", {}).items():
            for kind in ("absolute", "relative"):
                less = found["R-Bench, differences"][grading]
                for scored, text in ((own, ""), (less, f" {results['main']} less each other side")):
                    told = {side: scores for side, scores in scored.items() if scores and kind in scores}
                    if told:
                        title = f"{kind.capitalize()} robustness, {grading}:{text}"
                        parts += [title, table(_parts_of_rbench(told, kind))]
            if any(own.values()) and (lacking := [side for side, scores in own.items() if not scores]):
                parts += [f"Not scored, as some answers lack a {grading}: {', '.join(lacking)}"]
    for name, states in results.get("recovery", {}).items():
        encoder, ceiling = next((found["encoder"], found["ceiling"]) for found in states.values())
        parts.append(f"## {name}: recovered pictures against clean ones, by {results['recovery by']}")
        parts.append(f"PSNR in dB, at most {ceiling:g}; SSIM; semantic similarity by {encoder}.")
        parts.append(table({state: found["figures"] for state, found in states.items()}))
        for state, found in states.items():
            if found["by gain"]:
                rows = {f"{part['from']:+.1f} to {part['to']:+.1f} dB": part["sides"] for part in found["by gain"]}
                parts += [f"Right answers by what recovery gained, {state}:", table(rows)]
    for title, rows in papers_tables(results).items():
        parts += [f"## {title}", table(turned(rows))]
    for name, written in results["data"].items():
        told = {key: written[key] for key in ("samples", *TOLD_OF_CHAINS)}
        parts += [f"## The chains of {name}", table({"as written": told})]
    return "\n\n".join(parts) + "\n"


def report_latex(results: Mapping) -> str:
    """The papers' tables as LaTeX."""
    found = papers_tables(results)
    return "\n\n".join(latex(turned(rows), caption=title) for title, rows in found.items()) + "\n"


def _grouped(groups: Mapping[str, Mapping]) -> dict[str, dict]:
    """Group -> every side's accuracies, and what the chains named."""
    told = {}
    for group, section in groups.items():
        told[group] = {"questions": section["samples"], "photos": section["photos"]}
        for side, own in section["sides"].items():
            wanted = [name for name in own if name.startswith("accuracy")] + [naming.F1, naming.ERROR]
            told[group] |= {f"{name}, {side}": own[name] for name in wanted if name in own}
    return told


def types_table(by_type: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Degradations below one another; side by side F1, intensity error and bias of every side."""
    heads = {
        f"{name}, {side}": {key: found[name] for key, found in own.items()}
        for name in (naming.F1, naming.ERROR, naming.BIAS)
        for side, own in by_type.items()
    }
    return table(heads)


def _parts_of_rbench(own: Mapping[str, Mapping], kind: str) -> dict[str, dict]:
    return {
        side: {f"{part}: {name}": figure for part, named in scores[kind].items() for name, figure in named.items()}
        for side, scores in own.items()
    }


# --- the papers' tables ---


def papers_tables(results: Mapping) -> dict[str, dict[str, dict]]:
    """Title -> row -> column -> what stands there; those that these results have something for.

    Published figures stand in rows of their own, marked as published.
    """
    tables = {}
    for name, found in results["sets"].items():
        for grading, own in found.get("R-Bench", {}).items():
            if rows := {side: _rbench_row(scores["absolute"]) for side, scores in own.items() if scores}:
                title = f"{name}: absolute robustness by task and strength; questions without options by {grading}"
                tables[title] = rows | _published_rbench()
    copied = {name: found for name, found in results["sets"].items() if set(LEVELS[1:]) & set(found["states"])}
    if copied:
        tables["Right answers by strength of the degradation, in per cent"] = _levels(copied)
    chains = {name: found for name, found in results["sets"].items() if found["by type"]}
    for name, found in chains.items():
        tables[f"{name}: what the chains say of the degradations"] = {
            side: {key: own[key] for key in SAID if key in own}
            for side, own in found["sides"].items()
            if side in found["by type"]
        }
    for name, found in results["sets"].items():
        tables[f"{name}: what could not be read, and what answers cost"] = {
            side: {key: own[key] for key in _costs(found["states"], own)} for side, own in found["sides"].items()
        }
    return tables


SAID = (naming.F1, naming.PRECISION, naming.RECALL, naming.ERROR, naming.BIAS, naming.TOTALS, naming.R_DEG)


def _costs(states: list[str], own: Mapping) -> list[str]:
    wanted = [*map(none_named, states), *map(no_answer, states), naming.CHAINS_COMPLETE, length.TOKENS, length.SECONDS]
    return [name for name in wanted if name in own]


def _rbench_row(scores: Mapping[str, Mapping]) -> dict:
    return {**scores["cell"], **scores["overall"]}


def _published_rbench() -> dict[str, dict]:
    rows = published.rbench() | published.rbench(published.ABLATION)
    return {
        name: {**{cell: _digits(own.get(cell), 4) for cell in CELLS}, ITEMS: None, OF_CELLS: _digits(own["overall"], 4)}
        for name, own in rows.items()
    }


def _levels(sets: Mapping[str, Mapping]) -> dict[str, dict]:
    rows: dict[str, dict] = {}
    for name, found in sets.items():
        for side, own in found["sides"].items():
            for state in found["states"]:
                rows.setdefault(side, {})[f"{name}, {state}"] = _in_per_cent(own[accuracy_of(state)])
        for side, own in published.levels(name).items():
            for state, value in own.items():
                rows.setdefault(side, {})[f"{name}, {state}"] = _digits(value, 2)
    return rows


def _digits(value: float | None, digits: int) -> str | None:
    """A published figure with as many digits as were published."""
    return None if value is None else f"{value:.{digits}f}"


def _in_per_cent(figure: Mapping) -> dict:
    return {key: None if value is None else 100 * value for key, value in figure.items()}
