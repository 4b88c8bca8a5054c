"""A chat-completions server for the evaluation: it answers each prompt as a test has it."""

import base64
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from PIL import Image

from tests.local_server import LocalServer


class AnsweringEndpoint(LocalServer):
    """The server; a context manager that runs it.

    Args:
        answer: called with (prompt, its pictures, how often it was asked before); returns a text, the fields of the
            message or of the whole response that are other than usual, or (status, text) to fail with.

    Attributes:
        asked: how often each prompt came.
        bodies: the requests, in the order in which they came.
        keys: what they were authorized with.
        most_open: how many were open at once.
    """

    def __init__(self, answer: Callable[[str, list[Image.Image], int], str | dict | tuple], delay: float = 0.0):
        super().__init__(_Handler)
        self.answer, self.delay, self.lock = answer, delay, threading.Lock()
        self.asked, self.bodies, self.keys, self.open, self.most_open = Counter(), [], set(), 0, 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server, body = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][0]["content"]
        prompt = content[-1]["text"]
        coded = [part["image_url"]["url"].partition("base64,")[2] for part in content[:-1]]
        pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in coded]
        with server.lock:
            before = server.asked[prompt]
            server.asked[prompt] += 1
            server.bodies.append(body)
            server.keys.add(self.headers["Authorization"])
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        time.sleep(server.delay)
        answer = server.answer(prompt, pictures, before)
        with server.lock:
            server.open -= 1
        status, text = answer if isinstance(answer, tuple) else (200, answer)
        other, text = (text, "") if isinstance(text, dict) else ({}, text)
        message = {"role": "assistant", "content": text} | other.pop("message", {})
        completion = {
            "id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 9, "completion_tokens": len(text.split()), "total_tokens": 9},
        } | other  # fmt: skip
        reply = json.dumps(completion if status == 200 else {"error": {"message": text, "code": None}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass
