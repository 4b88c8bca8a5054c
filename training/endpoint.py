"""The writer that asks a vision-language model behind an OpenAI-compatible endpoint, in the four published steps.

Every answer is stored when it comes, the useless ones too, so a run that was stopped anywhere asks only for what is
missing. The chain that comes out is held against the truth.
"""

import asyncio
import base64
import hashlib
import json
import mimetypes
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import openai

from degradations import Recipe
from degradations.jobs import StoppedError
from demo.chain import format_chain, parse_chain, question_with_options
from training.chains import on_grid, write_answer
from training.prompts import STEPS, chain_problem, prose_problem, text_problem, words_allowed
from training.rewards import accuracy
from training.written import Answers

MAX_TOKENS = 1024
"""Of one answer, unless the request says otherwise."""

TURNED_AWAY = 3
"""At least so many samples in succession without any answer end a run."""


class EndpointError(ValueError):
    """The endpoint refuses what it is asked, and would again; the text says what to change."""


class RejectedError(ValueError):
    """A sample for which no chain can be had; the text says why.

    Attributes:
        chain: what the model wrote last.
    """

    def __init__(self, reason: str, chain: str = ""):
        super().__init__(reason)
        self.chain = chain


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask.

    Attributes:
        base_url: usually up to and with ``/v1``.
        model: what the endpoint calls the model.
        key: None for an endpoint that asks for none; never shown or stored.
        concurrency: samples that are worked on at once, each with one request open.
        attempts: answers to one step of one sample, until one is of use.
        retries: how often a request is repeated, later and later, where it is turned down for now (429), the server
            fails (5xx), or no answer comes.
        timeout: seconds to wait for an answer.
        request: further fields of every request; None takes one of ours away.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    concurrency: int = 8
    attempts: int = 3
    retries: int = 6
    timeout: float = 120.0
    request: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, least in (("concurrency", 1), ("attempts", 1), ("retries", 0), ("timeout", 0.001)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")


class EndpointWriter:
    """Chains by a model; see the module.

    Args:
        endpoint: where to ask.
        step: intensities are written as multiples of this.
        index: answer by the option's index, else by its words.
    """

    name = "endpoint"

    def __init__(self, endpoint: Endpoint, step: float = 0.01, index: bool = True):
        self.endpoint, self.step, self.index = endpoint, step, index

    @property
    def settings(self) -> dict:
        """What the chains follow from. The address is not among it: another one of the same model may go on."""
        return {
            "model": self.endpoint.model,
            "request": self.endpoint.request,
            "intensity_step": self.step,
            "answer": "index" if self.index else "words",
            "prompts": hashlib.sha256(repr(STEPS).encode()).hexdigest()[:16],
        }

    def write(self, samples: list[dict], record: Callable[..., None], folder: Path) -> None:
        """Write the chains of samples.

        Args:
            samples: rows of ``training.synthesize``.
            record: takes the sample and its chain, or the sample, what there is of a chain, and why it is rejected.
            folder: keeps the answers from run to run.

        Raises:
            EndpointError: the endpoint refuses.
            StoppedError: some or all requests came to nothing.
            KeyboardInterrupt: once the open requests were answered.
        """
        answers = Answers(folder / "answers.jsonl", {sample["id"] for sample in samples})
        with answers.opened():
            asyncio.run(_Run(self, answers, record).work(samples))


class _Run:
    """What the concurrent parts of one run share."""

    def __init__(self, writer: EndpointWriter, answers: Answers, record: Callable[..., None]):
        self.endpoint, self.step, self.index = writer.endpoint, writer.step, writer.index
        self.answers, self.record = answers, record
        self.stopped: BaseException | None = None
        self.unanswered = self.in_succession = 0

    async def work(self, samples: list[dict]) -> None:
        endpoint, loop = self.endpoint, asyncio.get_running_loop()
        self.client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.key or "none",
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
        )
        waiting = iter(samples)  # each sample goes to whoever asks next
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            async with self.client:
                await asyncio.gather(*(self._work_off(waiting) for _ in range(endpoint.concurrency)))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        if self.stopped:
            raise self.stopped
        if self.unanswered:
            raise StoppedError(f"{self.unanswered} samples got no answer; the same command asks for them again")

    def _interrupt(self) -> None:
        print("\nWaiting for the answers that are under way; Ctrl-C again drops them.", file=sys.stderr)
        self.stopped = KeyboardInterrupt()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    async def _work_off(self, waiting: Iterator[dict]) -> None:
        for sample in waiting:
            try:
                chain = await self._write(sample)
                if chain is not None:
                    self.record(sample, chain)
            except RejectedError as error:
                self.record(sample, error.chain, str(error))
            except openai.APIError as error:
                self._fail(error)
            except EndpointError as error:
                self.stopped = error
            if self.stopped:
                return

    async def _write(self, sample: dict) -> str | None:
        """A sample's chain; None where the run is stopped on the way."""
        answer = write_answer(sample) if self.index else sample["answer"]
        if sample["clean"] is None:
            raise RejectedError("its clean picture, which the influence is seen by, is not known")
        try:
            recipe = on_grid(Recipe.parse(sample["recipe"]), self.step)
            # What cannot be written or compared is found before anything is paid.
            format_chain(recipe, "", "", "", answer)
            accuracy(answer, sample["answer"], sample["options"])
        except ValueError as error:
            raise RejectedError(str(error)) from error
        known = {
            "recipe": recipe,
            "total": recipe.total,
            "question": question_with_options(sample["question"], sample["options"]),
            "answer": sample["answer"],
            "in_block": answer,
            "words": words_allowed(recipe.total),
        }
        for step in STEPS:
            if step == "shortening":
                known["chain"] = format_chain(
                    recipe, known["influence"], known["reasoning"], known["conclusion"], answer
                )
            known[step] = await self._answer(sample, step, known)
            if known[step] is None:
                return None
        chain = parse_chain(known["shortening"])
        texts = (" ".join(text.split()) for text in (chain.influence, chain.reasoning, chain.conclusion))
        return format_chain(recipe, *texts, answer)

    async def _answer(self, sample: dict, step: str, known: dict) -> str | None:
        """A useful answer to a step, stored or new; None where the run is stopped before there is one."""
        rows = self.answers.of(sample, step)
        while not rows or rows[-1]["problem"]:
            if len(rows) >= self.endpoint.attempts:
                raise RejectedError(f"{step}: {rows[-1]['problem']}", rows[-1]["text"])
            if self.stopped:
                return None
            text, problem, usage = await self._ask(sample, step, known)
            self.in_succession = 0
            self.answers.add({"id": sample["id"], "step": step, "text": text, "problem": problem, "usage": usage})
        return rows[-1]["text"]

    async def _ask(self, sample: dict, step: str, known: dict) -> tuple[str, str | None, dict | None]:
        """One answer: its text, what is wrong with it, its tokens."""
        prompt, pictures = STEPS[step]
        content = [{"type": "image_url", "image_url": {"url": _data_uri(sample[name])}} for name in pictures]
        content.append({"type": "text", "text": prompt.format(**known)})
        fields = {"max_completion_tokens": MAX_TOKENS, **self.endpoint.request}
        try:
            completion = await self.client.chat.completions.create(
                model=self.endpoint.model,
                messages=[{"role": "user", "content": content}],
                extra_body={name: value for name, value in fields.items() if value is not None},
            )
        except json.JSONDecodeError:
            return "", "the response is broken JSON", None
        except openai.BadRequestError as error:
            if error.code in ("content_filter", "content_policy_violation"):
                return "", f"refused: {error.code}", None
            raise
        if isinstance(completion, str):  # how the library hands over what is no JSON
            raise EndpointError(
                f"{self.endpoint.base_url} answers with a page instead of JSON; a --base-url usually ends in /v1"
            )
        # The library fills in None for whatever a response lacks, and hands over as it is what is no object.
        choices = getattr(completion, "choices", None)
        if not choices or not choices[0].message:
            return "", "the response holds no answer", _usage(completion)
        message, finish_reason = choices[0].message, choices[0].finish_reason
        text = (message.content or "").strip()
        problem = text_problem(text, finish_reason, message.refusal)
        if problem is None and step == "shortening":
            problem = chain_problem(text, sample, known["recipe"], known["in_block"], known["words"])
        elif problem is None:
            problem = prose_problem(text)
        return text, problem, _usage(completion)

    def _fail(self, error: openai.APIError) -> None:
        """A request came to nothing: the next sample may fare better, unless the endpoint refuses or is gone."""
        said = str(error).replace(self.endpoint.key, "***") if self.endpoint.key else str(error)
        status = getattr(error, "status_code", None)
        if status is None or status in (408, 409, 429) or status >= 500:
            self.unanswered += 1
            self.in_succession += 1
            if self.in_succession >= max(TURNED_AWAY, self.endpoint.concurrency):
                self.stopped = StoppedError(
                    f"no answer from {self.endpoint.base_url} for {self.in_succession} samples in succession "
                    f"({said}); the same command goes on"
                )
        else:
            hint = HINTS.get(status, "the request is not as it should be; see --request")
            self.stopped = EndpointError(f"{self.endpoint.base_url} refuses: {hint} ({said})")


HINTS = {
    401: "the API key is missing or wrong; name its environment variable with --api-key-env",
    402: "the account is not funded",
    403: "the API key has no right to this",
    404: "there is no such model or address; a --base-url usually ends in /v1",
    413: "the pictures are too large for it",
}
"""HTTP status -> what to look at."""


def _usage(completion: object) -> dict | None:
    """The tokens of an answer, where the endpoint counts them."""
    usage = getattr(completion, "usage", None)
    counts = {name: getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return None if None in counts.values() else counts


def _data_uri(picture: str) -> str:
    kind, _ = mimetypes.guess_type(picture)
    return f"data:{kind};base64,{base64.b64encode(Path(picture).read_bytes()).decode()}"
