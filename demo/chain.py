"""The tagged reasoning chain: its tags, the prompt that asks for it, the formatter and the parser.

A chain has five blocks in a fixed order, each opened by ``<NAME>`` and closed by ``<NAME_END>``. The prompt stands
right above the code that reads the answer, so that the two cannot drift apart.
"""

import re
from dataclasses import dataclass, field

from degradations import Recipe, lookup

TAGS = ("TYPE", "INFLUENCE", "REASONING", "CONCLUSION", "ANSWER")

DEFAULT_PROMPT = """{question}
Before you answer, look at how the picture was degraded. Write five tagged parts, each closed by its end tag:
the types of degradation, each with its intensity from 0 to 1, briefly in <TYPE> <TYPE_END>;
what they do to this image in <INFLUENCE> <INFLUENCE_END>;
a reasoning process, the longer the stronger the degradation, in <REASONING> <REASONING_END>;
its summary with the answer in <CONCLUSION> <CONCLUSION_END>;
and the answer alone, as briefly as possible, in <ANSWER> <ANSWER_END>."""
"""What a degradation-aware checkpoint is asked; our own wording of the published instruction."""

DIRECT_PROMPT = "{question}"
"""What a baseline is asked."""

JOINT_PREFACE = (
    "The first picture is degraded, as it came. The second one is an attempt to recover it, and may be wrong: "
    "what both show is certain.\n"
)
"""What goes before the prompt of a model that is asked about both."""


def build_prompt(question: str, template: str = DEFAULT_PROMPT) -> str:
    """Put a question into a prompt template.

    Raises:
        ValueError: the template has no ``{question}``.
    """
    if "{question}" not in template:
        raise ValueError(f"the prompt template needs the placeholder {{question}}; it is {template[:80]!r}")
    # Not str.format: questions and templates may contain braces.
    return template.replace("{question}", question)


def question_with_options(question: str, options: list[str]) -> str:
    """A question with its options on lines of their own, numbered from 0 as published checkpoints expect."""
    return "\n".join([question, *(f"{index}. {option}" for index, option in enumerate(options))])


_INDEX = re.compile(r"\(?([0-9]{1,3})\)?\.?")
_OPTION = re.compile(r"^[ \t]*(\d{1,3})[ \t]*[.):][ \t]*(\S.*)$", re.MULTILINE)


def parse_options(question: str) -> list[str]:
    """The options of a question written by `question_with_options`; empty where it has none."""
    found = _OPTION.findall(question)
    return [text.rstrip() for _, text in found] if [int(n) for n, _ in found] == list(range(len(found))) else []


def read_answer(text: str, options: list[str], by_index: bool = False) -> int | None:
    """The index of the option that an answer means, or None.

    Understood are, in this order: an option's text (``hat``), an index (``2``, ``2. hat``, ``(2)``), a letter (``B``,
    ``B.``, ``Option C``), an index or exactly one option's text somewhere in a sentence.

    Args:
        by_index: for models that answer by the index: where options are numbers, ``2`` is not the option that says 2.
    """
    if by_index and (label := _INDEX.fullmatch(text.strip())) and int(label[1]) < len(options):
        return int(label[1])
    if text.strip() in options:  # before options that differ from it in case or punctuation only
        return options.index(text.strip())
    answer = _plain(text)
    names = [_plain(option) for option in options]
    if answer in names:
        return names.index(answer)
    leading = re.match(
        r"(?P<said>(?:the )?(?:(?:answer|option|choice):? )*(?:is:? )?[(\[]?)(?P<token>\d{1,3}|[a-z])(?P<end>[)\]]?)"
        r"(?=$|[,:;)\s]|\.(?!\d))",
        answer,
    )
    if leading:
        token, rest = leading["token"], answer[leading.end() :]
        index = int(token) if token.isdigit() else ord(token) - ord("a")
        if index < len(options):
            # Neither "2 dogs" nor "a dog" is an option; "2 hat" is, if hat stands there.
            marked = leading["said"] or leading["end"] or rest.strip().startswith(names[index])
            if not rest or rest[0] in ".,:;)" or (token.isdigit() and marked):
                return index
    named = [i for i, name in enumerate(names) if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", answer)]
    if len(named) == 1:
        return named[0]
    marked = re.findall(r"(?:option|answer(?: is)?:?) ?[(\[]?(\d{1,3})(?!\.?\d)", answer)
    if marked and int(marked[-1]) < len(options):
        return int(marked[-1])
    return None


def meant(text: str, options: list[str], by_index: bool = False) -> str:
    """The option that an answer means, in the option's words; the answer as it is where it means none."""
    choice = read_answer(text, options, by_index)
    return text if choice is None else options[choice]


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .\"'`*")


def format_chain(recipe: Recipe, influence: str, reasoning: str, conclusion: str, answer: str) -> str:
    """Write a complete chain.

    Raises:
        ValueError: a text contains one of the tags, which would make the chain unreadable.
    """
    blocks = dict(zip(TAGS, (str(recipe), influence, reasoning, conclusion, answer), strict=True))
    for name, text in blocks.items():
        if _TAG.search(text):
            raise ValueError(f"the text of {name} must not contain a tag: {text[:80]!r}")
    return "\n".join(f"<{name}>{text}<{name}_END>" for name, text in blocks.items())


@dataclass(frozen=True)
class Chain:
    """What a model said, as far as it has said it.

    Attributes:
        recipe: the predicted degradations; while TYPE is being written, its complete entries.
        influence, reasoning, conclusion, answer: the blocks' texts without tags, ``""`` where not begun.
        open: name of the block that is being written at the end of the text, None between blocks and at the end.
        closed: names of the blocks that will not change any more, closed by their tag or by the next block's.
        complete: True if all five blocks were closed by their own tags, in order.
        raw: the text as it came.
    """

    recipe: Recipe
    influence: str
    reasoning: str
    conclusion: str
    answer: str
    open: str | None
    closed: frozenset[str]
    complete: bool
    raw: str = field(repr=False)


_NAMES = "|".join(TAGS)
# No two neighbours in these patterns match the same characters, so that hostile text is read in linear time.
_TAG = re.compile(rf"<\s*(?:(/)\s*)?({_NAMES})(\s*_\s*END)?\s*>", re.IGNORECASE)
# The beginning of a tag at the end of the text: held back until it is known to be one.
_TAG_BEGUN = re.compile(r"<[\s/_a-z]{0,24}$", re.IGNORECASE)


def parse_chain(text: str) -> Chain:
    """Read any text, complete or cut off anywhere; never raises.

    Blocks are read from left to right. A block ends at its end tag (``</NAME>`` is read too), at the next block's
    opening tag, or stays open at the end of the text. The first block of a name counts, text outside of blocks does
    not: so what was closed once stays as it is, whatever follows.
    """
    texts: dict[str, str] = {}
    ended_by_own_tag: list[str] = []
    current, begin = None, 0
    for tag in _TAG.finditer(text):
        name, ends = tag[2].upper(), bool(tag[1] or tag[3])
        if ends and name != current:
            continue  # a stray end tag is dropped by _clean
        if current is not None:
            texts[current] = _clean(text[begin : tag.start()])
            if ends:
                ended_by_own_tag.append(current)
        current, begin = (None, 0) if ends or name in texts else (name, tag.end())
    closed = frozenset(texts)
    if current is not None:
        texts[current] = _clean(_TAG_BEGUN.sub("", text[begin:]))
    return Chain(
        recipe=read_recipe(texts.get("TYPE", "")),
        influence=texts.get("INFLUENCE", ""),
        reasoning=texts.get("REASONING", ""),
        conclusion=texts.get("CONCLUSION", ""),
        answer=texts.get("ANSWER", ""),
        open=current,
        closed=closed,
        complete=ended_by_own_tag == list(TAGS),
        raw=text,
    )


def _clean(text: str) -> str:
    return _TAG.sub("", text).strip()


# ASCII digits only: float() would read other scripts' digits too. Bounded or atomic, as texts may be endless.
_PREDICTION = re.compile(r"([a-zA-Z][a-zA-Z _-]{0,40}?)\s*\(\s*((?>[0-9]*\.?[0-9]+))\s*\)")


def read_recipe(text: str) -> Recipe:
    """The degradations that a model's TYPE block names; what cannot be read is left out.

    Entries look like ``name(0.31)``, with any case, spaces or underscores. Unknown names (``overall`` among them) and
    intensities out of [0, 1] are left out; of a type named twice the first entry counts.
    """
    found: dict[str, float] = {}
    for spelling, number in _PREDICTION.findall(text):
        name = lookup(spelling)
        if name is not None and float(number) <= 1:
            found.setdefault(name, float(number))
    return Recipe(found)
