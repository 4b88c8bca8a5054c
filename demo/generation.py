"""One batch on one checkpoint, token by token: rows with their own text, end, failure and random numbers."""

import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from PIL import Image
from tokenizers.decoders import DecodeStream
from transformers import BatchFeature, LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from demo import settings
from demo.checkpoints import first_line
from demo.replies import Event, Stats

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What both sides are asked, about one picture or about each of several.

    Attributes:
        images: mode RGB, at the working resolution; a sequence of several where one question is about them all.
        temperature: 0 takes the likeliest token; above, one of the `settings.TOP_K` likeliest is drawn.
        seed: rules the draws, in each row alike and whatever else runs.
    """

    images: Sequence[Image.Image | Sequence[Image.Image]]
    question: str
    temperature: float
    max_new_tokens: int
    seed: int


class Row:
    """One side's (`demo.models.Side`) answer about one picture while it is being generated."""

    def __init__(self, side, emit: Callable[[Event], None], picture: int = 0):
        self.side, self.done, self.failed, self.tokens = side.name, False, False, 0
        self.picture, self.by_index = picture, side.by_index
        self._emit, checkpoint = emit, side.checkpoint
        self._tokenizer = checkpoint.processor.tokenizer.backend_tokenizer
        self._ends = set(checkpoint.end_tokens())
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._begin, self._first, self._last = time.monotonic(), 0.0, 0.0

    def push(self, token: int) -> None:
        """Take the next token. A failure ends this row only."""
        if self.done:  # what follows is padding
            return
        self.tokens += 1
        self._last = time.monotonic()
        self._first = self._first or self._last
        if token in self._ends:
            self.finish("eos")
            return
        try:
            text = self._decoder.step(self._tokenizer, token)
        except Exception as error:
            log.exception("decoding for %s", self.side)
            self.fail(error)
            return
        self._emit(Event(self.side, text or "", tokens=self.tokens, picture=self.picture, by_index=self.by_index))

    def fail(self, error: Exception) -> None:
        self.failed = True
        self.finish("error", first_line(error))

    def finish(self, stop_reason: str, error: str | None = None) -> None:
        if self.done:
            return
        self.done = True
        first = self._first - self._begin if self.tokens else None
        speed = (self.tokens - 1) / (self._last - self._first) if self.tokens > 1 else None
        stats = Stats(self.tokens, first, speed, stop_reason)
        self._emit(Event(self.side, "", True, stats, error, self.tokens, self.picture, self.by_index))


def answer(
    sides: Sequence, request: Request, emit: Callable[[Event], None], halted: Callable[[], bool], threads: int
) -> None:
    """Answer for sides that share a checkpoint, about every picture, as one batch; never raises.

    Args:
        sides: `demo.models.Side`, one row a picture each.
        emit: called with every event, from this thread.
        halted: once it is True, all rows end within a token.
        threads: cores to use.
    """
    checkpoint = sides[0].checkpoint
    # Holds for this thread, and for those that start later and do not choose: each of ours chooses.
    torch.set_num_threads(threads)
    asked = [(side, picture) for picture in range(len(request.images)) for side in sides]
    while not checkpoint.lock.acquire(timeout=0.05):
        if halted():
            for side, picture in asked:
                Row(side, emit, picture).finish("stopped")
            return
    rows = {(side, picture): Row(side, emit, picture) for side, picture in asked}
    try:
        with torch.inference_mode():
            inputs = _inputs(rows, request)
            if inputs is not None:
                limit = min(request.max_new_tokens, checkpoint.room(inputs))
                answering = {key: row for key, row in rows.items() if not row.done}
                _generate(answering, inputs, request, limit, halted)
                for row in answering.values():
                    row.finish("length" if row.tokens == limit else "stopped")
    except Exception as error:
        log.exception("generating with %s", checkpoint.name)
        for row in rows.values():
            row.fail(error)
    finally:
        checkpoint.lock.release()


def _inputs(rows: dict, request: Request) -> BatchFeature | None:
    """The model's inputs, for the rows that have some: one whose prompt cannot be read fails alone."""
    checkpoint = next(iter(rows))[0].checkpoint

    def inputs(keys: Iterable) -> BatchFeature:
        keys = list(keys)
        prompts = [side.prompt_for(request.question) for side, _ in keys]
        return checkpoint.inputs([request.images[picture] for _, picture in keys], prompts)

    try:
        return inputs(rows)
    except Exception:
        for key, row in rows.items():
            try:
                inputs([key])
            except Exception as error:
                log.exception("preparing %s", row.side)
                row.fail(error)
    left = [key for key, row in rows.items() if not row.done]
    return inputs(left) if left else None


def _generate(
    rows: dict, inputs: BatchFeature, request: Request, max_new_tokens: int, halted: Callable[[], bool]
) -> None:
    checkpoint = next(iter(rows))[0].checkpoint
    config = copy.deepcopy(checkpoint.base.generation_config)
    # do_sample stays off: `Draw` leaves one token to choose from, drawn by its row's own generator.
    config.update(do_sample=False, temperature=1.0, top_p=1.0, top_k=50, max_length=None)
    config.update(max_new_tokens=max_new_tokens, eos_token_id=checkpoint.end_tokens())
    config.pad_token_id = checkpoint.processor.tokenizer.pad_token_id
    if config.pad_token_id is None:
        config.pad_token_id = config.eos_token_id[0]
    options = {}
    if isinstance(checkpoint.model, PeftModel):
        options["adapter_names"] = [side.adapter or "__base__" for side, _ in rows]
    if request.temperature > 0:
        seeds = [request.seed] * len(rows)
        options["logits_processor"] = [Draw(request.temperature, seeds, inputs["input_ids"].device)]
    with _hooks_restored(checkpoint.model):
        checkpoint.model.generate(
            **inputs,
            generation_config=config,
            streamer=_Streamer(list(rows.values())),
            stopping_criteria=[_Stop(list(rows.values()), halted)],
            **options,
        )


class _Streamer(BaseStreamer):
    """Hands each row its tokens."""

    def __init__(self, rows: list[Row]):
        self._rows, self._prompt = rows, True

    def put(self, value: torch.Tensor) -> None:
        if self._prompt:
            self._prompt = False
            return
        for row, token in zip(self._rows, value.tolist(), strict=True):
            row.push(token)

    def end(self) -> None:
        pass


class _Stop(StoppingCriteria):
    """Ends rows from outside. An exception would end them too, but leave the adapter's hooks behind."""

    def __init__(self, rows: list[Row], halted: Callable[[], bool]):
        self._rows, self._halted = rows, halted

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        halted = self._halted()
        return torch.tensor([halted or row.failed for row in self._rows], device=input_ids.device)


class Draw(LogitsProcessor):
    """Draws each row's next token with a generator of its own, and leaves only that one possible.

    A logits processor of transformers, for `generate` with ``do_sample=False``: one of the `settings.TOP_K` likeliest.

    Adding Gumbel noise and taking the largest is drawing from the softmax. Torch's own generator belongs to the
    process: seeding it would tie visitors and threads to each other.
    """

    def __init__(self, temperature: float, seeds: Sequence[int], device: torch.device):
        """
        Args:
            temperature: above 0.
            seeds: one for each row.
        """
        self._temperature = temperature
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        best, tokens = scores.topk(min(settings.TOP_K, scores.shape[-1]))
        noise = torch.stack([torch.empty_like(best[0]).exponential_(generator=one) for one in self._generators])
        drawn = tokens.gather(1, (best / self._temperature - noise.log()).argmax(-1, keepdim=True))
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


@contextmanager
def _hooks_restored(model: torch.nn.Module) -> Iterator[None]:
    """Take away the hooks that PEFT leaves behind when a mixed batch fails: later output would be wrong with them."""
    before = {module: set(module._forward_pre_hooks) for module in model.modules()}
    try:
        yield
    except BaseException:
        for module, hooks in before.items():
            for hook in set(module._forward_pre_hooks) - hooks:
                del module._forward_pre_hooks[hook]
                module._forward_pre_hooks_with_kwargs.pop(hook, None)
        raise
