"""Answers of any number of sides to any number of sets, stored as they come.

Checkpoints are loaded one after the other, all adapters of one together; endpoints are asked many questions at once.
What is stored is known by what it follows from (weights, prompt, question, pictures): nothing is asked twice, whatever
sides and sets are called and wherever they lie, and a killed run goes on. What a name stood for is stored too: a side
or a picture that is not what it was is refused.

A folder holds ``answers.jsonl``; ``asked.json``, what every side's answers follow from; ``items.jsonl``, what was asked
of all. They are enough to measure again without a model and without the pictures (`stored`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from degradations.files import write_whole
from degradations.jobs import OtherRunError, read_table
from demo.chain import parse_chain, question_with_options
from demo.checkpoints import Checkpoint
from demo.fingerprint import weights_hash
from training.endpoint import Endpoint
from training.evaluation import local, served
from training.evaluation.recovered import GIVEN, seen
from training.evaluation.rows import Picture, applied, pictures_of, states_of
from training.evaluation.said import Reply
from training.evaluation.shards import ALONE, Shard, gather
from training.evaluation.sides import CHAIN, DIRECT, Asking, Side
from training.written import appending

__all__ = ["ASKED", "CHAIN", "DIRECT", "ITEMS", "Asking", "Replies", "Side", "answer_all", "stored"]

ASKED, ITEMS = "asked.json", "items.jsonl"

Replies = dict[tuple[str, str], dict[str, list[Reply]]]
"""(side, set) -> state -> a reply for each row of the set."""

LOCATORS = ("pictures", "image", "clean", "copies", "more_images")
"""Keys of a row that say where its pictures lie, which measuring needs nothing of."""

TRUTH = ("answer", "answer_index", "references", "recipes", "distortion", "strength")
"""Keys of a stored row that figures follow from besides the answers."""


@dataclass(frozen=True)
class _Asked:
    """One question in one state: where it stands, and what an answer to it follows from besides the side."""

    set: str
    state: str
    row: dict
    pictures: tuple[Picture, ...]
    total: float
    source: str


def answer_all(
    sides: Sequence[Side],
    sets: Mapping[str, Sequence[dict]],
    file: Path,
    asking: Asking,
    *,
    endpoints: Callable[[Side], Endpoint] | None = None,
    renew: bool = False,
    shard: Shard = ALONE,
) -> Replies:
    """Replies of all sides to all rows of all sets in all their states.

    Those that are stored in `file` are not asked for again; new ones are added to it as they come.

    Args:
        endpoints: how to reach a side that has a `url`.
        renew: take sides and pictures that are not what they were under their names as what they are now.
        shard: which part of the asking is this process's; all return all replies.

    Raises:
        demo.checkpoints.CheckpointError: a checkpoint or an adapter cannot be had; nothing was asked then.
        degradations.jobs.OtherRunError: a name stands for something else than it did.
        ValueError: a side sees recovered pictures, and nothing recovers any.
        training.endpoint.EndpointError: an endpoint refuses.
        degradations.jobs.StoppedError: an endpoint left questions unanswered.
    """
    for side in sides:
        seen(side.sees, [Picture("")], asking.recoverer)
        if not side.url:
            local.find(side)
    asked = [one for name, rows in sets.items() for one in _to_ask(name, rows)]
    log = _Log(file.parent, renew, shard)
    log.check_items(asked)
    if shard.first:
        gather(file)
    shard.wait()
    known = {row["key"]: _reply(row) for row in read_table(file)}
    result: Replies = {(side.name, name): {} for side in sides for name in sets}
    with appending(shard.file(file)) as append:
        for side, source, ask in _sources(sides, asking, endpoints):
            log.check_side(side, source)
            keys = [_key(source["source"], one.source) for one in asked]
            missing: dict[str, _Asked] = {}
            for key, one in zip(keys, asked, strict=True):
                if key not in known:
                    missing.setdefault(key, one)

            def record(key: str, reply: Reply, side=side, missing=missing, known=known) -> None:
                append(_row(key, missing[key], side, reply, asking))
                known[key] = reply

            ask(missing, shard, record)
            shard.wait()
            if shard.count > 1:  # what the others were told
                parts = file.parent.glob(f"{file.stem}.*{file.suffix}")
                known.update({row["key"]: _reply(row) for part in parts for row in read_table(part)})
                shard.wait()  # answers of the next side would shift the batches of whoever still reads
            for key, one in zip(keys, asked, strict=True):
                result[side.name, one.set].setdefault(one.state, []).append(known[key])
    shard.wait()
    if shard.first:
        gather(file)
        log.write_items(sides, asked)
    return result


def stored(folder: Path, table: str) -> tuple[list[Side], dict[str, list[dict]], Replies, dict]:
    """What the last run in a folder asked, and what it was told: to measure again without a model.

    Returns:
        Sides, sets without pictures, replies, and what `asked.json` says.

    Raises:
        ValueError: there is no run, or not all of its answers.
    """
    if not (folder / ASKED).exists() or not (folder / ITEMS).exists():
        raise ValueError(f"{folder} holds no finished evaluation; run it without --rescore first")
    told = json.loads((folder / ASKED).read_text())
    if not told["asked"] or "results" not in told:
        raise ValueError(f"the last run of training.evaluate in {folder} did not come to its end; run it again")
    known = {row["key"]: _reply(row) for row in read_table(folder / table)}
    sides = [Side.parse(told["sides"][name]["side"]) for name in told["asked"]]
    sets: dict[str, list[dict]] = {}
    result: Replies = {}
    lacking = 0
    for item in read_table(folder / ITEMS):
        sets.setdefault(item["set"], []).append(item["row"])
        for side in sides:
            for state, source in item["sources"].items():
                reply = known.get(_key(told["sides"][side.name]["source"], source))
                lacking += reply is None
                result.setdefault((side.name, item["set"]), {}).setdefault(state, []).append(reply)
    if lacking:
        raise ValueError(f"{folder / table} lacks {lacking} answers of the last run; run it without --rescore")
    return sides, sets, result, told


# --- what is asked ---


def _to_ask(name: str, rows: Sequence[dict]) -> Iterator[_Asked]:
    for state in states_of(rows):
        for row in rows:
            question, pictures = question_with_options(row["question"], row["options"]), pictures_of(row, state)
            recipe = applied(row, state)
            source = _digest([question, *(picture.digest() for picture in pictures)])
            yield _Asked(name, state, row, tuple(pictures), recipe.total if recipe else 0.0, source)


_Ask = Callable[[dict[str, _Asked], Shard, Callable[[str, Reply], None]], None]
"""Asks what is missing, or this process's share of it, and hands on every answer as it comes."""


def _sources(
    sides: Sequence[Side], asking: Asking, endpoints: Callable[[Side], Endpoint] | None
) -> Iterator[tuple[Side, dict, _Ask]]:
    """Every side with what its answers follow from and the function that asks it."""
    for checkpoint, side, adapter in local.loaded([side for side in sides if not side.url], asking.spec):
        source = local.fingerprint(checkpoint, adapter, asking.template_of(side), asking)
        source = _as_asked(source, side, asking)
        told = {"source": source, "weights": weights_hash(checkpoint.model, adapter)}
        yield side, told, partial(_ask_checkpoint, checkpoint, adapter, side, asking)
    for side in sides:
        if side.url:
            endpoint = endpoints(side)
            follows = [side.checkpoint, asking.template_of(side), asking.max_new_tokens, endpoint.request]
            # The address is not among it: another one of the same model may go on.
            told = {"source": _as_asked(_digest(follows), side, asking), "weights": None}
            yield side, told, partial(_ask_endpoint, endpoint, side, asking)


def _as_asked(source: str, side: Side, asking: Asking) -> str:
    """What its answers follow from, with what recovers the pictures it sees and the temperature they are drawn at."""
    if side.sees != GIVEN:
        source = _digest([source, side.sees, asking.recoverer.digest])
    return _digest([source, side.temperature]) if side.temperature else source


def _ask_checkpoint(
    checkpoint: Checkpoint, adapter: str | None, side: Side, asking: Asking,
    missing: dict[str, _Asked], shard: Shard, record: Callable[[str, Reply], None],
) -> None:  # fmt: skip
    # Answers of like length together, then questions: little padding.
    ordered = sorted(missing.items(), key=lambda item: (item[1].total, len(item[1].row["question"])))
    batches = [ordered[start : start + asking.batch_size] for start in range(0, len(ordered), asking.batch_size)]
    mine = shard.share(batches)
    with tqdm(total=sum(map(len, mine)), desc=side.name, unit=" answers", disable=not mine) as bar:
        for batch in mine:
            prompts = [asking.prompt(side, one.row) for _, one in batch]
            pictures = [seen(side.sees, one.pictures, asking.recoverer) for _, one in batch]
            drawing = side.temperature, [int(key, 16) for key, _ in batch]  # whatever batch an answer falls into
            with local.speaking(checkpoint, adapter):
                replies = local.generate(checkpoint, pictures, prompts, asking.max_new_tokens, *drawing)
            for (key, _), reply in zip(batch, replies, strict=True):
                record(key, reply)
            bar.update(len(batch))


def _ask_endpoint(
    endpoint: Endpoint, side: Side, asking: Asking,
    missing: dict[str, _Asked], shard: Shard, record: Callable[[str, Reply], None],
) -> None:  # fmt: skip
    if not shard.first:  # one process keeps an endpoint busy
        return
    request = {"max_completion_tokens": asking.max_new_tokens, "temperature": side.temperature, **endpoint.request}
    questions = [
        served.Question(key, asking.prompt(side, one.row), tuple(seen(side.sees, one.pictures, asking.recoverer)))
        for key, one in missing.items()
    ]
    with tqdm(total=len(questions), desc=side.name, unit=" answers", disable=not questions) as bar:

        def take(question: served.Question, answer: served.Answer) -> None:
            record(question.key, Reply(answer.text, answer.tokens, answer.seconds))
            bar.update()

        served.ask_all(replace(endpoint, request=request), questions, take)


# --- what is stored ---


def _row(key: str, one: _Asked, side: Side, reply: Reply, asking: Asking) -> dict:
    row = {"side": side.name, "set": one.set, "state": one.state, "id": one.row["id"], "key": key}
    row |= {"tokens": reply.tokens, "seconds": reply.seconds, "prompt": asking.prompt(side, one.row)}
    if side.chain:
        chain = parse_chain(reply.text)
        row["chain"] = {"types": str(chain.recipe), "answer": chain.answer, "complete": chain.complete}
    return row | {"text": reply.text}


def _reply(row: Mapping) -> Reply:
    return Reply(row["text"], row["tokens"], row.get("seconds"))


def _key(source: str, item: str) -> str:
    return _digest([source, item])[:16]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


class _Log:
    """What every name stood for in this folder; see the module."""

    def __init__(self, folder: Path, renew: bool, shard: Shard):
        self.folder, self.renew, self.shard = folder, renew, shard
        self.told = {"asked": [], "sides": {}}
        if (folder / ASKED).exists():
            self.told = json.loads((folder / ASKED).read_text()) | {"asked": []}
            self.told.pop("results", None)  # they are another run's

    def check_side(self, side: Side, source: Mapping[str, str | None]) -> None:
        before = self.told["sides"].get(side.name)
        if before and before["source"] != source["source"] and not self.renew:
            changed = "its weights" if before["weights"] != source["weights"] else "its prompt, budgets or settings"
            raise OtherRunError(
                f"{self.folder} holds answers of another {side.name}: {changed} changed ({before['side']} then, {side} "
                "now). Give another name or folder, or --renew to ask anew."
            )
        self.told["sides"][side.name] = {"side": str(side), **source}
        if self.shard.first:
            write_whole(self.folder / ASKED, (json.dumps(self.told, indent=2) + "\n").encode())

    def check_items(self, asked: Sequence[_Asked]) -> None:
        before = {
            (item["set"], item["row"]["id"], state): source
            for item in read_table(self.folder / ITEMS)
            for state, source in item["sources"].items()
        }
        for one in asked:
            place = one.set, one.row["id"], one.state
            if before.get(place, one.source) != one.source and not self.renew:
                raise OtherRunError(
                    f"{self.folder} holds answers to another {one.set}: question or picture {one.row['id']} "
                    f"({one.state}) changed. Give another name or folder, or --renew to ask anew."
                )

    def write_items(self, sides: Sequence[Side], asked: Sequence[_Asked]) -> None:
        self.told["asked"] = [side.name for side in sides]
        items: dict[tuple, dict] = {}
        for one in asked:
            item = items.setdefault((one.set, one.row["id"]), {"set": one.set, "row": _told(one.row), "sources": {}})
            item["row"]["recipes"][one.state] = None if (recipe := applied(one.row, one.state)) is None else str(recipe)
            item["sources"][one.state] = one.source
        lines = [json.dumps(item) + "\n" for item in items.values()]
        write_whole(self.folder / ITEMS, "".join(lines).encode())
        for name in dict.fromkeys(one.set for one in asked):
            own = [item for item in items.values() if item["set"] == name]
            truths = [{key: item["row"].get(key) for key in TRUTH} for item in own]
            self.told.setdefault("sets", {})[name] = _digest([truths, [item["sources"] for item in own]])
        write_whole(self.folder / ASKED, (json.dumps(self.told, indent=2) + "\n").encode())


def _told(row: Mapping) -> dict:
    """A row without where its pictures lie."""
    return {key: value for key, value in row.items() if key not in LOCATORS} | {"recipes": {}}
