"""A chat-completions server that answers as a good model would, except where a test has it fail."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
from PIL import Image

from tests.local_server import LocalServer
from training.prompts import STEPS

TOKENS_IN, TOKENS_OUT = 100, 10
GOOD = {
    "influence": "The blur softens the outline of the animal.",
    "reasoning": "The large shape survives the blur: a muzzle and ears, so it is a dog.",
    "conclusion": "In spite of the blur it is a dog.",
}


def fill(folder: Path, count: int) -> Path:
    """A folder of samples that all ask for a dog; sample n asks "Picture n?"."""
    for name in ("clean", "degraded"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(count):
        for shade, name in enumerate(("clean", "degraded")):
            pixels = np.full((8, 8, 3), 6 * number + shade, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
        rows.append(
            {
                "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png",
                "recipe": "lens blur(0.41), graffiti(0.2)", "seed": 0, "kind": "other", "source": "here",
                "question": f"Picture {number}?", "options": ["cat", "dog", "hat"], "answer": "dog", "answer_index": 1,
            }
        )  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def rows_of(table: Path) -> list[dict]:
    return [json.loads(line) for line in table.read_text().splitlines()]


class ScriptedEndpoint(LocalServer):
    """The server; a context manager that runs it.

    Args:
        script: called with (number of the sample, step, how often that was asked before); returns None for a good
            answer, or what `say`, `fail` and the like make.

    Attributes:
        asked: (number, step, time) of each request, as it came in.
        bodies: the requests themselves, by (number, step).
        keys: what they were authorized with.
        paid: how often each (number, step) was answered with a completion.
        most_open: how many requests were open at once.
    """

    def __init__(self, script: Callable[[int, str, int], Callable | None] = lambda *_: None, delay: float = 0.0):
        super().__init__(_Handler)
        self.script, self.delay = script, delay
        self.lock = threading.Lock()
        self.asked, self.bodies, self.keys, self.paid = [], {}, set(), Counter()
        self.open = self.most_open = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, text = [part["text"] for part in body["messages"][0]["content"] if part["type"] == "text"]
        number = int(re.search(r"Picture (\d+)\?", text)[1])
        (step,) = [name for name, (prompt, _) in STEPS.items() if text.startswith(prompt[:20])]
        server = self.server
        with server.lock:
            before = sum(asked[:2] == (number, step) for asked in server.asked)
            server.asked.append((number, step, time.monotonic()))
            server.bodies[number, step] = body
            server.keys.add(self.headers["Authorization"])
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        time.sleep(server.delay)
        answer = server.script(number, step, before) or say(good(step, text))
        with server.lock:
            server.open -= 1
        with suppress(BrokenPipeError, ConnectionResetError):
            answer(self, (number, step))

    def log_message(self, *_):
        pass


def good(step: str, prompt: str) -> str:
    """What a model that does as it is told answers; the chain of a shortening is short enough already."""
    return GOOD.get(step) or re.search(r"<TYPE>.*<ANSWER_END>", prompt, re.DOTALL)[0]


def send(status: int, body: str, content_type: str = "application/json", **headers: str) -> Callable:
    def answer(handler: _Handler, _) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": content_type, **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def fail(status: int, code: str | None = None, message: str = "no", **headers: str) -> Callable:
    return send(status, json.dumps({"error": {"message": message, "code": code}}), **headers)


def say(text: str | None, finish_reason: str = "stop", refusal: str | None = None, choices: int = 1) -> Callable:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    completion = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}] * choices,
        "usage": {
            "prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT
        },
    }  # fmt: skip

    def answer(handler: _Handler, asked: tuple[int, str]) -> None:
        send(200, json.dumps(completion))(handler, asked)
        with handler.server.lock:
            handler.server.paid[asked] += 1

    return answer


def hang_up(handler: _Handler, _) -> None:
    handler.close_connection = True


def dawdle(handler: _Handler, _) -> None:
    """Hang up when nobody can be waiting any more."""
    time.sleep(60)
    handler.close_connection = True


def until(happened, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
