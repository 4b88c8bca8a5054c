"""What both bridges share: a model that is asked for a chain, and hands over the answer alone.

A tagged chain given to a harness as it is gets misread (`training.evaluation.extraction`): it looks for a letter that
stands alone, or takes the first word. So the letter is taken from the ANSWER block here, and the whole text goes to a
JSON Lines file. What could not be extracted is handed over as an empty text, which no harness takes for right, counted,
and marked in that file.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase

from PIL import Image

from demo import settings
from demo.chain import build_prompt, parse_options, question_with_options
from demo.models import read_prompt
from training.evaluation import local
from training.evaluation.extraction import handed_over
from training.evaluation.shards import Shard
from training.evaluation.sides import Side
from training.formats import split_options
from training.written import appending

_LETTERED = re.compile(r"^[ \t]*([A-Z])[.):][ \t]*(\S.*)$", re.MULTILINE)
_IN_LINE = re.compile(r"\bOptions:[ \t]*(?=A:[ \t])(.*)$", re.MULTILINE)
_INSTRUCTION = re.compile(
    r"^.*(?:option's letter|letter of the (?:correct|right) option|options above|from the given choices).*\n?",
    re.MULTILINE | re.IGNORECASE,
)
"""Lines by which benchmarks ask for a letter: a chain ends in its own answer."""


def question_of(text: str) -> tuple[str, list[str]]:
    """A harness's question without its options and instructions, and the options.

    Read are options on lines of their own, lettered or numbered from 0, and MMStar's ``Options: A: x, B: y``.
    """
    text = _INSTRUCTION.sub("", text)
    if found := _IN_LINE.search(text):
        options = [part.strip() for part in re.split(r"(?:^|,[ \t]*)[A-Z]:[ \t]*", found[1])[1:]]
        return text[: found.start()].strip(), options
    lettered = _LETTERED.findall(text)
    if len(lettered) > 1 and "".join(letter for letter, _ in lettered) == ascii_uppercase[: len(lettered)]:
        question = re.sub(r"^[ \t]*Options:[ \t]*$", "", _LETTERED.sub("", text), flags=re.MULTILINE)
        return re.sub(r"\n{2,}", "\n", question).strip(), [option.strip() for _, option in lettered]
    return split_options(text) if parse_options(text) else (text.strip(), [])


class Answerer:
    """A checkpoint, or an adapter on one, asked for chains.

    Args:
        model: Hub name or folder.
        adapter: LoRA adapter on it.
        prompt_file: the prompt for a chain, with ``{question}`` in it.
        by_index: whether the model answers by the option's index, as published checkpoints do.
        raw: JSON Lines file that receives every whole text, one a process where there are several; None to keep none.

    Attributes:
        asked, unread: how many answers there were, and how many of them named no option.

    Raises:
        demo.checkpoints.CheckpointError: the model cannot be had.
    """

    def __init__(
        self, model: str, adapter: str | None = None, prompt_file: str | None = None,
        max_new_tokens: int = settings.NEW_TOKENS, raw: str | None = None, dtype: str = "auto",
        by_index: bool = True,
    ):  # fmt: skip
        spec = settings.Spec("bridge", baseline=model, robust=model, prompt_file=prompt_file, dtype=dtype)
        side = Side("bridge", model, adapter, chain=True)
        local.find(side)
        ((self.checkpoint, _, self.adapter),) = local.loaded([side], spec)
        self._files = ExitStack()
        self.template, self.max_new_tokens = read_prompt(spec), int(max_new_tokens)
        self.by_index = by_index
        self.raw = _table_of_this_process(Path(raw)) if raw else None
        self.asked = self.unread = 0

    def answer(self, pictures: Sequence[Image.Image], question: str, place: str = "") -> str:
        """The option's letter, without options the answer's words; "" where there is none.

        Args:
            question: as the harness words it, its options inside.
            place: what the file with the whole texts calls it.
        """
        bare, options = question_of(question)
        prompt = build_prompt(question_with_options(bare, options), self.template)
        with local.speaking(self.checkpoint, self.adapter):
            (text,) = local.say(self.checkpoint, [list(pictures)], [prompt], self.max_new_tokens)
        answer, found = handed_over(text, options, self.by_index)
        self.asked += 1
        self.unread += not found
        if self.raw:
            row = {"place": place, "prompt": prompt, "options": options, "text": text, "answer": answer, "read": found}
            self._append(row)
        return answer

    @cached_property
    def _append(self) -> Callable[[dict], None]:
        """Opened once: opening reads what is there."""
        self.raw.parent.mkdir(parents=True, exist_ok=True)
        return self._files.enter_context(appending(self.raw))


def _table_of_this_process(table: Path) -> Path:
    """Harnesses start several processes, none of which may cut off what another one is writing."""
    return Shard(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))).file(table)
