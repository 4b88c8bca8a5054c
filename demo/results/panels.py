"""Results to HTML; pure functions, everything is escaped."""

from html import escape

from demo.results.folders import Results, Section, Table
from demo.texts import shown

PUBLISHED = "(published)"
"""How a report marks rows with figures that others have published."""


def report(results: Results) -> str:
    """Who was measured, then the sections, of which the first one is open."""
    sections = "".join(_section(section, first=place == 0) for place, section in enumerate(results.sections))
    return f'<div class="results">{_sides(results)}{sections}</div>'


def _sides(results: Results) -> str:
    known = dict.fromkeys(results.hashes, "") | results.sides
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(known[name])}</td>"
        f"<td><code>{escape(results.hashes.get(name, ''))}</code></td></tr>"
        for name in dict.fromkeys([*results.sides, *results.hashes])
    )
    head = f"<tr><th></th><th>{shown('results.model')}</th><th>{shown('results.hash')}</th></tr>"
    judge = f'<p class="remark">{shown("results.judge", name=results.judge)}</p>' if results.judge else ""
    return f'<div class="wide"><table class="facts"><thead>{head}</thead><tbody>{rows}</tbody></table></div>{judge}'


def _section(section: Section, first: bool) -> str:
    parts = "".join(
        _table(part) if isinstance(part, Table) else f'<p class="remark">{escape(part)}</p>' for part in section.parts
    )
    return f"<details{' open' if first else ''}><summary>{escape(section.title)}</summary>{parts}</details>"


def _table(table: Table) -> str:
    head, *rows = table.rows
    top = "".join(f'<th class="number" scope="col">{_cell(cell)}</th>' for cell in head[1:])
    body = "".join(
        f'<tr{_class(name)}><th scope="row">{_cell(name)}</th>'
        + "".join(f'<td class="number">{_cell(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    top = f'<tr><th scope="col">{_cell(head[0])}</th>{top}</tr>'
    return (
        f'<div class="wide" tabindex="0"><table class="facts"><thead>{top}</thead><tbody>{body}</tbody></table></div>'
    )


def _class(name: str) -> str:
    return ' class="published"' if name.endswith(PUBLISHED) else ""


def _cell(text: str) -> str:
    """A cell; what stands between two pairs of stars is bold."""
    if text.startswith("**") and text.endswith("**") and len(text) > 4:
        return f"<b>{escape(text[2:-2])}</b>"
    return escape(text)
