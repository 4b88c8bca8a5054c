"""How well recoveries recover: ``python -m training.recover_measure NAME=RECOVERY … --corpus CORPUS --output OUT``.

Every photo of a corpus' split, at 256 pixels, under each of the sixteen types at the three published strengths, and
clean: PSNR, SSIM and semantic similarity before and after, by type and strength, with 95 % intervals over photos. A
RECOVERY is a folder of ``training.recover_sft`` or ``training.recover_align``, one of ``training.recover_decoder``, or
MODEL@URL; several stand beside each other, so the ablations without a reward are a table by one command. The first one
is held against the bars.

OUT receives ``measures.jsonl``, every picture as it is measured, so that a run which was killed goes on;
``recovery.json`` and ``recovery.md``; ``gains.png``; and ``pictures``, some of them before, after and clean, the worst
among them.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Drawing
from PIL import Image

from degradations import REGISTRY
from degradations.files import encode, write_whole
from degradations.jobs import StoppedError, alone_in, claim
from demo.checkpoints import CheckpointError
from demo.recovery.attempt import Recovery
from demo.recovery.measures import CEILING_DB
from training.corpus import SPLITS
from training.evaluation.plots import DPI, MAIN, OTHERS, STYLE, with_intervals
from training.evaluation.recovered import MEASURES
from training.evaluation.resampling import Figure, ratio, weights
from training.evaluation.tables import table
from training.recovery import measuring
from training.recovery.measuring import CLEAN, STRENGTHS
from training.recovery.rewards import IMAGENET, load_encoder

SHOWN = 4
"""So many pictures are kept that recovery helped most, and as many that it harmed most."""

BARS = (
    ("mean PSNR gain at 50 %", "50 %", "psnr", 2.0),
    ("mean PSNR gain at 100 %", "100 %", "psnr", 4.0),
    ("mean SSIM gain at 50 %", "50 %", "ssim", 0.03),
    ("mean SSIM gain at 100 %", "100 %", "ssim", 0.10),
)
"""Name, strength, measure, least gain; over all types."""
TYPE_BARS = dict.fromkeys(("gaussian noise", "dark illumination", "scan lines", "graffiti"), 5.0)
"""Type -> least PSNR gain at 100 %, in dB."""
CLEAN_LOSS = 0.5
"""Most dB that clean photos may lose against the ceiling."""
SECONDS = 0.25
"""Most that a picture of 256×256 may take, on two cores."""
MEGABYTES = 6.0
"""Most that the network's file may have."""


def summarize(rows: Sequence[Mapping]) -> dict[str, dict]:
    """Every measure before, after and gained, by state and, within the strengths, by type; means over photos.

    Returns:
        State, or ``state, type`` -> figure's name -> value with interval.
    """
    groups: dict[str, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(row["state"], []).append(row)
        if row["type"]:
            groups.setdefault(f"{row['state']}, {row['type']}", []).append(row)
    return {name: _figures(own) for name, own in groups.items()}


def _figures(rows: Sequence[Mapping]) -> dict[str, dict]:
    drawn, result = weights([row["photo"] for row in rows]), {}
    for name in MEASURES:
        there = np.array([row["before"][name] is not None and row["after"][name] is not None for row in rows], float)
        before, after = (np.array([row[when][name] or 0.0 for row in rows]) * there for when in ("before", "after"))
        count = drawn @ there
        for label, column in (("before", before), ("after", after), ("gain", after - before)):
            result[f"{name} {label}"] = vars(Figure.of(ratio(drawn @ column, count)))
    return result


def compare(rows: Sequence[Mapping], others: Sequence[Mapping]) -> dict[str, dict]:
    """What one recovery reaches less what another does on the same pictures, by state; means over photos, paired.

    Returns:
        State -> ``psnr``, ``ssim``, ``semantic`` -> value with interval.
    """
    theirs = {(row["photo"], row["state"], row["type"]): row["after"] for row in others}
    groups: dict[str, list[tuple[str, Mapping, Mapping]]] = {}
    for row in rows:
        pair = row["photo"], row["after"], theirs[row["photo"], row["state"], row["type"]]
        groups.setdefault(row["state"], []).append(pair)
    result: dict[str, dict] = {}
    for state, pairs in groups.items():
        drawn = weights([photo for photo, _, _ in pairs])
        for name in MEASURES:
            there = np.array([None not in (one[name], other[name]) for _, one, other in pairs], float)
            gap = np.array([(one[name] or 0.0) - (other[name] or 0.0) for _, one, other in pairs]) * there
            result.setdefault(state, {})[name] = vars(Figure.of(ratio(drawn @ gap, drawn @ there)))
    return result


def check(figures: Mapping[str, Mapping], seconds: float | None = None, megabytes: float | None = None) -> list[dict]:
    """The bars: name, what was found, what is wanted, whether it is reached; of those that were measured."""

    def bar(name: str, figure: Mapping, wanted: float, least: bool = True) -> dict:
        found = figure["value"]
        reached = found is not None and (found >= wanted if least else found <= wanted)
        return {"name": name, "found": figure, "wanted": f"{'≥' if least else '≤'} {wanted:g}", "reached": reached}

    told = [bar(name, figures[state][f"{of} gain"], wanted) for name, state, of, wanted in BARS if state in figures]
    for kind, wanted in TYPE_BARS.items():
        if (group := f"100 %, {kind}") in figures:
            told.append(bar(f"PSNR gain at 100 %, {kind}", figures[group]["psnr gain"], wanted))
    if CLEAN in figures:
        lost = figures[CLEAN]["psnr after"]
        flipped = {"value": CEILING_DB - lost["value"], "low": None, "high": None}
        if lost["low"] is not None:
            flipped |= {"low": CEILING_DB - lost["high"], "high": CEILING_DB - lost["low"]}
        told.append(bar("dB that clean photos lose", flipped | {"p": None}, CLEAN_LOSS, least=False))
    for name, found, most in (("seconds a picture", seconds, SECONDS), ("megabytes", megabytes, MEGABYTES)):
        if found is not None:
            told.append(bar(name, vars(Figure(found, None, None)), most, least=False))
    return told


def report(results: Mapping) -> str:
    """All of it as Markdown."""
    first, *others = results["recoveries"]
    corpus = f"{Path(results['corpus']).name} ({results['split']})"
    parts = [
        f"# Recovery on {results['photos']} photos of {corpus}, {results['size']} px",
        f"PSNR in dB, at most {CEILING_DB:g}; SSIM (window 11, range 1); semantic similarity by {results['encoder']}. "
        "Brackets hold 95 % bootstrap intervals over photos.",
        f"## Bars, {first}",
        table(
            {
                "found": {one["name"]: one["found"] for one in results["bars"]},
                "wanted": {one["name"]: one["wanted"] for one in results["bars"]},
                "reached": {one["name"]: "yes" if one["reached"] else "no" for one in results["bars"]},
            }
        ),
        "## By strength",
    ]
    for state in [CLEAN, *STRENGTHS]:
        rows = {name: own[state] for name, own in results["figures"].items() if state in own}
        parts += [f"{state}:", table(rows)]
    for name, own in results["differences"].items():
        parts += [f"{name}, on the same pictures:", table(own)]
    parts.append("## PSNR gain by type, dB")
    for name in [first, *others]:
        own = results["figures"][name]
        parts += [f"{name}:", table({state: _by_type(own, state) for state in STRENGTHS})]
    return "\n\n".join(parts) + "\n"


def _by_type(figures: Mapping, state: str) -> dict[str, object]:
    return {kind: figures[f"{state}, {kind}"]["psnr gain"] for kind in REGISTRY if f"{state}, {kind}" in figures}


def draw(path: Path, figures: Mapping[str, Mapping]) -> None:
    """PSNR and SSIM gained by type at full strength, every recovery in its colour."""
    names = [kind for kind in REGISTRY if any(f"100 %, {kind}" in own for own in figures.values())]
    with matplotlib.rc_context(STYLE):
        drawing = Drawing((11, 1.5 + 0.16 * len(names) * (1 + len(figures))))
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, (of, label) in zip(panels, (("psnr", "PSNR gained, dB"), ("ssim", "SSIM gained")), strict=True):
            for place, (name, own) in enumerate(figures.items()):
                rows = np.arange(len(names)) + 0.7 * ((place + 0.5) / len(figures) - 0.5)
                told = [own[f"100 %, {kind}"][f"{of} gain"] for kind in names]
                with_intervals(axes, rows, told, [MAIN, *OTHERS][place % 8], name, across=True)
            axes.axvline(0, color="#888888", linewidth=1)
            axes.set_xlabel(f"{label}, at 100 %")
            axes.set_yticks(range(len(names)), names)
            axes.grid(axis="x", linewidth=0.8)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(4, len(figures)))
        drawing.savefig(path, dpi=DPI, metadata={"Software": None})


def keep_pictures(folder: Path, rows: Sequence[Mapping], recovery: Recovery, size: int) -> None:
    """The pictures that gained and lost most at full strength: degraded, recovered and clean beside each other."""
    strong = [row for row in rows if row["state"] == "100 %"]
    ordered = sorted(strong, key=lambda row: row["after"]["psnr"] - row["before"]["psnr"])
    for stale in folder.glob("*.png"):
        stale.unlink()
    for label, chosen in (("harmed", ordered[:SHOWN]), ("helped", ordered[::-1][:SHOWN])):
        for number, row in enumerate(chosen):
            clean = measuring.photo_at(row["photo"], size)
            degraded = measuring.degraded_as(clean, row["state"], row["type"], row["seed"])
            strip = np.hstack([np.asarray(image) for image in (degraded, recovery.recover(degraded), clean)])
            name = f"{label}-{number}-{row['type'].replace(' ', '-')}.png"
            write_whole(folder / name, encode(Image.fromarray(strip), "png"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recoveries", nargs="+", type=_named, metavar="[NAME=]RECOVERY", help="the first is the main one")
    add("--corpus", type=Path, required=True, help="folder of photos, as training.synthesize takes it")
    add("--output", type=Path, required=True, help="folder for what is found; an unfinished run in it goes on")
    add("--split", default="validation", choices=SPLITS)
    add("--size", type=int, default=256, help="longer side of the photos, in pixels (default: %(default)s)")
    add("--limit", type=int, help="so many photos only, of every source its share")
    add("--types", nargs="+", default=list(REGISTRY), choices=list(REGISTRY), metavar="TYPE", help="(default: all)")
    add("--encoder", default=IMAGENET, help=f"{IMAGENET}, or a CLIP by folder or cached name (default: %(default)s)")
    add("--workers", type=int, help="processes (default: one a core)")
    options = parser.parse_args()
    recoveries = dict(options.recoveries)
    if len(recoveries) < len(options.recoveries):
        parser.error("two recoveries have one name: write NAME=RECOVERY")
    try:
        encoder = load_encoder(options.encoder).name
        named = {name: getattr(options, name) for name in ("split", "size")}
        claim(options.output, {"corpus": str(options.corpus), "encoder": encoder, **named})
        with alone_in(options.output):
            first = next(iter(recoveries))
            recovery = measuring.load_recovery(recoveries[first])
            seconds, megabytes = measuring.seconds_of(recovery), measuring.megabytes_of(recoveries[first])
            rows = measuring.measure_all(
                recoveries, measuring.chosen_photos(options.corpus, options.split, options.limit),
                options.output / "measures.jsonl", size=options.size, types=options.types,
                encoder=options.encoder, workers=options.workers,
            )  # fmt: skip
            own = {name: [row for row in rows if row["recovery"] == name] for name in recoveries}
            figures = {name: summarize(found) for name, found in own.items()}
            results = {
                "recoveries": recoveries,
                "digest": recovery.digest,
                "corpus": str(options.corpus),
                "split": options.split,
                "size": options.size,
                "photos": len({row["photo"] for row in rows}),
                "encoder": encoder,
                "figures": figures,
                "bars": check(figures[first], seconds, megabytes),
                "differences": {f"{first} - {name}": compare(own[first], own[name]) for name in own if name != first},
            }
            write_whole(options.output / "recovery.json", (json.dumps(results, indent=2) + "\n").encode())
            write_whole(options.output / "recovery.md", report(results).encode())
            draw(options.output / "gains.png", figures)
            keep_pictures(options.output / "pictures", own[first], recovery, options.size)
    except (OSError, ValueError, StoppedError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report(results))
    return 0


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    return (name, source) if equals else (Path(text).name, text)


if __name__ == "__main__":
    sys.exit(main())
