"""Models behind OpenAI-compatible endpoints: many requests at once, repeated where it helps, every answer kept.

For vLLM, ``transformers serve`` and commercial ones; sides that answer and judges that grade go through it.
"""

import asyncio
import base64
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import openai

from degradations.jobs import StoppedError
from training.endpoint import HINTS, TURNED_AWAY, Endpoint, EndpointError
from training.evaluation.rows import Picture

FILTERED = ("content_filter", "content_policy_violation")


@dataclass(frozen=True)
class Question:
    """One request: what is asked under which key, about which pictures."""

    key: str
    prompt: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: what the model said, be it why it refuses to answer; "" where a filter let nothing through.
        tokens: as the endpoint counted them, None where it does not.
    """

    text: str
    tokens: int | None
    seconds: float


def ask_all(endpoint: Endpoint, questions: Iterable[Question], record: Callable[[Question, Answer], None]) -> None:
    """Ask everything, `endpoint.concurrency` questions at once; `record` gets each answer as it comes.

    Raises:
        EndpointError: the endpoint refuses what it is asked, and would again.
        degradations.jobs.StoppedError: some or all requests came to nothing; asked again, they may not.
    """
    asyncio.run(_Run(endpoint, record).work(list(questions)))


class _NothingError(Exception):
    """A response without an answer in it; another one may have one."""


class _Run:
    def __init__(self, endpoint: Endpoint, record: Callable[[Question, Answer], None]):
        self.endpoint, self.record = endpoint, record
        self.stopped: Exception | None = None
        self.unanswered = self.in_succession = 0

    async def work(self, questions: list[Question]) -> None:
        endpoint, waiting = self.endpoint, iter(questions)
        self.client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.key or "none",
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
        )
        async with self.client:
            await asyncio.gather(*(self._work_off(waiting) for _ in range(endpoint.concurrency)))
        if self.stopped:
            raise self.stopped
        if self.unanswered:
            raise StoppedError(f"{self.unanswered} questions got no answer; the same command asks them again")

    async def _work_off(self, waiting: Iterator[Question]) -> None:
        for question in waiting:
            try:
                self.record(question, await self._ask(question))
                self.in_succession = 0
            except openai.APIError as error:
                self._fail(error)
            except _NothingError:
                self._unanswered("its responses hold no answer")
            except EndpointError as error:
                self.stopped = error
            if self.stopped:
                return

    async def _ask(self, question: Question) -> Answer:
        content = await asyncio.to_thread(_content, question)  # degrading and encoding take their time
        begin = time.perf_counter()
        try:
            completion = await self.client.chat.completions.create(
                model=self.endpoint.model,
                messages=[{"role": "user", "content": content}],
                extra_body={name: value for name, value in self.endpoint.request.items() if value is not None},
            )
        except openai.BadRequestError as error:
            if error.code in FILTERED:
                return Answer("", 0, time.perf_counter() - begin)
            raise
        except json.JSONDecodeError as error:
            raise _NothingError from error
        seconds = time.perf_counter() - begin
        if isinstance(completion, str):  # how the library hands over what is no JSON
            raise EndpointError(f"{self.endpoint.base_url} answers with a page instead of JSON; it usually ends in /v1")
        # The library fills in None for whatever a response lacks, and hands over as it is what is no object.
        choices, usage = getattr(completion, "choices", None), getattr(completion, "usage", None)
        tokens = getattr(usage, "completion_tokens", None)
        if not choices or not choices[0].message:
            raise _NothingError
        message = choices[0].message
        return Answer((message.content or message.refusal or "").strip(), tokens, seconds)

    def _fail(self, error: openai.APIError) -> None:
        """A request came to nothing: the next may fare better, unless the endpoint refuses or is gone."""
        endpoint = self.endpoint
        said = str(error).replace(endpoint.key, "***") if endpoint.key else str(error)
        status = getattr(error, "status_code", None)
        if status is None or status in (408, 409, 429) or status >= 500:
            self._unanswered(said)
        else:
            hint = HINTS.get(status, "the request is not as it should be")
            self.stopped = EndpointError(f"{endpoint.base_url} refuses: {hint} ({said})")

    def _unanswered(self, said: str) -> None:
        self.unanswered += 1
        self.in_succession += 1
        if self.in_succession >= max(TURNED_AWAY, self.endpoint.concurrency) and not self.stopped:
            self.stopped = StoppedError(
                f"no answer from {self.endpoint.base_url} to {self.in_succession} questions in succession ({said}); "
                "the same command goes on"
            )


def _content(question: Question) -> list[dict]:
    pictures = [{"type": "image_url", "image_url": {"url": _data_uri(picture)}} for picture in question.pictures]
    return [*pictures, {"type": "text", "text": question.prompt}]


def _data_uri(picture: Picture) -> str:
    """As PNG: what a side sees must not be compressed once more."""
    file = io.BytesIO()
    picture.read().save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
