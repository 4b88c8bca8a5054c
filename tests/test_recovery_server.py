"""The client of a server that recovers and answers, against one that speaks the same protocol."""

import base64
import io
import json
import threading
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from demo import settings
from demo.recovery import server as client
from demo.recovery.server import EDIT_PROMPT, Server, ServerError, ServerRecovery
from tests.pictures import picture
from tests.recovering import brighter
from tests.recovery_endpoint import RecoveryEndpoint, break_off, dawdle, fail, hang_up, send

PHOTO = Image.fromarray(picture(40, 60))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No long waits between retries."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)


def reach(endpoint: RecoveryEndpoint, **options) -> Server:
    return Server(endpoint.url, "bagel", **{"timeout": 5.0, "retries": 2} | options)


def test_a_picture_is_sent_whole_and_comes_back_recovered():
    with RecoveryEndpoint(lambda image, form, before: brighter(image)) as endpoint:
        server = reach(endpoint, key="secret", edit={"num_inference_steps": 25})
        restored = ServerRecovery(server).recover(PHOTO)
    assert np.array_equal(restored, brighter(PHOTO)), "PNG both ways"
    (form,) = endpoint.forms
    assert form["model"] == "bagel" and form["prompt"] == EDIT_PROMPT and form["size"] == "60x40"
    assert form["num_inference_steps"] == "25" and endpoint.keys == {"Bearer secret"}


def test_another_size_of_the_same_shape_is_scaled_and_another_shape_refused():
    with RecoveryEndpoint(lambda image, form, before: image.resize((120, 80))) as endpoint:
        assert ServerRecovery(reach(endpoint)).recover(PHOTO).size == PHOTO.size
    with (
        RecoveryEndpoint(lambda image, form, before: image.resize((80, 80))) as endpoint,
        pytest.raises(ServerError, match="80 × 80"),
    ):
        ServerRecovery(reach(endpoint)).recover(PHOTO)


def test_a_large_picture_is_sent_smaller(monkeypatch):
    monkeypatch.setattr(settings, "MAX_SENT_SIDE", 30)
    sizes = []
    with RecoveryEndpoint(lambda image, form, before: sizes.append(image.size) or image) as endpoint:
        restored = ServerRecovery(reach(endpoint)).recover(PHOTO)
    assert sizes == [(30, 20)] and restored.size == PHOTO.size


@pytest.mark.parametrize("trouble", [fail(503), fail(429), hang_up])
def test_what_may_pass_is_tried_again(trouble):
    with RecoveryEndpoint(lambda image, form, before: trouble if before < 2 else image) as endpoint:
        assert np.array_equal(ServerRecovery(reach(endpoint)).recover(PHOTO), PHOTO)
    assert len(endpoint.forms) == 3


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (fail(401), "DEMO_RECOVERY_KEY"),
        (fail(404), "ends in /v1"),
        (fail(400, "bad size"), "bad size"),
        (fail(413), "too large"),
        (fail(500), "fails"),
        (hang_up, "cannot be reached"),
        (dawdle, "no answer within 1 s"),
        (break_off, "broke off"),
        (send(200, "<html>hello</html>", "text/html"), "no picture"),
        (send(200, '{"data": []}'), "no picture"),
        (send(200, '{"data": [{"b64_json": "!!"}]}'), "no picture"),
        (send(200, json.dumps({"data": [{"b64_json": base64.b64encode(b"no picture").decode()}]})), "no picture"),
    ],
)
def test_every_failure_says_what_it_is(trouble, said):
    with RecoveryEndpoint(lambda *_: trouble) as endpoint:
        server = reach(endpoint, retries=0, timeout=1.0, key="secret-key")
        with pytest.raises(ServerError) as caught:
            ServerRecovery(server).recover(PHOTO)
    assert said in str(caught.value) and "secret-key" not in str(caught.value)


def test_a_server_that_is_not_there_says_so():
    with pytest.raises(ServerError, match="cannot be reached"):
        ServerRecovery(Server("http://127.0.0.1:9/v1", "m", retries=0)).recover(PHOTO)


def test_what_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(settings, "MAX_RECOVERED_BYTES", 1000)
    with RecoveryEndpoint() as endpoint, pytest.raises(ServerError, match="more than 0 MB"):
        ServerRecovery(reach(endpoint)).recover(PHOTO)
    monkeypatch.undo()
    monkeypatch.setattr(settings, "MAX_PHOTO_PIXELS", 100)
    with RecoveryEndpoint() as endpoint, pytest.raises(ServerError, match="no picture"):
        ServerRecovery(reach(endpoint)).recover(PHOTO)


# --- answers ---


def answered(server: Server, images=None, **options):
    asked = {"temperature": 0.0, "max_new_tokens": 50, "seed": 3} | options
    return list(client.answers(server, "recovered", images or [[PHOTO, brighter(PHOTO)]], "What?", **asked))


def test_an_answer_streams_from_both_pictures():
    with RecoveryEndpoint() as endpoint:
        events = answered(reach(endpoint, chat={"modalities": ["text"]}, prompt="<user>{prompt}</user>"))
    assert "".join(event.text for event in events) == "A cat." and events[-1].stats.stop_reason == "eos"
    assert [event.done for event in events].count(True) == 1 and events[-1].error is None
    (body,) = endpoint.chats
    content = body["messages"][0]["content"]
    assert content[-1] == {"type": "text", "text": "<user>What?</user>"} and body["modalities"] == ["text"]
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 50, 3)
    sent = [Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",")[1]))) for part in content[:-1]]
    assert np.array_equal(sent[0], PHOTO) and np.array_equal(sent[1], brighter(PHOTO))


def test_several_sets_of_pictures_are_told_apart():
    with RecoveryEndpoint() as endpoint:
        events = answered(reach(endpoint), [[PHOTO, PHOTO]] * 2)
    assert [event.picture for event in events if event.done] == [0, 1] and len(endpoint.chats) == 2


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (fail(401), "DEMO_RECOVERY_KEY"),
        (dawdle, "no answer within 1 s"),
        (send(200, 'data: {"choices": []}\n\n', "text/event-stream"), "broke off"),
        (partial(break_off, kind="text/event-stream"), "broke off"),
        (send(200, "<html>hello</html>", "text/html"), "a page instead of data"),
    ],
)
def test_a_failure_is_no_answer(trouble, said):
    with RecoveryEndpoint(words=trouble) as endpoint:
        *_, last = answered(reach(endpoint, retries=0, timeout=1.0))
    assert last.done and last.stats.stop_reason == "error" and said in last.error


def test_stop_ends_an_answer_at_once(monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    stop, begin = threading.Event(), time.monotonic()
    with RecoveryEndpoint(words=dawdle) as endpoint:
        events = client.answers(reach(endpoint), "recovered", [[PHOTO]] * 2, "What?", 0.0, 5, 0, stop)
        next(events)
        stop.set()
        ends = [event for event in events if event.done]
    assert [event.stats.stop_reason for event in ends] == ["stopped", "stopped"]
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    "request_",
    [
        "no json",
        "[]",
        '{"prompt": "no place"}',
        '{"colour": 1}',
        '{"timeout": "long"}',
        '{"edit": 1}',
        '{"timeout": 0}',
        '{"retries": -1}',
    ],
)
def test_requests_that_cannot_be_read_are_refused(request_):
    with pytest.raises(ValueError, match="cannot be used"):
        Server.parse("m@http://here/v1", None, request_)


def test_a_server_that_may_be_silent_for_long_is_waited_for():
    assert ServerRecovery(Server("http://here/v1", "m", timeout=600)).limit_s == 600
    assert ServerRecovery(Server("http://here/v1", "m", timeout=9)).limit_s == settings.RECOVERY_LIMIT_S


def test_a_servers_address_and_request_are_read():
    server = Server.parse("a/b@https://here:8/v1/", None, '{"edit": {"seed": 1}, "timeout": 9, "prompt": "{prompt}?"}')
    assert (server.url, server.model, server.timeout) == ("https://here:8/v1", "a/b", 9)
    assert server.edit == {"seed": 1} and server.prompt == "{prompt}?"
