"""A ballot, what it reveals, and the results to HTML. Pure functions; everything from outside is escaped."""

from collections.abc import Sequence
from html import escape

from demo.chain import parse_chain, read_answer
from demo.markup import chips, empty, file_address, paragraph, remark
from demo.replies import CHAINS
from demo.texts import Text, both, shown
from demo.vote.ballots import PLACES, Ballot
from demo.vote.figures import QUESTIONS, Result, Standing


def begin() -> str:
    """What stands in the place of a picture before anything is asked."""
    return empty(Text("vote.begin"), Text("vote.begin-more"))


def asked(picture: str, whole: str) -> str:
    """The picture as the models see it, and the question."""
    question, *options = whole.splitlines()
    listed = "".join(f"<li>{escape(option)}</li>" for option in options)
    return (
        f'<figure class="ballot-photo"><img src="{escape(file_address(picture))}" alt="">'
        f'<figcaption><p class="asked">{escape(question)}</p><ul>{listed}</ul></figcaption></figure>'
    )


def answers(ballot: Ballot | None) -> str:
    """Two answers under A and B; before they are there, what will be."""
    said = {place: ballot.said[side] for place, side in ballot.sides.items()} if ballot else dict.fromkeys(PLACES)
    cells = "".join(
        f'<div class="place"><h3>{shown(f"vote.place-{place}")}</h3>{_words(words, ballot is not None)}</div>'
        for place, words in said.items()
    )
    return f'<div class="places">{cells}</div>'


def _words(words: str | None, there: bool) -> str:
    if not there:
        return '<p class="answer large">…</p>'
    if words is None:
        return f'<p class="answer">{shown("vote.no-answer")}</p>'
    return f'<p class="answer {"large" if len(words) <= 60 else "long"}">{escape(words)}</p>'


def revealed(ballot: Ballot) -> str:
    """Who said what, what was right if that is known, what was done to the picture."""
    cells = "".join(_side(ballot, place, side) for place, side in ballot.sides.items())
    truth = f'<p class="message">{shown("vote.truth", answer=ballot.answer)}</p>' if ballot.answer else ""
    applied = chips(dict(ballot.recipe)) if ballot.recipe else remark(Text("vote.clean"))
    return (
        f'<div class="revealed">{truth}<div class="places">{cells}</div><h3>{shown("vote.applied")}</h3>{applied}</div>'
    )


def _side(ballot: Ballot, place: str, side: str) -> str:
    text = ballot.replies[side]
    chain = parse_chain(text) if side in CHAINS else None
    mark = ""
    if ballot.answer is not None:
        said = (chain.answer if chain else text).strip()
        choice = read_answer(said, list(ballot.options), ballot.models[side].get("by_index", False))
        right = choice is not None and ballot.options[choice] == ballot.answer
        verdict = "right" if right else "wrong"
        mark = f'<p class="mark {verdict}">{shown(f"vote.is-{verdict}")}</p>'
    seen = f"<h4>{shown('vote.seen')}</h4>{chips(dict(chain.recipe))}" if chain and chain.recipe else ""
    words = f"<details><summary>{shown('vote.words')}</summary>{paragraph(text)}</details>"
    return (
        f'<div class="place"><h3>{shown(f"vote.place-{place}")}: {shown(f"compare.{side}")}</h3>'
        f'<p class="remark">{escape(ballot.models[side]["name"])}</p>{mark}{seen}{words}</div>'
    )


def results(found: Sequence[Result]) -> str:
    """Every pair of models with its wins, ties and intervals."""
    if not found:
        return empty(Text("vote.nothing"), Text("vote.nothing-more"))
    return f'<div class="tally">{"".join(map(_result, found))}{remark(Text("vote.interval"))}</div>'


def _result(result: Result) -> str:
    base, other = result.models
    named = {"base": result.models[base]["name"], "other": result.models[other]["name"]}
    counts = Text("vote.counts", votes=result.votes, voters=result.voters, items=result.items)
    rows = "".join(_standing(name, result.standings[name]) for name in QUESTIONS)
    columns = (other, base, "both", "neither", "silent")
    share = shown("vote.column-share", side=Text(f"vote.column-{other}"))
    head = "".join(f'<th scope="col" class="number">{shown(f"vote.column-{name}")}</th>' for name in columns)
    place = ""
    if result.first is not None:
        place = remark(Text("vote.first-share", share=f"{result.first:.0%}"))
    return (
        f'<section><h3>{shown("vote.against", **named)}</h3><p class="remark">{both(counts)}</p>'
        f'<div class="wide" tabindex="0">'
        f'<table class="facts"><thead><tr><th scope="col">{shown("vote.question")}</th>{head}'
        f'<th scope="col" class="interval">{share}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{place}</section>"
    )


def _standing(name: str, one: Standing) -> str:
    said = (*reversed(one.wins.values()), one.both, one.neither, one.silent)
    counts = "".join(f'<td class="number">{count}</td>' for count in said)
    if one.share is None:
        share = f'<td class="interval">{shown("vote.undecided")}</td>'
    else:
        words = f"{one.share:.0%} [{one.low:.0%}, {one.high:.0%}]"
        share = (
            f'<td class="interval"><span class="whisker" aria-hidden="true" style="--low:{one.low:.1%};'
            f'--high:{one.high:.1%};--share:{one.share:.1%}"></span>{words}</td>'
        )
    return f'<tr><th scope="row">{shown(f"vote.row-{name}")}</th>{counts}{share}</tr>'
