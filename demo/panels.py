"""Chains, answers and scores to HTML. Pure functions; everything a model or a visitor wrote is escaped.

A *side* is what `/compare` sends for one model (see api.py); None stands for "nothing asked yet".
"""

from collections.abc import Mapping, Sequence
from html import escape

from degradations import REGISTRY, STAGES, Recipe, compare
from demo.chain import TAGS, Chain, parse_chain

CAPTIONS = {
    "TYPE": "what happened to the picture",
    "INFLUENCE": "what that does to the view",
    "REASONING": "thinking it through",
    "CONCLUSION": "in short",
    "ANSWER": "",
}
STOP_REASONS = {"eos": "", "length": "cut off at the token limit", "stopped": "stopped", "error": "failed"}
LONG_ANSWER = 60
"""An answer of more characters than this is set as text, not as a headline."""


def baseline_column(side: Mapping | None, options: Sequence[str] = (), correct: int | None = None) -> str:
    """The baseline's answer: its words, and large what they mean."""
    if side is None:
        return _empty("Answers directly, as trained.", "Its answer appears here, word by word.")
    words = _paragraph(side["text"])
    if options:
        body = _panel("WORDS", "as written", words, _state(side, bool(side["text"]))) + _answer(side, options, correct)
    else:
        body = _answer(side, options, correct)
    return f'<div class="side">{body}{_failure(side)}{_figures(side)}</div>'


def robust_column(side: Mapping | None, options: Sequence[str] = (), correct: int | None = None) -> str:
    """The chain as five panels that fill in order, the one being written marked."""
    if side is None:
        return _empty("Looks at the damage first.", "Its reasoning unfolds here in five steps.")
    chain = parse_chain(side["text"])
    blocks = [
        _panel(name, CAPTIONS[name], _content(name, chain), _chain_state(name, chain, side)) for name in TAGS[:-1]
    ]
    untagged = ""
    if side["done"] and side["text"].strip() and not chain.closed and chain.open is None:
        untagged = f'<p class="remark">The model wrote no tagged chain. Its words:</p>{_paragraph(side["text"])}'
    answer = _answer(side, options, correct, _chain_state("ANSWER", chain, side))
    return f'<div class="side">{"".join(blocks)}{untagged}{answer}{_failure(side)}{_figures(side)}</div>'


def scoreboard(applied: Recipe | None, side: Mapping | None = None) -> str:
    """What was applied against what the degradation-aware model says it saw: a table with a pair of bars per type."""
    if applied is None:
        return _empty("Did it see right?", "After a question: what was done to the photo against what the model saw.")
    chain = parse_chain(side["text"] if side else "")
    # A model that was stopped or failed before it had its say has missed nothing.
    settled = "TYPE" in chain.closed or bool(side and _ended_by_itself(side))
    result = compare(applied, chain.recipe)
    names = [name for name in REGISTRY if name in applied or name in chain.recipe]
    if not names:
        said = "and none was predicted: nothing to tell apart." if settled else "so far none is predicted."
        return f'<div class="score"><p class="remark">No degradation was applied, {said}</p></div>'
    rows = "".join(_row(name, applied.get(name), chain.recipe.get(name), settled) for name in names)
    misses = len(result.misses) if settled else "…"
    error = "–" if result.intensity_error is None else f"{result.intensity_error:.2f}"
    tiles = "".join(
        f'<div class="tile {kind}"><dd>{value}</dd><dt>{label}</dt></div>'
        for kind, value, label in (
            ("hit", len(result.hits), _plural(len(result.hits), "hit")),
            ("miss", misses, _plural(misses, "miss", "misses")),
            ("invention", len(result.inventions), _plural(len(result.inventions), "invention")),
            ("error", error, "mean intensity error"),
        )
    )
    return (
        f'<div class="score"><dl class="tiles">{tiles}</dl>'
        '<table><caption class="visually-hidden">Applied against predicted intensity per degradation</caption>'
        '<thead><tr><th scope="col">Degradation</th><th scope="col" class="bars">'
        '<span class="key applied">applied</span> <span class="key predicted">predicted</span></th>'
        '<th scope="col" class="number">Applied</th><th scope="col" class="number">Predicted</th>'
        f'<th scope="col">Verdict</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def header(title: str, subtitle: str, notice: str, waiting_room: int) -> str:
    """The head of the page: what this is, which pair runs and how many questions can wait."""
    return (
        f'<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p>'
        f'<p class="notice"><span class="lamp" aria-hidden="true"></span><span>{escape(notice)}</span>'
        f'<span class="queue">One question at a time; up to {waiting_room} wait.</span></p></header>'
    )


def heading(title: str, subtitle: str = "") -> str:
    """A card's title."""
    return f"<h2>{escape(title)}{_small(subtitle)}</h2>"


def stage_heading(title: str, stage: str) -> str:
    """The title of one stage's sliders."""
    return f"<h3>{escape(title)}{_small(stage)}</h3>"


def remark(text: str) -> str:
    """Small explaining text."""
    return f'<p class="remark">{escape(text)}</p>'


def message(text: str, kind: str = "info") -> str:
    """One line for the visitor; `kind` is info, good or bad. Empty text gives nothing."""
    role = "alert" if kind == "bad" else "status"
    return f'<p class="message {kind}" role="{role}">{escape(text)}</p>' if text else ""


def _small(text: str) -> str:
    return f"<span>{escape(text)}</span>" if text else ""


def _empty(title: str, text: str) -> str:
    return f'<div class="empty"><p class="title">{escape(title)}</p><p>{escape(text)}</p></div>'


def _paragraph(text: str) -> str:
    return f'<p class="words">{escape(text.strip())}</p>' if text.strip() else ""


def _panel(name: str, caption: str, content: str, state: str) -> str:
    current = ' aria-current="step"' if state == "open" else ""
    return (
        f'<article class="panel {state}" data-block="{name}"{current}><h4>{name}{_small(caption)}</h4>'
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
            return f'<ul class="chips">{"".join(map(_chip, *zip(*chain.recipe.items(), strict=True)))}</ul>'
        return '<p class="words">none</p>' if "TYPE" in chain.closed else ""
    return _paragraph(getattr(chain, name.lower()))


def _chip(name: str, intensity: float) -> str:
    entry = REGISTRY[name]
    return (
        f'<li class="chip {_stage_class(name)}" style="--level:{intensity:.0%}" title="{escape(entry.description)}">'
        f"<span>{escape(entry.label)}</span><b>{intensity:.2f}</b></li>"
    )


def _answer(side: Mapping, options: Sequence[str], correct: int | None, state: str | None = None) -> str:
    """The answer panel: large the option that is meant, marked where the right one is known."""
    answer = side["answer"] or ""
    state = state or _state(side, bool(answer))
    size = "large" if len(answer) <= LONG_ANSWER else "long"
    content = f'<p class="answer {size}">{escape(answer)}</p>' if answer else ""
    if options and side["done"] and not side.get("error"):
        content += _verdict(side["choice"], options, correct)
    return _panel("ANSWER", CAPTIONS["ANSWER"], content, state)


def _verdict(choice: int | None, options: Sequence[str], correct: int | None) -> str:
    if choice is None:
        return '<p class="mark unread">none of the options</p>'
    if correct is None:
        return f'<p class="mark">option {choice}</p>'
    if choice == correct:
        return '<p class="mark right">correct</p>'
    return f'<p class="mark wrong">not correct: it is {escape(options[correct])}</p>'


def _failure(side: Mapping) -> str:
    error = side.get("error")
    return f'<p class="failure" role="alert"><b>This model failed.</b> {escape(error)}</p>' if error else ""


def _figures(side: Mapping) -> str:
    stats = side["stats"]
    if stats is None and side["done"]:
        return ""
    if stats is None:
        return f'<p class="figures">{"writing …" if side["text"] else "waiting for the first word …"}</p>'
    parts = [f"{stats['tokens']} {_plural(stats['tokens'], 'token')}"]
    if stats["ttft_s"] is not None:
        parts.append(f"first after {stats['ttft_s']:.2f} s")
    if stats["tokens_per_s"] is not None:
        parts.append(f"{stats['tokens_per_s']:.0f} tokens/s")
    parts.append(STOP_REASONS.get(stats["stop_reason"], str(stats["stop_reason"])))
    return f'<p class="figures">{" · ".join(escape(part) for part in parts if part)}</p>'


def _row(name: str, applied: float | None, predicted: float | None, settled: bool) -> str:
    if applied is None:
        verdict, word = "invention", "invented"
    elif predicted is not None:
        verdict, word = "hit", f'hit<span class="off">, off by {abs(applied - predicted):.2f}</span>'
    else:
        verdict, word = ("miss", "missed") if settled else ("open", "…")
    bars = "".join(
        f'<span class="bar {kind}" style="--level:{value or 0:.0%}"></span>'
        for kind, value in (("applied", applied), ("predicted", predicted))
    )
    return (
        f'<tr class="{verdict} {_stage_class(name)}"><th scope="row">{escape(REGISTRY[name].label)}</th>'
        f'<td class="bars" aria-hidden="true">{bars}</td>'
        f'<td class="number">{_number(applied)}</td><td class="number">{_number(predicted)}</td>'
        f'<td><span class="verdict">{word}</span></td></tr>'
    )


def _number(intensity: float | None) -> str:
    return "–" if intensity is None else f"{intensity:.2f}"


def _stage_class(name: str) -> str:
    return f"stage-{STAGES.index(REGISTRY[name].stage)}"


def _plural(count: object, one: str, many: str | None = None) -> str:
    return one if count == 1 else many or f"{one}s"
