"""A dataset as a page of plots: ``python -m training.report SAMPLES OUT.html``.

SAMPLES is a folder made by ``training.synthesize``, with chains or before they are written. OUT.html holds everything
it shows and needs no network; the figures behind the plots are written beside it, as OUT.json.
"""

import argparse
import base64
import json
import mimetypes
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from degradations import REGISTRY, Recipe
from degradations.files import write_whole
from degradations.jobs import read_table
from demo.chain import TAGS, parse_chain
from training.report_plots import MOST_BARS, draw

BINS = 20
"""Of each histogram of intensities, over (0, 1]."""

SHOWN = 6
"""Samples that the page shows, from the least to the most degraded."""

REASONS_SHOWN = 12
EXAMPLES_SHOWN = 2
"""Reasons for rejection on the page, and examples of each."""

# --- figures ---


def measure(samples: list[dict], chains: dict[int, dict], rejected: list[dict], length: Callable[[str], int]) -> dict:
    """The figures of a dataset, as JSON can hold them.

    Args:
        samples: rows of ``samples.jsonl``; those with an "error" only count as failed.
        chains: sample's id -> row of ``chains.jsonl``.
        rejected: rows of ``rejected.jsonl``.
        length: measures a chain.
    """
    made = [row for row in samples if "error" not in row]
    recipes = {row["id"]: Recipe.parse(row["recipe"]) for row in made}
    types = {}
    for name in REGISTRY:
        found = [recipe for recipe in recipes.values() if name in recipe]
        values = [recipe[name] for recipe in found]
        types[name] = {
            "pictures": len(found),
            "by_number_of_types": _sorted(Counter(len(recipe) for recipe in found)),
            "intensities": np.histogram(values, BINS, (0, 1))[0].tolist(),
            "mean_intensity": _rounded(np.mean(values)) if values else None,
        }
    chained = [number for number in recipes if number in chains]
    totals = np.array([recipes[number].total for number in chained])
    lengths = np.array([length(chains[number]["chain"]) for number in chained])
    return {
        "samples": len(made),
        "chains": len(chained),
        "rejected": len(rejected),
        "failed": len(samples) - len(made),
        "types_per_picture": _sorted(Counter(map(len, recipes.values()))),
        "types": types,
        "chain_length": _length_figures(totals, lengths),
        "writers": _frequent(chains[number]["writer"] for number in chained),
        "kinds": _frequent(row["kind"] for row in made),
        "sources": _frequent(row["source"] for row in made),
        "answers": _frequent(row["answer"] for row in made),
        "answered_by_choice": sum(row["answer_index"] is not None for row in made),
        "reasons": _frequent(generic(row["reason"]) for row in rejected),
        "points": {"total_intensity": [_rounded(total) for total in totals], "length": lengths.tolist()},
    }


def _length_figures(totals: np.ndarray, lengths: np.ndarray) -> dict | None:
    """Mean, median and their growth with the total intensity; a correlation without any spread is None."""
    if not len(lengths):
        return None
    bins = np.floor(totals / 0.5).astype(int)
    spread = len(lengths) > 1 and np.ptp(totals) > 0 and np.ptp(lengths) > 0
    return {
        "mean": _rounded(lengths.mean()),
        "median": _rounded(np.median(lengths)),
        "correlation_with_total_intensity": _rounded(np.corrcoef(totals, lengths)[0, 1]) if spread else None,
        "by_total_intensity": [
            {
                "from": number * 0.5,
                "to": (number + 1) * 0.5,
                "chains": int((bins == number).sum()),
                "mean": _rounded(lengths[bins == number].mean()),
                "mean_total": _rounded(totals[bins == number].mean()),
            }
            for number in np.unique(bins).tolist()
        ],
    }


def generic(reason: str) -> str:
    """A reason without what it quotes and counts, so that like ones are counted together."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\b\d+(\.\d+)?\b", "…", reason)


def _frequent(names) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _sorted(counts: Counter) -> dict[int, int]:
    return {key: counts[key] for key in sorted(counts)}


def _rounded(value: float) -> float:
    return round(float(value), 4)


# --- page ---


def report(folder: Path, out: Path, length: Callable[[str], int] | None = None, unit: str = "words") -> dict:
    """Write the page and its figures; returns these.

    Args:
        length: measures a chain, in `unit`; by default its words.

    Raises:
        ValueError: the folder holds no samples.
    """
    samples = list(read_table(folder / "samples.jsonl"))
    if not any("error" not in row for row in samples):
        raise ValueError(f"{folder} holds no samples; make them with python -m training.synthesize")
    chains = {row["id"]: row for row in read_table(folder / "chains.jsonl")}
    rejected = list(read_table(folder / "rejected.jsonl"))
    figures = measure(samples, chains, rejected, length or (lambda chain: len(chain.split())))
    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html")  # fmt: skip
    content = page.render(
        name=folder.resolve().name,
        figures=figures,
        unit=unit,
        plots={name: Markup(plot) for name, plot in draw(figures, unit).items()},
        most_bars=MOST_BARS,
        samples=[_shown(row, chains.get(row["id"]), folder) for row in chosen(samples, chains)],
        reasons=_rejections(figures["reasons"], rejected),
    )
    write_whole(out, content.encode())
    write_whole(out.with_suffix(".json"), (json.dumps(figures, indent=1) + "\n").encode())
    return figures


def chosen(samples: list[dict], chains: dict[int, dict]) -> list[dict]:
    """The samples to show, of about evenly growing total intensity; with chains where there are any."""
    totals = {
        row["id"]: Recipe.parse(row["recipe"]).total
        for row in samples
        if "error" not in row and (not chains or row["id"] in chains)
    }
    if not totals:
        return []
    aims = np.linspace(min(totals.values()), max(totals.values()), SHOWN)
    nearest = [min(totals, key=lambda number: (abs(totals[number] - aim), number)) for aim in aims]
    return [row for number in dict.fromkeys(nearest) for row in samples if row["id"] == number]


def _shown(row: dict, chain: dict | None, folder: Path) -> dict:
    pictures = [(label, row.get(key)) for label, key in (("clean", "clean"), ("degraded", "image"))]
    return {
        "row": row,
        "recipe": Recipe.parse(row["recipe"]),
        "pictures": [(label, _data(folder / name)) for label, name in pictures if name],
        "blocks": _blocks(chain["chain"]) if chain else [],
        "writer": chain["writer"] if chain else None,
    }


def _blocks(chain: str) -> list[tuple[str, str]]:
    """Name and text of each block that a chain has."""
    read = parse_chain(chain)
    texts = (str(read.recipe), read.influence, read.reasoning, read.conclusion, read.answer)
    return [(name, text) for name, text in zip(TAGS, texts, strict=True) if name in read.closed or name == read.open]


def _data(picture: Path) -> str:
    """A picture's file as it is: another compression would be a degradation that no recipe names."""
    kind = mimetypes.guess_type(picture.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _rejections(reasons: dict[str, int], rejected: list[dict]) -> list[dict]:
    return [
        {
            "reason": reason,
            "count": count,
            "share": count / max(reasons.values()),
            "examples": [row for row in rejected if generic(row["reason"]) == reason][:EXAMPLES_SHOWN],
        }
        for reason, count in list(reasons.items())[:REASONS_SHOWN]
    ]


def _tokens(model: str) -> Callable[[str], int]:
    """Counts the tokens of a checkpoint's tokenizer."""
    from demo.checkpoints import CheckpointError, find, load_processor  # PyTorch takes seconds, and words need none

    try:
        find(model)
    except CheckpointError as error:
        raise ValueError(str(error)) from error
    tokenizer = load_processor(model).tokenizer
    return lambda chain: len(tokenizer(chain, add_special_tokens=False).input_ids)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder made by training.synthesize")
    parser.add_argument("out", type=Path, help="the page to write, OUT.html")
    parser.add_argument(
        "--model", help="checkpoint whose tokenizer measures the chains (default: they are measured in words)"
    )
    options = parser.parse_args()
    try:
        if options.out.suffix != ".html":
            raise ValueError(f"the page's name has to end in .html, as its figures go to .json; it is {options.out}")
        measuring = {"length": _tokens(options.model), "unit": "tokens"} if options.model else {}
        figures = report(options.samples, options.out, **measuring)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {figures['samples']} samples, {figures['chains']} chains, {figures['rejected']} rejected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
