"""Tables of figures, as Markdown and as LaTeX."""

from collections.abc import Mapping

from training.evaluation.resampling import Figure, number

NOTHING = "–"


def table(columns: Mapping[str, Mapping[str, object]], corner: str = "") -> str:
    """Columns side by side as Markdown: heading -> row's name -> what stands there."""
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in _rows(columns)]
    return "\n".join(lines)


def latex(columns: Mapping[str, Mapping[str, object]], corner: str = "", caption: str = "") -> str:
    """The same as a LaTeX table, for the packages booktabs and graphicx."""
    head = " & ".join([_escaped(corner), *map(_escaped, columns)])
    body = [" & ".join(map(_escaped, (name, *cells))) + r" \\" for name, cells in _rows(columns)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escaped(caption)}}}",
        r"\resizebox{\linewidth}{!}{%",
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def turned(rows: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Rows as columns."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {row: own.get(name) for row, own in rows.items()} for name in names}


def shown(value: object) -> str:
    """A number, a figure as `intervals` gives it, or a text, as a table has it."""
    if isinstance(value, Mapping):
        return str(Figure(**value))
    if isinstance(value, float):
        return number(value)
    return NOTHING if value is None else str(value)


def _rows(columns: Mapping[str, Mapping[str, object]]) -> list[tuple[str, list[str]]]:
    longest_first = sorted(columns.values(), key=len, reverse=True)
    names = dict.fromkeys(name for column in longest_first for name in column)
    return [(name, [shown(column.get(name)) for column in columns.values()]) for name in names]


_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"–": "--", "≤": r"$\leq$", "≥": r"$\geq$", "<": r"$<$", ">": r"$>$", "×": r"$\times$"}
)


def _escaped(text: str) -> str:
    return str(text).translate(_ESCAPES)
