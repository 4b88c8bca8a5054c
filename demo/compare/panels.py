"""Chains, answers and scores to HTML. Pure functions; everything a model or a visitor wrote is escaped.

A *side* is what `/compare` sends for one model (see api.py); None stands for "nothing asked yet".
"""

from collections.abc import Mapping, Sequence
from html import escape

from degradations import REGISTRY, Recipe, compare
from demo.chain import TAGS, Chain, parse_chain
from demo.markup import chips, empty, number, paragraph, remark, small, stage_class, tiles, type_name
from demo.recovery.panels import nothing_to_answer
from demo.texts import Text, both, shown

LONG_ANSWER = 60
"""An answer of more characters than this is set as text, not as a headline."""


def baseline_column(side: Mapping | None, options: Sequence[str] = (), correct: int | None = None) -> str:
    """The baseline's answer: its words, and large what they mean."""
    if side is None:
        return empty(Text("compare.baseline-empty"), Text("compare.baseline-empty-more"))
    words = paragraph(side["text"])
    if options:
        body = _panel("WORDS", words, _state(side, bool(side["text"]))) + _answer(side, options, correct)
    else:
        body = _answer(side, options, correct)
    return f'<div class="side">{body}{_failure(side)}{_figures(side)}</div>'


def robust_column(side: Mapping | None, options: Sequence[str] = (), correct: int | None = None) -> str:
    """The chain as five panels that fill in order, the one being written marked."""
    if side is None:
        return empty(Text("compare.robust-empty"), Text("compare.robust-empty-more"))
    return _chain(side, options, correct)


def recovered_column(side: Mapping | None, options: Sequence[str] = (), correct: int | None = None) -> str:
    """The same of the model that sees the recovered picture, too: nothing before it is asked, and without that picture
    that there is none."""
    if side is None:
        return ""
    recovery = side.get("recovery")
    return nothing_to_answer(recovery) if recovery and recovery["error"] else _chain(side, options, correct)


def _chain(side: Mapping, options: Sequence[str], correct: int | None) -> str:
    chain = parse_chain(side["text"])
    blocks = [_panel(name, _content(name, chain), _chain_state(name, chain, side)) for name in TAGS[:-1]]
    untagged = ""
    if side["done"] and side["text"].strip() and not chain.closed and chain.open is None:
        untagged = remark(Text("compare.untagged")) + paragraph(side["text"])
    answer = _answer(side, options, correct, _chain_state("ANSWER", chain, side))
    return f'<div class="side">{"".join(blocks)}{untagged}{answer}{_failure(side)}{_figures(side)}</div>'


def scoreboard(applied: Recipe | None, side: Mapping | None = None) -> str:
    """What was applied against what the degradation-aware model says it saw: a table with a pair of bars per type."""
    if applied is None:
        return empty(Text("compare.score-empty"), Text("compare.score-empty-more"))
    chain = parse_chain(side["text"] if side else "")
    # A model that was stopped or failed before it had its say has missed nothing.
    settled = "TYPE" in chain.closed or bool(side and _ended_by_itself(side))
    result = compare(applied, chain.recipe)
    names = [name for name in REGISTRY if name in applied or name in chain.recipe]
    if not names:
        return f'<div class="score">{remark(Text("compare.nothing" if settled else "compare.nothing-yet"))}</div>'
    rows = "".join(_row(name, applied.get(name), chain.recipe.get(name), settled) for name in names)
    misses = len(result.misses)
    figures = tiles(
        [
            ("hit", len(result.hits), Text("compare.hits", count=len(result.hits))),
            ("miss", misses if settled else "…", Text("compare.misses", count=misses)),
            ("invention", len(result.inventions), Text("compare.inventions", count=len(result.inventions))),
            ("error", number(result.intensity_error), Text("compare.mean-error")),
        ]
    )
    return (
        f'<div class="score">{figures}'
        f'<table class="facts"><caption class="visually-hidden">{shown("compare.table")}</caption>'
        f'<thead><tr><th scope="col">{shown("compare.degradation")}</th><th scope="col" class="bars">'
        f'<span class="key applied">{shown("compare.applied")}</span> '
        f'<span class="key predicted">{shown("compare.predicted")}</span></th>'
        f'<th scope="col" class="number">{shown("compare.applied")}</th>'
        f'<th scope="col" class="number">{shown("compare.predicted")}</th>'
        f'<th scope="col">{shown("compare.verdict")}</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _panel(name: str, content: str, state: str) -> str:
    current = ' aria-current="step"' if state == "open" else ""
    caption = small(Text(f"compare.caption-{name}")) if name != "ANSWER" else ""
    return (
        f'<article class="panel {state}" data-block="{name}"{current}>'
        f"<h3>{shown(f'compare.panel-{name}')}{caption}</h3>"
        f'<div class="content">{content}</div></article>'
    )


def _state(side: Mapping, begun: bool) -> str:
    """How a panel outside of a chain stands: ahead, open, closed or cut (the text ended inside it)."""
    if not side["done"]:
        return "open" if begun else "ahead"
    return "closed" if _ended_by_itself(side) and side["stats"]["stop_reason"] == "eos" else "cut"


def _ended_by_itself(side: Mapping) -> bool:
    return bool(side["done"] and not side.get("error") and side["stats"]["stop_reason"] in ("eos", "length"))


def _chain_state(name: str, chain: Chain, side: Mapping) -> str:
    if name in chain.closed:
        return "closed"
    if chain.open == name:
        return "cut" if side["done"] else "open"
    return "ahead"


def _content(name: str, chain: Chain) -> str:
    if name == "TYPE":
        if chain.recipe:
            return chips(chain.recipe)
        return f'<p class="words">{shown("compare.none")}</p>' if "TYPE" in chain.closed else ""
    return paragraph(getattr(chain, name.lower()))


def _answer(side: Mapping, options: Sequence[str], correct: int | None, state: str | None = None) -> str:
    """The answer panel: large the option that is meant, marked where the right one is known."""
    answer = side["answer"] or ""
    state = state or _state(side, bool(answer))
    size = "large" if len(answer) <= LONG_ANSWER else "long"
    content = f'<p class="answer {size}">{escape(answer)}</p>' if answer else ""
    if options and side["done"] and not side.get("error"):
        content += _verdict(side["choice"], options, correct)
    return _panel("ANSWER", content, state)


def _verdict(choice: int | None, options: Sequence[str], correct: int | None) -> str:
    if choice is None:
        kind, text = "unread", Text("compare.unread")
    elif correct is None:
        kind, text = "unknown", Text("compare.option", number=choice)
    elif choice == correct:
        kind, text = "right", Text("compare.right")
    else:
        kind, text = "wrong", Text("compare.wrong", answer=options[correct])
    return f'<p class="mark {kind}">{both(text)}</p>'


def _failure(side: Mapping) -> str:
    error = side.get("error")
    return f'<p class="failure" role="alert"><b>{shown("compare.failed")}</b> {escape(error)}</p>' if error else ""


def _figures(side: Mapping) -> str:
    stats = side["stats"]
    if stats is None and side["done"]:
        return ""
    if stats is None:
        return f'<p class="figures">{shown("compare.writing" if side["text"] else "compare.waiting")}</p>'
    parts = [Text("compare.tokens", count=stats["tokens"])]
    if stats["ttft_s"] is not None:
        parts.append(Text("compare.first-after", seconds=f"{stats['ttft_s']:.2f}"))
    if stats["tokens_per_s"] is not None:
        parts.append(Text("compare.speed", tokens=f"{stats['tokens_per_s']:.0f}"))
    if stats["stop_reason"] != "eos":
        parts.append(Text(f"compare.ended-{stats['stop_reason']}"))
    return f'<p class="figures">{" · ".join(map(both, parts))}</p>'


def _row(name: str, applied: float | None, predicted: float | None, settled: bool) -> str:
    off = ""
    if applied is None:
        verdict, word = "invention", shown("compare.invented")
    elif predicted is not None:
        verdict, word = "hit", shown("compare.hit")
        off = f'<span class="off">{shown("compare.off-by", error=number(abs(applied - predicted)))}</span>'
    else:
        verdict, word = ("miss", shown("compare.missed")) if settled else ("open", "…")
    bars = "".join(
        f'<span class="bar {kind}" style="--level:{value or 0:.0%}"></span>'
        for kind, value in (("applied", applied), ("predicted", predicted))
    )
    return (
        f'<tr class="{verdict} {stage_class(name)}"><th scope="row">{type_name(name)}</th>'
        f'<td class="bars" aria-hidden="true">{bars}</td>'
        f'<td class="number">{number(applied)}</td><td class="number">{number(predicted)}</td>'
        f'<td><span class="verdict">{word}{off}</span></td></tr>'
    )
