"""Recovery and answers by a model behind an OpenAI-compatible server, as vllm-omni serves BAGEL: images/edits and chat.

BAGEL, and Robust-U1 that was made of it, are in neither transformers nor diffusers: they live in a process of their
own, on a machine of their own, and are reached here by an address alone. Everything that comes back is a stranger's:
its size is bounded before it is read, and a picture is decoded within the page's limits.
"""

import base64
import binascii
import hashlib
import io
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import openai
from PIL import Image

from degradations import files
from demo import settings
from demo.replies import Event, Stats
from demo.texts import Text

EDIT_PROMPT = (
    "Restore this degraded photo: undo blur, noise, darkness, compression, stripes, scribbles and whatever else was "
    "done to it, and show the same scene as it was before. Change nothing else."
)
"""What a server is told to do with a picture; our own wording."""

HINTS = {
    400: "recovery.server-bad-request",
    401: "recovery.server-key",
    403: "recovery.server-key",
    404: "recovery.server-not-found",
    413: "recovery.server-too-large",
    422: "recovery.server-bad-request",
    429: "recovery.server-busy",
}
"""Status -> what to do about it."""

RATIO = 0.02
"""By how much the aspect of a picture that comes back may differ, as a share: servers round sides to their patches."""


class ServerError(ValueError):
    """A server that gives no result; the text says what it did and what helps, and is fit for the page."""


@dataclass(frozen=True)
class Server:
    """Where and how to ask.

    Attributes:
        url: usually up to and with ``/v1``.
        model: what the server calls its model.
        key: None where none is asked for; never shown.
        timeout: seconds of silence after which a request is given up.
        retries: of a request that was turned down for now, or came to nothing.
        edit, chat: further fields of the requests.
        prompt: template of a question, with ``{prompt}`` in it: some servers take BAGEL's own tags only.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = settings.SERVER_TIMEOUT_S
    retries: int = settings.SERVER_RETRIES
    edit: Mapping = field(default_factory=dict)
    chat: Mapping = field(default_factory=dict)
    prompt: str = "{prompt}"

    @classmethod
    def parse(cls, text: str, key: str | None = None, request: str | None = None) -> "Server":
        """Read ``MODEL@URL``.

        Args:
            request: JSON with any of ``edit``, ``chat``, ``prompt``, ``timeout`` and ``retries``.

        Raises:
            ValueError: it is something else.
        """
        model, _, url = text.partition("@")
        if not model or not url.startswith(("http://", "https://")):
            raise ValueError(f"a server is MODEL@http://HOST:PORT/v1, not {text!r}")
        try:
            more = json.loads(request) if request else {}
            known = {"edit": dict, "chat": dict, "prompt": str, "timeout": int | float, "retries": int}
            if not isinstance(more, dict) or not all(
                name in known and isinstance(value, known[name]) for name, value in more.items()
            ):
                raise ValueError(f"it may hold {', '.join(known)}, each of its kind")
            if not more.get("timeout", 1) > 0 or more.get("retries", 0) < 0:
                raise ValueError("its timeout is above 0 seconds, and its retries are none or more")
            if "{prompt}" not in more.get("prompt", "{prompt}"):
                raise ValueError("its prompt needs the placeholder {prompt}")
        except ValueError as error:
            raise ValueError(f"the request's JSON {request!r} cannot be used: {error}") from error
        return cls(url.rstrip("/"), model, key, **more)

    def client(self) -> openai.OpenAI:
        options = {"timeout": self.timeout, "max_retries": self.retries}
        return openai.OpenAI(base_url=self.url, api_key=self.key or "none", **options)

    def refused(self, error: Exception) -> ServerError:
        """What a request came to, in words for the page."""
        said = str(error).replace(self.key, "***") if self.key else str(error)
        said = " ".join(said.split())[:300]
        status = getattr(error, "status_code", None)
        if isinstance(error, openai.APITimeoutError):
            return ServerError(Text("recovery.server-silent", url=self.url, seconds=f"{self.timeout:g}"))
        if isinstance(error, openai.APIConnectionError):
            return ServerError(Text("recovery.server-gone", url=self.url))
        hint = Text(HINTS.get(status, "recovery.server-failed"))
        return ServerError(Text("recovery.server-refused", url=self.url, status=status or "–", hint=hint, said=said))


class ServerRecovery:
    """Recovers pictures by ``images/edits``; as `demo.recovery.attempt.Recovery`."""

    def __init__(self, server: Server):
        self.server, self.name = server, server.model
        told = json.dumps([server.model, EDIT_PROMPT, dict(server.edit)])
        self.digest = hashlib.sha256(told.encode()).hexdigest()  # runs that are kept tell it to everybody
        # Whoever lets a server be silent for longer wants to wait for it.
        self.limit_s = max(settings.RECOVERY_LIMIT_S, server.timeout)

    def recover(self, image: Image.Image, progress: Callable[[float], None] = lambda done: None) -> Image.Image:
        """The picture as the server restores it, at the size that it was given.

        Raises:
            ServerError: there is none.
        """
        sent = image.copy()
        sent.thumbnail((settings.MAX_SENT_SIDE, settings.MAX_SENT_SIDE), Image.Resampling.LANCZOS)
        server = self.server
        try:
            with (
                server.client() as client,
                client.images.with_streaming_response.edit(
                    model=server.model,
                    image=("picture.png", files.encode(sent, "png"), "image/png"),
                    prompt=EDIT_PROMPT,
                    n=1,
                    size=f"{sent.width}x{sent.height}",
                    response_format="b64_json",
                    output_format="png",
                    extra_body=dict(server.edit) or None,
                ) as response,
            ):
                content = self._read(response.iter_bytes(), progress)
        except openai.APIError as error:
            raise server.refused(error) from error
        restored = self._decoded(content)
        if abs(restored.width * image.height / (restored.height * image.width) - 1) > RATIO:
            found, wanted = f"{restored.width} × {restored.height}", f"{image.width} × {image.height}"
            raise ServerError(Text("recovery.other-size", found=found, wanted=wanted))
        return restored if restored.size == image.size else restored.resize(image.size, Image.Resampling.LANCZOS)

    def _read(self, parts: Iterator[bytes], progress: Callable[[float], None]) -> bytes:
        content, begin, server = bytearray(), time.monotonic(), self.server
        while True:
            try:
                part = next(parts, None)
            except Exception as error:  # while a body is read, these are those of the library beneath
                raise ServerError(Text("recovery.server-cut-off", url=server.url)) from error
            if part is None:
                return bytes(content)
            content += part
            if len(content) > settings.MAX_RECOVERED_BYTES:
                most = settings.MAX_RECOVERED_BYTES // 1_000_000
                raise ServerError(Text("recovery.server-too-much", url=server.url, most=most))
            if time.monotonic() - begin > self.limit_s:  # a server may drip for ever
                raise ServerError(Text("recovery.server-silent", url=server.url, seconds=f"{self.limit_s:g}"))
            progress(0.0)

    def _decoded(self, content: bytes) -> Image.Image:
        try:
            told = json.loads(content)["data"][0]["b64_json"]
            return files.read_photo(io.BytesIO(base64.b64decode(told, validate=True)), settings.MAX_PHOTO_PIXELS)
        except (ValueError, KeyError, TypeError, IndexError, binascii.Error) as error:
            raise ServerError(
                Text("recovery.server-no-picture", url=self.server.url, reason=str(error)[:120])
            ) from error


def answers(
    server: Server,
    side: str,
    images: Sequence[Sequence[Image.Image]],
    prompt: str,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """What a server says about each of some sets of pictures, one after the other, as it comes.

    Args:
        side: what the events call it.
        stop: once set, the answer ends with its next words.

    Yields:
        Events; the last about each set has `done` and `stats`. A request that fails ends with an `error`.
    """
    for number, own in enumerate(images):
        if stop is not None and stop.is_set():
            yield Event(side, done=True, stats=Stats(0, None, None, "stopped"), picture=number)
            continue
        yield from _told(side, number, _answer(server, own, prompt, temperature, max_new_tokens, seed), stop)


def _told(side: str, number: int, words: Iterator[tuple[str, str | None]], stop: threading.Event | None):
    """Words as they come from a thread of their own, with a heartbeat while none come."""
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    closed = threading.Event()

    def listen() -> None:
        try:
            with closing(words):
                for said in words:
                    if closed.is_set():
                        return
                    inbox.put(said)
            inbox.put(None)
        except Exception as error:
            inbox.put(error)

    begin, first, tokens, ending, error = time.monotonic(), None, 0, "eos", None
    threading.Thread(target=listen, daemon=True).start()
    try:
        while True:
            try:
                said = inbox.get(timeout=settings.HEARTBEAT_S)
            except queue.Empty:
                said = ("", None)
            if stop is not None and stop.is_set():
                ending = "stopped"
                break
            if said is None:
                break
            if isinstance(said, Exception):
                ending, error = "error", str(said)
                break
            text, reason = said
            if text:
                tokens += 1
                first = first or time.monotonic()
            ending = "length" if reason == "length" else ending
            yield Event(side, text, tokens=tokens, picture=number)
    finally:
        closed.set()
    speed = (tokens - 1) / (time.monotonic() - first) if tokens > 1 else None
    stats = Stats(tokens, None if first is None else first - begin, speed, ending)
    yield Event(side, "", True, stats, error, tokens, number)


def _answer(server: Server, images: Sequence[Image.Image], prompt: str, temperature: float, most: int, seed: int):
    """One answer: (new text, reason why it ended, or None) each."""
    pictures = [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in images]
    text = server.prompt.replace("{prompt}", prompt)
    began = False
    request = {"model": server.model, "temperature": temperature, "max_tokens": most, "seed": seed, "stream": True}
    try:
        with (
            server.client() as client,
            client.chat.completions.create(
                messages=[{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}],
                extra_body=dict(server.chat) or None,
                **request,
            ) as stream,
        ):
            began, ended = True, False
            if "event-stream" not in stream.response.headers.get("content-type", ""):
                raise ServerError(Text("recovery.server-page", url=server.url))
            for chunk in stream:
                for choice in chunk.choices or []:
                    ended = ended or choice.finish_reason is not None
                    yield (choice.delta.content or "") if choice.delta else "", choice.finish_reason
            if not ended:
                raise ServerError(Text("recovery.server-cut-off", url=server.url))
    except ServerError:
        raise
    except openai.APIConnectionError as error:
        silent = isinstance(error, openai.APITimeoutError)
        if began and not silent:
            raise ServerError(Text("recovery.server-cut-off", url=server.url)) from error
        raise server.refused(error) from error
    except openai.APIError as error:
        raise server.refused(error) from error
    except json.JSONDecodeError as error:
        raise ServerError(Text("recovery.server-page", url=server.url)) from error
    except Exception as error:  # while a body is read, these are those of the library beneath
        raise ServerError(Text("recovery.server-cut-off", url=server.url)) from error


def data_uri(image: Image.Image) -> str:
    """A picture within `settings.MAX_SENT_SIDE`, as PNG: what a model sees must not be compressed once more."""
    sent = image.copy()
    sent.thumbnail((settings.MAX_SENT_SIDE, settings.MAX_SENT_SIDE), Image.Resampling.LANCZOS)
    return f"data:image/png;base64,{base64.b64encode(files.encode(sent, 'png')).decode()}"
