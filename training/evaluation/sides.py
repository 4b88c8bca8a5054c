"""Who answers, and how it is asked: checkpoints, adapters on them, models behind endpoints, published ones by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase

from demo.chain import DIRECT_PROMPT, JOINT_PREFACE, build_prompt, question_with_options
from demo.settings import Spec
from training.evaluation.recovered import BOTH, GIVEN, RECOVERED, Recoverer
from training.evaluation.rows import VQA, task_of

CHAIN, INDEX, DIRECT, LETTERS = "chain", "index", "direct", "letters"
"""How a side is asked: for a chain; for one that answers by the option's index, as published checkpoints do; with the
bare question and numbered options; with lettered ones."""

LETTERS_PROMPT = "{question}\n{options}\nAnswer with the letter of the right option alone."
BRIEF_PROMPT = "{question}\nAnswer in at most 10 words."
"""R-Bench asks for no more than 10 words where there are no options; descriptions are asked for as they are."""

SHAPE = (
    f"NAME=CHECKPOINT[+ADAPTER][,tower=TOWER][,sees={RECOVERED}|{BOTH}][,temperature=T][@URL]"
    f"[:{CHAIN}|:{INDEX}|:{DIRECT}|:{LETTERS}]"
)
NUMBER = r"\d+(\.\d+)?(e-\d+)?"


@dataclass(frozen=True)
class Side:
    """A model that answers.

    Attributes:
        name: what tables call it.
        checkpoint: Hub name or folder; what an endpoint calls its model.
        adapter: LoRA adapter on it, or None.
        chain: whether it is asked for a chain; otherwise its text is its answer.
        letters: whether its options are lettered.
        tower: a CLIP vision tower that takes the place of the checkpoint's own, or None.
        by_index: whether a number in its answer is the option's index, also where options are numbers themselves.
        url: address of an OpenAI-compatible endpoint that has it, or None for a model that is loaded here.
        sees: the picture as it is given, the recovered one, or both: see `training.evaluation.recovered`.
        temperature: of its answers; 0 is greedy.
    """

    name: str
    checkpoint: str
    adapter: str | None
    chain: bool
    letters: bool = False
    tower: str | None = None
    url: str | None = None
    by_index: bool = False
    sees: str = GIVEN
    temperature: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Side":
        """Read `SHAPE`, or the name of a published model (`PUBLISHED`), with ``@URL`` where it needs an endpoint.

        Without a word on how it is asked, an adapter is asked for a chain and a checkpoint directly.

        Raises:
            ValueError: a part is missing, or there is no such published model.
        """
        model, _, url = text.partition("@http")
        url, asked = _asked(f"@http{url}") if url else ("", None)
        if "=" not in model:
            return published(model, url[1:] or None)
        name, _, model = model.partition("=")
        if not url:
            model, asked = _asked(model)
        model, drawn, temperature = model.partition(",temperature=")
        model, _, sees = model.partition(",sees=")
        model, comma, tower = model.partition(",tower=")
        checkpoint, plus, adapter = model.partition("+")
        known = sees in ("", GIVEN, RECOVERED, BOTH) and (not drawn or re.fullmatch(NUMBER, temperature))
        if not (name and checkpoint and bool(plus) == bool(adapter) and bool(comma) == bool(tower) and known):
            raise ValueError(f"a side is {SHAPE}, not {text!r}")
        chain = asked in (CHAIN, INDEX) if asked else bool(adapter)
        other = (tower or None, url[1:] or None, asked == INDEX)
        last = sees or GIVEN, float(temperature or 0)
        return cls(name, checkpoint, adapter or None, chain, asked == LETTERS, *other, *last)

    def __str__(self) -> str:
        adapter = f"+{self.adapter}" if self.adapter else ""
        tower = f",tower={self.tower}" if self.tower else ""
        url = f"@{self.url}" if self.url else ""
        sees = f",sees={self.sees}" if self.sees != GIVEN else ""
        temperature = f",temperature={self.temperature}" if self.temperature else ""
        return f"{self.name}={self.checkpoint}{adapter}{tower}{sees}{temperature}{url}:{self.asked}"

    @property
    def asked(self) -> str:
        if self.chain:
            return INDEX if self.by_index else CHAIN
        return LETTERS if self.letters else DIRECT


def _asked(text: str) -> tuple[str, str | None]:
    for kind in (CHAIN, INDEX, DIRECT, LETTERS):
        if text.endswith(f":{kind}"):
            return text.removesuffix(f":{kind}"), kind
    return text, None


@dataclass(frozen=True)
class Asking:
    """How sides are asked.

    Attributes:
        template: the prompt for a chain, with ``{question}`` in it.
        max_new_tokens: where an answer is cut off.
        spec: the pixel budget and the dtype; which models it names plays no part.
        recoverer: recovers pictures for the sides that see recovered ones; None where none does.
    """

    template: str
    max_new_tokens: int
    spec: Spec
    batch_size: int = 32
    recoverer: Recoverer | None = None

    def template_of(self, side: Side) -> str:
        """The words around a question; what is asked follows from these and the question."""
        preface = JOINT_PREFACE if side.sees == BOTH else ""
        if side.chain:
            return preface + self.template
        return preface + (f"{LETTERS_PROMPT}\n{BRIEF_PROMPT}" if side.letters else DIRECT_PROMPT)

    def prompt(self, side: Side, row: Mapping) -> str:
        """What a side is asked about a row."""
        return (JOINT_PREFACE if side.sees == BOTH else "") + self._prompt(side, row)

    def _prompt(self, side: Side, row: Mapping) -> str:
        question, options = row["question"], row["options"]
        if side.letters and options:
            lettered = "\n".join(
                f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)
            )
            return _filled(LETTERS_PROMPT, question=question, options=lettered)
        if side.letters and task_of(row) == VQA:
            return _filled(BRIEF_PROMPT, question=question)
        numbered = question_with_options(question, options)
        return build_prompt(numbered, self.template) if side.chain else numbered


def _filled(template: str, **parts: str) -> str:
    # In one pass, and not by str.format: questions may contain braces.
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], template)


# --- published models ---


@dataclass(frozen=True)
class Published:
    """A model of the papers' tables.

    Attributes:
        name: what the tables call it.
        checkpoint: Hub name.
        asked: one of `INDEX`, `LETTERS`.
        tower: see `Side`.
        endpoint: whether it cannot be loaded here and needs an endpoint.
        checked: what was checked of it without its weights.
        missing: what stands in the way of running it here; "" for nothing but the weights.
    """

    name: str
    checkpoint: str
    asked: str
    tower: str | None = None
    endpoint: bool = False
    checked: str = ""
    missing: str = ""


TINY = "a small random model of its classes is loaded and asked; its prompt and the reading of its answers"
SERVED = "its prompt, the reading of its answers, and the client against a scripted server"
LLAVA = "llava-hf/llava-1.5-7b-hf"

PUBLISHED = {
    "qwen2.5-vl-3b": Published("Qwen2.5-VL-3B", "Qwen/Qwen2.5-VL-3B-Instruct", LETTERS, checked=TINY),
    "gemma3-4b": Published("Gemma3-4B", "google/gemma-3-4b-it", LETTERS, checked=TINY),
    "internvl-4b": Published(
        "InternVL-4B", "OpenGVLab/InternVL3_5-4B-HF", LETTERS, checked=TINY,
        missing="which InternVL of 4B was measured is not published; this is the one in transformers' own format",
    ),
    "tecoa": Published("TeCoA", LLAVA, LETTERS, tower="chs20/tecoa4-clip", checked=TINY + "; the swap of its tower"),
    "robust-clip": Published(
        "Robust CLIP", LLAVA, LETTERS, tower="chs20/fare4-clip", checked=TINY + "; the swap of its tower"
    ),
    "robust-llava": Published(
        "Robust LLaVA", "Robust-LLaVA-H", LETTERS, endpoint=True, checked=SERVED,
        missing="weights in the original LLaVA's format with a tower that is no CLIP: they need their own server",
    ),
    "bagel": Published(
        "BAGEL", "ByteDance-Seed/BAGEL-7B-MoT", LETTERS, endpoint=True, checked=SERVED,
        missing="its classes are not in transformers: it needs a server of its own",
    ),
    "robust-u1": Published(
        "Robust-U1", "Jiaqi-hkust/Robust-U1", INDEX, endpoint=True, checked=SERVED,
        missing="its classes are not in transformers: it needs a server of its own",
    ),
    "robust-r1-sft": Published("Robust-R1 SFT", "Jiaqi-hkust/Robust-R1-SFT", INDEX, checked=TINY),
    "robust-r1-rl": Published("Robust-R1 SFT+RL", "Jiaqi-hkust/Robust-R1-RL", INDEX, checked=TINY),
}  # fmt: skip
"""Name on the command line -> model. BAGEL and Robust-U1 have their own table among the published figures."""


def published(name: str, url: str | None = None) -> Side:
    """A published model as a side, called as the tables call it.

    Raises:
        ValueError: there is none of this name, or it needs an endpoint.
    """
    if name not in PUBLISHED:
        raise ValueError(f"a side is {SHAPE}, or one of {', '.join(PUBLISHED)}; not {name!r}")
    model = PUBLISHED[name]
    if model.endpoint and not url:
        raise ValueError(f"{name} cannot be loaded here ({model.missing}); give {name}@http://HOST:PORT/v1")
    chain, tower = model.asked == INDEX, None if url else model.tower
    return Side(model.name, model.checkpoint, None, chain, model.asked == LETTERS, tower, url, by_index=chain)


def readme_table() -> str:
    """The table in training/README.md."""
    lines = ["| `--side` | published as | model | works here with weights | checked without weights | missing |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, model in PUBLISHED.items():
        what = f"`{model.checkpoint}`" + (f" with the tower `{model.tower}`" if model.tower else "")
        lines.append(
            f"| `{name}` | {model.name} | {what} | not tried | {model.checked} | {model.missing or 'the weights'} |"
        )
    return "\n".join(lines)
