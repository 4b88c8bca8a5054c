"""The endpoint writer against a scripted server: what it asks and stores, and how it takes faults."""

import base64
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from degradations.jobs import StoppedError
from demo.chain import parse_chain
from tests.scripted_endpoint import (
    GOOD,
    TOKENS_IN,
    TOKENS_OUT,
    ScriptedEndpoint,
    dawdle,
    fail,
    fill,
    hang_up,
    rows_of,
    say,
    send,
    until,
)
from training.data import read_chained
from training.endpoint import Endpoint, EndpointError, EndpointWriter
from training.prompts import STEPS, text_problem
from training.write import main, write_chains
from training.written import Answers

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-very-secret"


def write(folder, server, **options):
    return write_chains(folder, EndpointWriter(Endpoint(server.url, "scripted", **options)))


def answers_of(folder):
    return rows_of(folder / "chains/answers.jsonl")


def command(folder, server, *more):
    return [
        sys.executable, "-m", "training.write", str(folder), "--writer", "endpoint",
        "--base-url", server.url, "--model", "scripted", "--price-in", "2", "--price-out", "30", *more,
    ]  # fmt: skip


def test_four_steps_see_what_they_are_to_see_and_a_chain_comes_out(tmp_path):
    folder = fill(tmp_path / "samples", 6)
    with ScriptedEndpoint(delay=0.05) as server:
        assert write(folder, server, concurrency=2, request={"temperature": 0.5, "max_completion_tokens": None}) == 6
    assert server.most_open == 2
    for number in range(6):
        assert [step for asked, step, _ in server.asked if asked == number] == list(STEPS)
    seen = {"influence": ["clean", "degraded"], "reasoning": ["degraded"], "conclusion": [], "shortening": []}
    for step, pictures in seen.items():
        body = server.bodies[3, step]
        assert (body["model"], body["temperature"]) == ("scripted", 0.5)
        assert "max_completion_tokens" not in body
        *images, text = body["messages"][0]["content"]
        assert [part["image_url"]["url"] for part in images] == [
            "data:image/png;base64," + base64.b64encode((folder / name / "3.png").read_bytes()).decode()
            for name in pictures
        ]
        assert "lens blur(0.41), graffiti(0.2)" in text["text"] and "Picture 3?\n0. cat\n1. dog" in text["text"]
    asked = {step: server.bodies[3, step]["messages"][0]["content"][-1]["text"] for step in STEPS}
    assert GOOD["influence"] in asked["reasoning"]
    assert GOOD["influence"] in asked["conclusion"] and GOOD["reasoning"] in asked["conclusion"]
    assert f"<CONCLUSION>{GOOD['conclusion']}<CONCLUSION_END>\n<ANSWER>1<ANSWER_END>" in asked["shortening"]
    assert "add up to 0.61" in asked["shortening"] and "at most 60 words" in asked["shortening"]
    rows = read_chained(folder)
    assert sorted(row["id"] for row in rows) == list(range(6))
    chain = parse_chain(rows[0]["chain"])
    assert chain.complete and str(chain.recipe) == rows[0]["recipe"] and chain.answer == "1"
    assert (chain.influence, chain.reasoning) == (GOOD["influence"], GOOD["reasoning"])
    assert {row["writer"] for row in rows_of(folder / "chains.jsonl")} == {"endpoint"}
    totals = Answers(folder / "chains/answers.jsonl").totals
    assert (totals.answers, totals.tokens_in, totals.tokens_out) == (24, 24 * TOKENS_IN, 24 * TOKENS_OUT)
    assert totals.cost(2, 30) == pytest.approx((2400 * 2 + 240 * 30) / 1e6)


def test_answers_in_words_and_on_a_coarser_grid(tmp_path):
    folder = fill(tmp_path / "samples", 1)
    with ScriptedEndpoint() as server:
        write_chains(folder, EndpointWriter(Endpoint(server.url, "scripted"), step=0.05, index=False))
    (row,) = read_chained(folder)
    assert row["chain"].startswith("<TYPE>lens blur(0.4), graffiti(0.2)<TYPE_END>")
    assert parse_chain(row["chain"]).answer == "dog"


def test_options_that_are_numbers_are_told_from_indices(tmp_path):
    folder = fill(tmp_path / "samples", 2)
    rows = rows_of(folder / "samples.jsonl")
    rows[0] |= {"options": ["2", "1", "3"], "answer": "1", "answer_index": 1}
    rows[1] |= {"options": ["2", "3", "1"], "answer": "1", "answer_index": 2}
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ScriptedEndpoint(lambda _, step, __: say("I count exactly 1.") if step == "conclusion" else None) as server:
        write(folder, server)
    assert {row["id"]: parse_chain(row["chain"]).answer for row in read_chained(folder)} == {0: "1", 1: "2"}


def test_a_sample_that_no_chain_can_be_right_for_costs_nothing(tmp_path):
    folder = fill(tmp_path / "samples", 3)
    rows = rows_of(folder / "samples.jsonl")
    rows[0]["answer"] = "horse"
    rows[1] |= {"options": [], "answer": "<ANSWER>", "answer_index": None}
    rows[2]["recipe"] = "fog(0.5)"
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ScriptedEndpoint() as server:
        assert write(folder, server) == 3
    assert not server.asked
    reasons = {row["id"]: row["reason"] for row in rows_of(folder / "rejected.jsonl")}
    for number, reason in enumerate(("none of the options", "must not contain a tag", "unknown degradation 'fog'")):
        assert reason in reasons[number]


def test_what_passes_is_waited_for(tmp_path):
    faults = {
        0: fail(429, Retry_After="1"), 1: fail(500), 2: fail(503), 3: hang_up, 4: dawdle,
        5: send(200, '{"choices": [', Content_Length="999"),
    }  # fmt: skip

    def script(number, step, before):
        return faults[number] if step == "reasoning" and before == 0 else None

    folder = fill(tmp_path / "samples", 6)
    with ScriptedEndpoint(script) as server:
        assert write(folder, server, timeout=1.0) == 6
    assert len(read_chained(folder)) == 6
    assert set(server.paid.values()) == {1} and len(server.paid) == 24
    first, second = (at for number, step, at in server.asked if (number, step) == (0, "reasoning"))
    assert second - first >= 1  # the library's own first pause is half a second at most
    first, second = (at for number, step, at in server.asked if (number, step) == (4, "reasoning"))
    assert 1 <= second - first < 50


CHAIN = """<TYPE>lens blur(0.41), graffiti(0.2)<TYPE_END>
<INFLUENCE>The blur softens it.<INFLUENCE_END>
<REASONING>A muzzle can be seen.<REASONING_END>
<CONCLUSION>So it is a dog.<CONCLUSION_END>
<ANSWER>1<ANSWER_END>"""

USELESS = [
    ("influence", say("", refusal="I will not."), "influence: refused: 'I will not.'"),
    ("influence", say("I'm sorry, but I can't help with that."), "influence: refused: \"I'm sorry"),
    ("influence", say("The blur", finish_reason="content_filter"), "influence: refused"),
    ("influence", fail(400, "content_policy_violation"), "influence: refused: content_policy_violation"),
    ("reasoning", say(None), "reasoning: says next to nothing: ''"),
    ("reasoning", say("A muzzle can be", finish_reason="length"), "reasoning: cut off at the limit of tokens"),
    ("reasoning", say("x", choices=0), "reasoning: the response holds no answer"),
    ("reasoning", send(200, '{"choices": [{"ind'), "reasoning: the response is broken JSON"),
    ("reasoning", send(200, "[]"), "reasoning: the response holds no answer"),
    ("reasoning", send(200, '{"error": {"code": 502}, "usage": {}}'), "reasoning: the response holds no answer"),
    ("reasoning", send(200, '{"choices": [{"index": 0}]}'), "reasoning: the response holds no answer"),
    ("conclusion", say("<CONCLUSION>So it is a dog."), "conclusion: contains a tag: '<CONCLUSION>'"),
    ("conclusion", say("<think>A dog?</think> It is a dog."), "conclusion: contains a tag: '<think>'"),
    ("shortening", say(CHAIN[:-20]), "shortening: not five closed blocks in order; lacking: ANSWER"),
    ("shortening", say(CHAIN.replace("(0.41)", "(0.4)")), "shortening: TYPE says lens blur(0.4), graffiti(0.2), the"),
    ("shortening", say(CHAIN.replace("ANSWER>1", "ANSWER>2")), "shortening: ANSWER says '2', the truth is 'dog'"),
    ("shortening", say(CHAIN.replace("a dog", "it")), "shortening: CONCLUSION does not name the answer 'dog'"),
    ("shortening", say(CHAIN.replace("softens it", "softens" + " it" * 90)), "shortening: 103 words where 60"),
    ("shortening", say(CHAIN.replace("The blur softens it.", "")), "shortening: INFLUENCE says next to nothing"),
    ("shortening", say(CHAIN.replace("A muzzle", "A <b>muzzle")), "shortening: REASONING contains a tag: '<b>'"),
]


def test_useless_answers_are_asked_for_anew_and_then_the_sample_is_rejected(tmp_path):
    def script(number, step, before):
        return USELESS[number][1] if step == USELESS[number][0] else None

    folder = fill(tmp_path / "samples", len(USELESS))
    with ScriptedEndpoint(script) as server:
        assert write(folder, server, attempts=2) == len(USELESS)
        asked = len(server.asked)
        assert write(folder, server, attempts=2) == 0
        assert len(server.asked) == asked
    reasons = {row["id"]: row["reason"] for row in rows_of(folder / "rejected.jsonl")}
    for number, (step, _, reason) in enumerate(USELESS):
        assert reasons[number].startswith(reason), (reasons[number], reason)
        assert [s for n, s, _ in server.asked if n == number].count(step) == 2
    assert (folder / "chains.jsonl").read_text() == ""
    rejected = {row["id"]: row["chain"] for row in rows_of(folder / "rejected.jsonl")}
    assert CHAIN[:-20] in rejected.values()
    totals = Answers(folder / "chains/answers.jsonl").totals
    assert totals.uncounted == 10  # the refused request and four bodies that are no completions, twice each
    assert totals.tokens_in == TOKENS_IN * (asked - 10)


def test_a_sample_without_its_clean_picture_is_rejected_before_anything_is_paid(tmp_path):
    folder = fill(tmp_path / "samples", 1)
    (row,) = rows_of(folder / "samples.jsonl")
    (folder / "samples.jsonl").write_text(json.dumps(row | {"clean": None}) + "\n")
    with ScriptedEndpoint() as server:
        write(folder, server)
    assert not server.asked
    assert "clean picture" in rows_of(folder / "rejected.jsonl")[0]["reason"]


def test_a_second_answer_may_do(tmp_path):
    def script(number, step, before):
        return say("no") if before == 0 else None

    folder = fill(tmp_path / "samples", 2)
    with ScriptedEndpoint(script) as server:
        write(folder, server)
    assert len(read_chained(folder)) == 2
    assert [row["problem"] is None for row in answers_of(folder) if row["id"] == 0] == [False, True] * 4
    assert Answers(folder / "chains/answers.jsonl").totals.answers == 16


def test_a_chain_is_taken_in_the_spelling_of_published_models(tmp_path):
    said = CHAIN.replace("lens blur(0.41)", "Lens_Blur (0.41)").replace("ANSWER>1", "ANSWER>dog.")
    folder = fill(tmp_path / "samples", 1)
    with ScriptedEndpoint(lambda _, step, __: say(f"Here:\n{said}") if step == "shortening" else None) as server:
        write(folder, server)
    assert read_chained(folder)[0]["chain"] == CHAIN


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fail(401, message=f"bad key {KEY}"), "API key is missing or wrong.*bad key [*]{3}"),
        (fail(404), "usually ends in /v1"),
        (fail(422), "--request"),
        (send(200, "<html>welcome</html>", "text/html"), "a page instead of JSON"),
    ],
)
def test_a_refusing_endpoint_ends_the_run(tmp_path, monkeypatch, capfd, answer, said):
    folder = fill(tmp_path / "samples", 12)
    monkeypatch.setenv("SOME_KEY", KEY)
    with ScriptedEndpoint(lambda *_: answer) as server:
        with pytest.raises(EndpointError, match=said):
            write(folder, server, concurrency=3, key=KEY)
        assert main([*command(folder, server)[3:], "--api-key-env", "SOME_KEY"]) == 2
    assert len(server.asked) <= 3 + Endpoint.concurrency
    assert (folder / "rejected.jsonl").read_text() == (folder / "chains.jsonl").read_text() == ""
    written = "".join(path.read_text() for path in folder.rglob("*.json*")) + "".join(capfd.readouterr())
    assert KEY not in written and KEY not in repr(Endpoint(server.url, "scripted", key=KEY))


def test_the_key_of_the_named_variable_is_sent_and_a_missing_one_is_an_error(tmp_path, monkeypatch, capfd):
    folder = fill(tmp_path / "samples", 1)
    with ScriptedEndpoint() as server:
        arguments = [*command(folder, server)[3:], "--api-key-env", "SOME_KEY"]
        monkeypatch.delenv("SOME_KEY", raising=False)
        assert main(arguments) == 2
        assert "SOME_KEY is empty" in capfd.readouterr().err
        monkeypatch.setenv("SOME_KEY", KEY)
        assert main(arguments) == 0
    assert server.keys == {f"Bearer {KEY}"}
    assert "4 answers, 400 tokens read, 40 written, 0.0020 at the prices" in capfd.readouterr().err


def test_an_endpoint_that_is_gone_ends_the_run_and_rejects_nothing(tmp_path):
    folder = fill(tmp_path / "samples", 12)
    down = True
    with ScriptedEndpoint(lambda *_: fail(500) if down else None) as server:
        with pytest.raises(StoppedError, match=r"for [4-7] samples in succession .*500"):
            write(folder, server, concurrency=4, retries=0)
        assert 4 <= len(server.asked) < 8
        assert (folder / "rejected.jsonl").read_text() == (folder / "chains.jsonl").read_text() == ""
        down = False
        write(folder, server, retries=0)
    assert len(read_chained(folder)) == 12
    assert set(server.paid.values()) == {1}


def test_a_sample_without_an_answer_is_left_for_the_next_run(tmp_path):
    folder = fill(tmp_path / "samples", 8)
    broken = {(number, "conclusion") for number in (0, 2, 4, 6)}  # three in succession would end the run
    with ScriptedEndpoint(lambda number, step, _: fail(502) if (number, step) in broken else None) as server:
        with pytest.raises(StoppedError, match="4 samples got no answer"):
            write(folder, server, retries=0, concurrency=1)
        assert [row["id"] for row in rows_of(folder / "chains.jsonl")] == [1, 3, 5, 7]
        broken.clear()
        assert write(folder, server, retries=0) == 4
    assert set(server.paid.values()) == {1} and len(server.paid) == 32


def test_a_kill_between_two_steps_pays_nothing_twice(tmp_path):
    folder = fill(tmp_path / "samples", 3)
    killed = threading.Event()

    def script(number, step, before):
        if not killed.is_set() and list(STEPS).index(step) >= number + 1:  # the samples stop after 1, 2 and 3 steps
            killed.wait(60)
            return hang_up
        return None

    with ScriptedEndpoint(script) as server:
        process = subprocess.Popen(command(folder, server), cwd=ROOT, stderr=subprocess.PIPE)
        answers = folder / "chains/answers.jsonl"
        until(lambda: answers.exists() and answers.read_text().count("\n") == 6)
        process.kill()
        process.communicate()
        killed.set()
        assert sum(server.paid.values()) == 6
        with answers.open("a") as rows:
            rows.write('{"id": 2, "step": "short')  # as a kill leaves it
        done = subprocess.run(command(folder, server), cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert set(server.paid.values()) == {1} and len(server.paid) == 12
    assert len(read_chained(folder)) == 3
    cost = (12 * TOKENS_IN * 2 + 12 * TOKENS_OUT * 30) / 1e6
    assert f"12 answers, {12 * TOKENS_IN} tokens read, {12 * TOKENS_OUT} written, {cost:.4f}" in done.stderr


def test_ctrl_c_waits_for_what_is_paid_and_the_next_run_goes_on(tmp_path):
    folder = fill(tmp_path / "samples", 40)
    with ScriptedEndpoint(delay=0.3) as server:
        process = subprocess.Popen(command(folder, server), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        until(lambda: sum(server.paid.values()) >= 8)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Stopped. The same command goes on from here." in said and "Traceback" not in said
        assert sum(server.paid.values()) == len(answers_of(folder)) < 160
        server.delay = 0
        write(folder, server)
    assert set(server.paid.values()) == {1} and len(server.paid) == 160
    assert len(read_chained(folder)) == 40


def test_a_run_with_another_model_is_refused_and_one_at_another_address_goes_on(tmp_path):
    folder = fill(tmp_path / "samples", 2)
    with ScriptedEndpoint() as server, ScriptedEndpoint() as other:
        write_chains(folder, EndpointWriter(Endpoint(server.url, "scripted")), limit=1)
        with pytest.raises(ValueError, match='model was "scripted" and is now "another"'):
            write_chains(folder, EndpointWriter(Endpoint(server.url, "another")))
        assert write(folder, other) == 1
    assert len(server.paid) == len(other.paid) == 4


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I’m sorry, I can't.", True),
        ("Sorry, but no.", True),
        ("As an AI model I have no eyes.", True),
        ("I cannot assist with this picture.", True),
        ("I am unable to see the image, so I guess.", True),
        ("I cannot see the image as sharply as it was.", False),
        ("I cannot tell the ears apart, but the muzzle is a dog's.", False),
        ("The sorry state of the picture hides much.", False),
    ],
)
def test_a_refusal_is_told_from_what_only_sounds_like_one(text, refuses):
    assert (text_problem(text, "stop") or "").startswith("refused") == refuses


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"attempts": 0}, {"retries": -1}, {"timeout": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least"):
        Endpoint("http://127.0.0.1:1/v1", "scripted", **wrong)
