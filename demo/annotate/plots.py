"""The figures of a batch as HTML: tables with bars, and a heat map of what was taken for what. Pure."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from degradations import REGISTRY
from demo.annotate import figures
from demo.annotate.figures import Judged, Quality
from demo.annotate.verdict import QUESTIONS
from demo.markup import empty, number, stage_class, tiles, type_name
from demo.texts import Text, shown


def drawn(judged: Sequence[Judged], revealed: bool = True) -> str:
    """All figures of a batch; those by model and by truth only where they are `revealed` to those who look."""
    if not judged:
        return empty(Text("annotate.figures-empty"), Text("annotate.figures-empty-more"))
    agreed = figures.agreement(judged)
    parts = [
        _section(
            "agreement", tiles([("", number(value), Text(f"annotate.alpha-{name}")) for name, value in agreed.items()])
        ),
        _section("by-type", _qualities(figures.by_type(judged), "type", type_name, stage_class)),
        _section("confusion", _confusion(figures.confusion(judged))),
    ]
    if revealed:
        groups = figures.grouped(judged, lambda one: one.model)
        parts.append(
            _section("by-model", _qualities({name: figures.quality(one) for name, one in groups.items()}, "model"))
        )
    parts.append(_section("by-annotator", _annotators(judged, revealed)))
    return f'<div class="annotation-figures">{"".join(parts)}</div>'


def _section(name: str, body: str) -> str:
    return (
        f'<section><h3>{shown(f"annotate.figures-{name}")}</h3><div class="scroll" tabindex="0">{body}</div></section>'
    )


def _qualities(
    qualities: Mapping[str, Quality], kind: str, label: Callable[[str], str] = escape,
    colour: Callable[[str], str] = lambda _: "",
) -> str:  # fmt: skip
    head = _head(kind, "count", "precision", "recall", "bias")
    rows = "".join(
        f'<tr class="{colour(name)}"><th scope="row">{label(name)}</th>'
        f'<td class="number">{one.hits + one.misses + one.inventions}</td>{_share(one.precision)}{_share(one.recall)}'
        f"{_bias(one.bias)}</tr>"
        for name, one in qualities.items()
    )
    return f'<table class="facts">{head}<tbody>{rows}</tbody></table>'


def _annotators(judged: Sequence[Judged], revealed: bool) -> str:
    columns = ["annotator", "count", "seconds", "precision", "recall", "bias", *QUESTIONS]
    head, rows = _head(*columns, *(["truth"] if revealed else [])), []
    for name, own in figures.grouped(judged, lambda one: one.annotator).items():
        one, seconds = figures.quality(own), figures.median_seconds(own)
        answered = "".join(_share(yes / said if said else None) for yes, said in figures.shares(own).values())
        truth = _share(figures.f1_against_truth(own)) if revealed else ""
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="number">{len(own)}</td>'
            f'<td class="number">{"–" if seconds is None else f"{seconds:.1f}"}</td>{_share(one.precision)}'
            f"{_share(one.recall)}{_bias(one.bias)}{answered}{truth}</tr>"
        )
    return f'<table class="facts">{head}<tbody>{"".join(rows)}</tbody></table>'


def _head(*columns: str) -> str:
    return "<thead><tr>{}</tr></thead>".format(
        "".join(f'<th scope="col">{shown(f"annotate.column-{name}")}</th>' for name in columns)
    )


def _share(value: float | None) -> str:
    if value is None:
        return '<td class="number">–</td>'
    meter = f'<span class="meter" style="--level:{value:.0%}"></span>'
    return f'<td class="number" title="{value:.4f}">{value:.0%}{meter}</td>'


def _bias(value: float | None) -> str:
    if value is None:
        return '<td class="number">–</td>'
    start, width = 50 + min(0, value) * 50, abs(value) * 50
    return (
        f'<td class="number" title="{value:+.4f}">{value:+.2f}'
        f'<span class="bias" style="--from:{start:.1f}%;--width:{width:.1f}%"></span></td>'
    )


def _confusion(counts: Mapping[tuple[str | None, str | None], float]) -> str:
    there = [name for name in (*REGISTRY, None) if any(row == name for row, _ in counts)]
    predicted = [name for name in (*REGISTRY, None) if any(column == name for _, column in counts)]
    most = max(counts.values(), default=1)
    head = "".join(f'<th scope="col"><span>{_name(name)}</span></th>' for name in predicted)
    rows = []
    for row in there:
        cells = []
        for column in predicted:
            value = counts.get((row, column), 0)
            kind = "hit" if row == column else "off"
            text = f"{value:.1f}".removesuffix(".0") if value else ""
            cells.append(f'<td class="{kind}" style="--level:{60 * value / most:.0f}%">{text}</td>')
        rows.append(f'<tr><th scope="row">{_name(row)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="confusion"><caption class="visually-hidden">{shown("annotate.confusion-caption")}</caption>'
        f'<thead><tr><th scope="col">{shown("annotate.confusion-corner")}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _name(name: str | None) -> str:
    return shown("annotate.nothing") if name is None else type_name(name)
