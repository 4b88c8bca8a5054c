"""Voting: pairs without names, the box, wins with intervals, exports. No checkpoint, no browser."""

import csv
import io
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from degradations import Recipe
from demo import api
from demo.annotate.access import Access
from demo.chain import format_chain
from demo.examples import load_examples
from demo.recovery.joint import Joint, Speaker
from demo.replies import PAIR, SIDES, Event, Stats
from demo.store.database import Store, default_url
from demo.store.tables import Vote
from demo.vote import __main__ as command_line
from demo.vote import panels
from demo.vote.actions import Actions
from demo.vote.ballots import CHOICES, Ballots, item_of
from demo.vote.box import BACKUP, COLUMNS, Box, DoubleVoteError
from demo.vote.figures import results, standing, wilson
from demo.vote.voting import Voting
from tests.recovering import Scripted, brighter
from tests.spoken import spoken

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = load_examples()
CHAIN = format_chain(Recipe({"lens blur": 0.3}), "It is soft.", "Two ears.", "A cat.", "1")
MODELS = {"baseline": {"name": "the old one", "weights": "a1"}, "robust": {"name": "the new one", "weights": "b2"}}
END = Stats(3, 0.1, 9.0, "eos")


def ballot(ballots: Ballots, item: str = "i" * 64, **more):
    about = {
        "item": item, "photo": "cat.jpg", "question": "What is it?\n0. dog\n1. cat", "options": ("dog", "cat"),
        "answer": "cat", "recipe": Recipe({"lens blur": 0.4}), "seed": 7, "temperature": 0.0, "max_new_tokens": 50,
        "models": MODELS, "replies": {"baseline": "dog", "robust": CHAIN}, "said": {"baseline": "dog", "robust": "cat"},
        "sides": ballots.draw(PAIR),
    }  # fmt: skip
    return ballots.add(**about | more)


@pytest.fixture
def box(tmp_path) -> Box:
    return Box(Store(default_url(tmp_path)))


def said(votes: list[Vote]) -> list[tuple]:
    return [(vote.better, vote.right) for vote in votes]


# --- ballots ---


def in_order(*sides: str) -> Ballots:
    """Ballots that draw these sides in this order."""
    return Ballots(rng=SimpleNamespace(sample=lambda _, count: sides))


def test_every_pair_stands_in_either_order_about_as_often():
    ballots = Ballots(rng=random.Random(0))
    two = Counter(tuple(ballots.draw(PAIR).values()) for _ in range(400))
    assert set(two) == {PAIR, PAIR[::-1]} and 160 < two[PAIR] < 240
    three = Counter(tuple(ballots.draw(SIDES).values()) for _ in range(600))
    assert set(three) == set(permutations(SIDES, 2)) and min(three.values()) > 70
    one = ballot(in_order("robust", "baseline"))
    assert one.sides == {"a": "robust", "b": "baseline"}
    assert [one.side(choice) for choice in CHOICES] == ["robust", "baseline", "both", "neither"]


def test_ballots_are_bounded_and_grow_old():
    now = [0.0]
    ballots = Ballots(most=2, kept_s=60, clock=lambda: now[0])
    first, second, third = (ballot(ballots) for _ in range(3))
    assert len({first.id, second.id, third.id}) == 3
    for name in (first.id, "", None, 3, "x"):
        with pytest.raises(ValueError, match="no longer be voted on"):
            ballots.get(name)
    assert ballots.get(third.id) is third
    now[0] = 61
    with pytest.raises(ValueError, match="no longer be voted on"):
        ballots.get(third.id)


def test_an_item_is_what_was_asked_of_whom():
    asked = b"pixels", "What?", Recipe(), (1, 0.0, 50), MODELS
    same = item_of(*asked)
    assert same == item_of(b"pixels", "What?", Recipe(), (1, 0.0, 50), json.loads(json.dumps(MODELS)))
    for place, other in enumerate((b"other", "Who?", Recipe({"noise": 1}), (2, 0.0, 50), {"baseline": {}})):
        assert item_of(*asked[:place], other, *asked[place + 1 :]) != same


def test_a_ballot_shows_no_names():
    one = ballot(Ballots())
    html = panels.answers(one) + panels.asked("/tmp/x.png", one.question)
    assert not re.search("baseline|robust|degradation-aware|old one|new one|lens|soft", html, re.IGNORECASE)
    assert "cat" in html and "dog" in html
    told = spoken(panels.revealed(one))
    assert "the old one" in told and "the new one" in told and "The right answer: cat" in told
    hostile = "<script>alert(1)</script>"
    evil = ballot(Ballots(), question=hostile, said=dict.fromkeys(PAIR, hostile), answer=hostile,
                  replies=dict.fromkeys(PAIR, hostile),
                  models={side: {"name": hostile, "weights": hostile} for side in PAIR})  # fmt: skip
    assert "<script" not in panels.answers(evil) + panels.asked(hostile, evil.question) + panels.revealed(evil)


# --- the box ---


def test_a_number_among_numbers_is_judged_as_its_model_means_it():
    chain = format_chain(Recipe(), "Nothing.", "Two ears.", "One cat.", "1")
    about = {"options": ("1", "2"), "answer": "2", "replies": {"baseline": "1", "robust": chain}}
    literal = spoken(panels.revealed(ballot(Ballots(), **about)))
    assert literal.count("mark right") == 0 and literal.count("mark wrong") == 2
    models = MODELS | {"robust": MODELS["robust"] | {"by_index": True}}
    by_index = spoken(panels.revealed(ballot(Ballots(), models=models, **about)))
    assert by_index.count("mark right") == 1 and by_index.count("mark wrong") == 1


def test_a_vote_is_kept_by_sides_whatever_their_places(box):
    for number, sides in enumerate((PAIR, PAIR[::-1])):
        one = ballot(in_order(*sides), str(number))
        box.cast(one, "a", "b", "me", 2.5)
    (vote, other) = box.votes()
    assert (vote.better, vote.right) == ("baseline", "robust")
    assert (other.better, other.right) == ("robust", "baseline")
    assert vote.replies == {"baseline": "dog", "robust": CHAIN} and vote.models == MODELS and vote.seconds == 2.5


def test_of_two_votes_on_one_thing_the_first_counts(box):
    ballots = Ballots()
    one, again, another = ballot(ballots), ballot(ballots), ballot(ballots, "another item")
    box.cast(one, "both", "", "me")
    for repeated, voter in ((one, "me"), (one, "somebody else"), (again, "me"), (again, " me ")):
        with pytest.raises(DoubleVoteError, match="that vote counts"):
            box.cast(repeated, "neither", "a", voter)
    assert said(box.votes()) == [("both", None)]
    box.cast(again, "neither", "neither", "somebody else")
    box.cast(another, "neither", None, "me")
    assert said(box.votes()) == [("both", None), ("neither", "neither"), ("neither", None)]


def test_of_many_at_once_one_counts(box):
    one = ballot(Ballots())

    def cast(number: int) -> bool:
        try:
            box.cast(one, "a", "a", f"voter {number % 2}")
        except DoubleVoteError:
            return False
        return True

    with ThreadPoolExecutor(8) as together:
        assert sum(together.map(cast, range(8))) == 1
    assert len(box.votes()) == 1


@pytest.mark.parametrize(
    ("better", "right", "voter"),
    [("", "a", "me"), (None, None, "me"), ("c", None, "me"), ("baseline", None, "me"), ("a", "c", "me"),
     ("a", "a", ""), ("a", "a", " "), ("a", "a", None), ("a", "a", "x" * 201), (["a"], "a", "me")],
)  # fmt: skip
def test_what_is_no_vote_is_refused(box, better, right, voter):
    with pytest.raises((ValueError, TypeError)):
        box.cast(ballot(Ballots()), better, right, voter)
    assert box.votes() == []


def test_the_box_can_be_full(tmp_path):
    small = Box(Store(default_url(tmp_path)), most=1)
    small.cast(ballot(Ballots(), "1"), "a", None, "me")
    with pytest.raises(ValueError, match="full"):
        small.cast(ballot(Ballots(), "2"), "a", None, "me")


def test_a_voter_cannot_be_recognized(box, tmp_path):
    box.cast(ballot(Ballots()), "a", "a", "127.0.0.1 Firefox of anna")
    box.store.close()
    assert all(b"Firefox" not in path.read_bytes() for path in tmp_path.glob("annotations.db*"))
    assert not re.search("address|ip|agent|cookie", " ".join(Vote.__table__.columns.keys()).replace("recipe", ""))


def test_what_was_said_to_be_saved_survives_a_kill(tmp_path):
    script = (
        "import sys, itertools\n"
        "from tests.test_vote import Ballots, Box, Store, ballot, default_url\n"
        "from pathlib import Path\n"
        "box = Box(Store(default_url(Path(sys.argv[1]))))\n"
        "for number in itertools.count():\n"
        "    box.cast(ballot(Ballots(), str(number)), 'a', 'b', 'me')\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    told = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.readlines()
    process.wait()
    kept = {vote.item for vote in Box(Store(default_url(tmp_path))).votes()}
    assert len(told) >= 5 and {line.strip() for line in told} <= kept


# --- figures ---


@pytest.mark.parametrize(
    ("wins", "count", "low", "high"),
    [(0, 0, 0, 1), (8, 10, 0.4902, 0.9433), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (50, 100, 0.4038, 0.5962),
     (1, 1, 0.2065, 1)],
)  # fmt: skip
def test_wilsons_interval(wins, count, low, high):
    assert wilson(wins, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_interval_holds_its_share_and_is_the_others_mirrored(case):
    wins, count = case
    low, high = wilson(wins, count)
    assert 0 <= low <= wins / count <= high <= 1
    assert wilson(count - wins, count) == pytest.approx((1 - high, 1 - low))


def test_no_interval_of_what_cannot_be():
    for wins, count in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="cannot be"):
            wilson(wins, count)


def test_ties_are_stated_and_decide_nothing():
    one = standing(["robust", "robust", "baseline", "both", "both", "neither", None], PAIR)
    assert (one.wins, one.both, one.neither, one.silent) == ({"baseline": 1, "robust": 2}, 2, 1, 1)
    assert (one.decided, one.share) == (3, 2 / 3)
    assert (one.low, one.high) == wilson(2, 3)
    assert standing(["both", None], PAIR).share is None
    told = one.as_json()
    assert (told["robust"], told["baseline"], told["decided"], told["share"]) == (2, 1, 3, 2 / 3)


def test_results_are_counted_by_models(box):
    ballots = in_order("robust", "baseline")
    other = MODELS | {"robust": {"name": "the new one", "weights": "c3"}}
    for number, (voter, better, right) in enumerate([("x", "a", "a"), ("x", "a", ""), ("y", "b", "both")]):
        box.cast(ballot(ballots, f"{number % 2}"), better, right, voter)
    box.cast(ballot(ballots, "other models", models=other), "neither", "neither", "x")
    most, least = results(box.votes())
    assert (most.votes, most.voters, most.items, most.first) == (3, 2, 2, 2 / 3)
    right = most.standings["right"]
    assert most.standings["better"].wins == {"baseline": 1, "robust": 2}
    assert (right.wins["robust"], right.both, right.silent) == (1, 1, 1)
    assert (least.votes, least.first, least.standings["better"].share) == (1, None, None)
    html = spoken(panels.results([most, least]))
    assert "67% [21%, 94%]" in html and "not decided yet" in html and "Votes: 3" in html
    assert "No votes yet" in panels.results([])
    json.dumps([one.as_json() for one in (most, least)])


def test_results_of_a_third_side_stand_for_themselves(box):
    third = {"name": "the third one", "weights": "d4"}
    for number, (sides, better) in enumerate([(("recovered", "robust"), "a"), (("baseline", "recovered"), "a")]):
        said = {"models": {side: (MODELS | {"recovered": third})[side] for side in sides},
                "replies": dict.fromkeys(sides, CHAIN), "said": dict.fromkeys(sides, "cat")}  # fmt: skip
        box.cast(ballot(in_order(*sides), str(number), **said), better, "b", "me")
    with_robust, with_baseline = results(box.votes())
    assert list(with_robust.models) == ["robust", "recovered"] and with_robust.standings["better"].share == 1.0
    assert list(with_baseline.models) == ["baseline", "recovered"] and with_baseline.standings["better"].share == 0.0
    html = spoken(panels.results([with_robust]), "en")
    assert "the third one against the new one" in html and "wins: recovered first" in html
    assert html.index("recovered first") < html.index("degradation-aware") and "baseline" not in html
    rows = [json.loads(line) for line in box.as_jsonl().splitlines()]
    assert [row["recovered_weights"] for row in rows] == ["d4", "d4"]
    assert (rows[0]["baseline"], rows[0]["baseline_reply"], rows[1]["robust"]) == (None, None, None)


# --- exports ---


def test_votes_are_exported_whole_and_harmless(box, tmp_path, capsys):
    formula = '=HYPERLINK("http://x")'
    box.cast(ballot(Ballots(), question=formula, options=(), answer=None, photo=None), "a", None, "me", 1.5)
    (row,) = [json.loads(line) for line in box.as_jsonl().splitlines()]
    assert list(row) == list(COLUMNS)
    assert (row["question"], row["right"], row["baseline"], row["robust_weights"]) == (
        formula,
        None,
        "the old one",
        "b2",
    )
    (cells,) = csv.DictReader(io.StringIO(box.as_csv()))
    assert cells["question"] == f"'{formula}" and cells["robust_reply"] == CHAIN and cells["right"] == ""
    with pytest.raises(ValueError, match="jsonl"):
        box.written("xlsx")
    assert command_line.main(["--data", str(tmp_path), "export", "--format", "csv"]) == 0
    assert capsys.readouterr().out == box.as_csv()


def test_votes_are_pushed_and_come_back_to_a_server_that_forgot_them(box, tmp_path):
    box.keep_in(tmp_path / "push")
    assert not (tmp_path / "push").exists(), "no votes, no file"
    for number in range(3):
        box.cast(ballot(Ballots(), str(number)), "a", "b" if number else "", "me", 1.5)
    third = {side: {"name": f"the {side}", "weights": None} for side in ("baseline", "recovered")}
    drawn = {"models": third, "replies": dict.fromkeys(third, "x"), "said": dict.fromkeys(third, "x")}
    box.cast(ballot(in_order(*third), "third", **drawn), "a", None, "me")
    box.keep_in(tmp_path / "push")
    pushed = (tmp_path / "push" / BACKUP).stat().st_mtime_ns
    box.keep_in(tmp_path / "push")
    assert (tmp_path / "push" / BACKUP).stat().st_mtime_ns == pushed, "nothing has changed"
    there = Box(Store(default_url(tmp_path / "forgetful")))
    assert there.take_back(tmp_path) == 0
    assert [there.take_back(tmp_path / "push") for _ in range(2)] == [4, 0]
    assert there.as_jsonl() == box.as_jsonl()
    first = json.loads(box.as_jsonl().splitlines()[0])
    old = {name: value for name, value in first.items() if not name.startswith("recovered")}
    (tmp_path / "push" / BACKUP).write_text(json.dumps(old | {"ballot": "of old", "item": "another"}))
    assert there.take_back(tmp_path / "push") == 1
    (tmp_path / "push" / BACKUP).write_text("{}")
    with pytest.raises(ValueError, match="no votes of ours"):
        there.take_back(tmp_path / "push")


# --- what the page does ---


@pytest.fixture
def voting(tmp_path, monkeypatch) -> Voting:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    sides = [SimpleNamespace(name=name, label=MODELS[name]["name"], weights=MODELS[name]["weights"]) for name in PAIR]
    pair = SimpleNamespace(sides=sides, max_new_tokens=50, fit=lambda image: image.resize((30, 20)))
    return Voting(api.Workbench(pair), EXAMPLES, Store(default_url(tmp_path)))


@pytest.fixture
def script(monkeypatch):
    def play(baseline: str, robust: str, error: str | None = None):
        def stream(pair, image, question, **options):
            for side, text in (("baseline", baseline), ("robust", robust)):
                yield Event(side, text=text, tokens=1)
                yield Event(side, done=True, stats=END, error=error if side == "baseline" else None)

        monkeypatch.setattr(api, "stream", stream)

    return play


def test_a_drawn_question_is_an_example_that_was_degraded(voting, script):
    script("0", CHAIN)
    for _ in range(5):
        asked = voting.drawn()
        example = next(one for one in EXAMPLES if one.image == asked.photo)
        assert asked.whole.splitlines()[0] == example.question and asked.recipe
        *_, one = voting.asking(asked)
        assert one.answer == example.options[example.answer] and one.photo == example.image.name
        assert one.said["baseline"] == example.options[0]
        assert Image.open(voting.picture(asked)).size == (30, 20)


def test_the_same_question_is_one_item_and_a_failure_is_none(voting, script):
    script("0", CHAIN)
    asked = voting.question(EXAMPLES[0].image, "What?", Recipe({"lens blur": 0.2}), 3, 0.0, 20)
    first, second = ([*voting.asking(asked)][-1] for _ in range(2))
    assert first.item == second.item and first.id != second.id
    with pytest.raises(ValueError, match="seed"):
        voting.question(EXAMPLES[0].image, "What?", Recipe(), -1, 0.0, 20)
    script("0", CHAIN, "out of memory")
    with pytest.raises(ValueError, match="failed"):
        list(voting.asking(asked))


def test_a_third_side_is_drawn_and_recovers_only_then(voting, script):
    script("0", CHAIN)
    recovery, asked = Scripted(brighter), voting.question(EXAMPLES[0].image, "What?", Recipe(), 3, 0.0, 20)
    alone = [*voting.asking(asked)][-1].item
    voting.bench.joint = Joint(recovery, Speaker("recovered", "the third"), lambda *images: iter(third), 50, None)
    third = [Event("recovered", "1", tokens=1), Event("recovered", done=True, stats=END)]
    items = set()
    for drawn in (("robust", "baseline"), ("recovered", "robust"), ("baseline", "recovered")):
        voting.ballots.draw = in_order(*drawn).draw
        *_, one = voting.asking(asked)
        items.add(one.item)
        assert tuple(one.sides.values()) == drawn and set(one.models) == set(one.said) == set(drawn)
        assert recovery.left.is_set() == ("recovered" in drawn)
        assert voting.vote(one.id, "a", "", "me")[1] == (len(voting.box.votes()) == 1 and drawn[0] == "robust")
        recovery.left.clear()
    assert len(items) == 1 and alone not in items, "who has seen one pair's answers is not blind to another's"
    assert one.models["recovered"]["weights"].endswith(recovery.digest), "answers follow from the recovery, too"
    recovery.make = lambda image: 1 / 0
    with pytest.raises(ValueError, match="failed"):
        list(voting.asking(asked))


def test_a_vote_on_the_page(voting, script):
    script("dog", CHAIN)
    actions = Actions(voting, SimpleNamespace(access=Access(local=True)))
    updates = list(actions.ask("drawn", None, "", "", 0, 0.0, 50))
    assert "Answering" in updates[0][0] and not re.search("baseline|robust", "".join(map(str, updates)), re.IGNORECASE)
    name = updates[-1][2]
    assert "say first" in actions.vote(name, None, None, "me")[0]
    status, _, revealed, tally = actions.vote(name, "a", "", "me")
    assert "saved" in status and "the old one" in revealed and "Votes: 1" in tally
    assert len(voting.box.votes()) == 1
    assert "no longer be voted on" in actions.vote(name, "a", "", "me")[0]
    again = voting.asking(voting.question(EXAMPLES[0].image, "What?", Recipe(), 0, 0.0, 9))
    one = [*again][-1]
    voting.vote(one.id, "both", "", "me")
    (*_, two) = voting.asking(voting.question(EXAMPLES[0].image, "What?", Recipe(), 0, 0.0, 9))
    status, _, revealed, _ = actions.vote(two.id, "a", "", "me")
    assert "that vote counts" in status and "the old one" in revealed and len(voting.box.votes()) == 2


def test_a_visitor_asks_about_a_photo_of_their_own(voting, script, tmp_path):
    script("a dog", CHAIN)
    (tmp_path / "gradio").mkdir(exist_ok=True)
    path = tmp_path / "gradio" / "mine.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)
    actions = Actions(voting, None)
    sliders = [0.5, *[0] * 15]
    asked = {"path": str(path)}, "What is it?", "", 4, 0.0, 50, *sliders
    *_, last = actions.ask("mine", *asked)
    assert "a dog" in last[3]
    voting.vote(last[2], "a", "", "me")
    (vote,) = voting.box.votes()
    assert vote.photo is None and vote.recipe.startswith("lens blur(0.5)")
    (refused,) = actions.ask("mine", None, "What?", "", 4, 0.0, 50, *sliders)
    assert "choose a photo" in refused[0]


def test_only_operators_export(voting, tmp_path):
    access = Access("a secret of the tests")
    actions = Actions(voting, SimpleNamespace(access=access))
    request = SimpleNamespace(username=None, client=None, headers={})
    for key in ("", access.key("anna")):
        told, _ = actions.export(request, None, "anna", key, "csv")
        assert "not the key" in told or "may annotate" in told
    told, file = actions.export(request, None, "anna", access.key("anna", True), "csv")
    assert "Here are the votes" in told
    assert time.time() - Path(file.value["path"] if isinstance(file.value, dict) else file.value).stat().st_mtime < 60
