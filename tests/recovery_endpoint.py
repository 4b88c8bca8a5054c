"""A server as vllm-omni is one, for tests: images/edits and streamed chat, failing and dawdling as a test has it."""

import base64
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler

from PIL import Image

from degradations.files import encode
from tests.local_server import LocalServer


class RecoveryEndpoint(LocalServer):
    """The server; a context manager that runs it.

    Args:
        edit: (picture, form fields, how often it was asked before) -> a picture; or a function of the handler, which
            answers in its own way (`fail`, `send`, `hang_up`, `drip`).
        words: what the chat says, word by word; or such a function.

    Attributes:
        forms: the fields of each edit, as they came.
        chats: the bodies of each chat.
        keys: what they were authorized with.
    """

    def __init__(self, edit: Callable = lambda picture, form, before: picture, words=("A", " cat.")):
        super().__init__(_Handler)
        self.edit, self.words = edit, words
        self.forms, self.chats, self.keys = [], [], set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body, server = self.rfile.read(int(self.headers["Content-Length"])), self.server
        server.keys.add(self.headers["Authorization"])
        with suppress(BrokenPipeError, ConnectionResetError):
            if self.path.endswith("/images/edits"):
                self._edit(body)
            else:
                self._chat(json.loads(body))

    def _edit(self, body: bytes) -> None:
        message = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
        picture = Image.open(io.BytesIO(parts.pop("image").get_payload(decode=True))).convert("RGB")
        form = {name: part.get_payload() for name, part in parts.items()}
        before = len(self.server.forms)
        self.server.forms.append(form)
        answer = self.server.edit(picture, form, before)
        if callable(answer):
            answer(self)
        else:
            coded = base64.b64encode(encode(answer, "png")).decode()
            send(200, json.dumps({"created": 1, "data": [{"b64_json": coded}]}))(self)

    def _chat(self, body: dict) -> None:
        self.server.chats.append(body)
        words = self.server.words
        if callable(words):
            words(self)
            return
        chunks = [({"content": word}, None) for word in words] + [({}, "stop")]
        told = [
            "data: " + json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                                   "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}) + "\n\n"
            for delta, reason in chunks
        ]  # fmt: skip
        send(200, "".join([*told, "data: [DONE]\n\n"]), "text/event-stream")(self)

    def log_message(self, *_):
        pass


def send(status: int, body: str, kind: str = "application/json") -> Callable:
    def answer(handler: _Handler) -> None:
        content = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def fail(status: int, message: str = "no") -> Callable:
    return send(status, json.dumps({"error": {"message": message}}))


def hang_up(handler: _Handler) -> None:
    handler.close_connection = True


def dawdle(handler: _Handler) -> None:
    time.sleep(3)
    handler.close_connection = True


def break_off(handler: _Handler, kind: str = "application/json") -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.wfile.flush()
    handler.close_connection = True
