"""The published dataset formats: their records read as questions (training/export.py writes them).

VLM-R1 (github.com/om-ai-lab/VLM-R1), JSON Lines, paths relative to a folder of images::

    {"id": 1, "image": "a.jpg" or ["a.jpg", "b.jpg"], "conversations": [
        {"from": "human", "value": "<image>…"}, {"from": "gpt", "value": "…"}]}

LLaMA-Factory's ShareGPT (github.com/hiyouga/LLaMA-Factory, data/README.md), a list of records, with one ``<image>``
in the text for each path; ``dataset_info.json`` names the columns and the tags::

    {"messages": [{"role": "user", "content": "<image>…"}, {"role": "assistant", "content": "…"}], "images": ["a.jpg"]}

TRL's prompt and completion (huggingface.co/docs/trl/dataset_formats), usually Parquet that holds the images::

    {"images": [image], "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "…"}]}],
     "completion": [{"role": "assistant", "content": [{"type": "text", "text": "…"}]}]}

Records of our own exports carry the row of their sample besides, as JSON text in a column ``sample``.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from degradations.files import PhotoError, read_photo
from demo.chain import TAGS, Chain, build_prompt, parse_chain, parse_options, read_answer

FORMATS = ("questions", "vlm-r1", "llama-factory", "trl", "annotations")
"""Of records; "questions" have a column for each part."""

PLACEHOLDER = "<image>"
"""Stands for one picture in the texts of VLM-R1 and LLaMA-Factory."""

CONVERSATION = {"messages": "conversations", "images": "image"}
CONVERSATION_TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
"""LLaMA-Factory's defaults, which VLM-R1 shares."""

MESSAGES = {"messages": "messages", "images": "images"}
MESSAGES_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}

COLUMNS = {
    "image": ("image", "images"),
    "question": ("question", "problem"),
    "options": ("options", "choices"),
    "answer": ("answer", "solution", "correct_choice_idx", "answer_index"),
}
"""What a record of questions calls its parts: the first of these names that it has. A-OKVQA's are among them."""

UNKNOWN = {"kind": "other", "cue": "", "thing": "", "others": [], "place": "", "count": 1}
"""What the truth-knowing writer of chains would like to know of a sample, and records do not say."""


@dataclass(frozen=True)
class Record:
    """A question about one or several pictures, as a source has it; nothing but its shape was checked.

    Attributes:
        pictures: files, or the bytes of files.
        prompt: the question, perhaps with its options on lines of their own and inside of a prompt template.
        options: None where the source has no column for them.
        answer: an option's text, letter or index, words, or a whole chain.
        source, recipe: what the record says of where it comes from, and of how its picture was degraded.
        sample: the row that the record was exported from, {} for others' records.
        clean: the picture before it was degraded, where the record has it.
        chain: of annotations, the model's chain where it says what its annotators found; the answer is words then.
        corrected: whether people have checked the recipe, so that the sample is of use without a chain, too.
    """

    pictures: tuple[Path | bytes, ...]
    prompt: str
    options: tuple[str, ...] | None
    answer: str | int
    source: str | None = None
    recipe: str | None = None
    sample: dict = field(default_factory=dict)
    clean: Path | bytes | None = None
    chain: str | None = None
    corrected: bool = False

    @property
    def degraded(self) -> bool:
        """True where the picture is degraded already, as far as the record tells."""
        named = self.recipe is not None and self.recipe.strip().lower() not in ("", "none")
        return named or self.corrected or bool(self.sample) or parse_chain(str(self.answer)).complete


# --- reading ---


def read_question(raw: Mapping, folder: Path, columns: Mapping[str, str] | None = None) -> Record:
    """A record of columns: image, question, perhaps options, answer. `columns` adds to `COLUMNS`: part -> its name.

    Raises:
        ValueError: as all readers of records do, where the record is not of the format; the text says why.
    """

    def part(name: str) -> object:
        if columns and name in columns:
            names = (columns[name],)
            if columns[name] not in raw:
                raise ValueError(f"it has no {columns[name]!r} for the {name}, it has {', '.join(raw)}")
        else:
            names = COLUMNS[name]
        return next((raw[key] for key in names if raw.get(key) is not None), None)

    question, options, answer = part("question"), part("options"), part("answer")
    if not isinstance(question, str):
        raise ValueError(f"its question must be a text, not {question!r}")
    if options is not None and not (isinstance(options, list) and all(isinstance(option, str) for option in options)):
        raise ValueError(f"its options must be a list of texts, not {options!r}")
    options = None if options is None else tuple(options)
    return Record(pictures_of(part("image"), folder), question, options, _answer(answer), **_ours(raw, folder))


def read_conversation(
    raw: Mapping, folder: Path, columns: Mapping[str, str] = CONVERSATION, tags: Mapping[str, str] = CONVERSATION_TAGS
) -> Record:
    """A record of VLM-R1 or of LLaMA-Factory's ShareGPT: one question, one answer, perhaps a word of the system."""
    messages = raw.get(columns["messages"])
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        raise ValueError(f"its {columns['messages']!r} must be a list of messages, not {messages!r}")
    spoken = [message for message in messages if message.get(tags["role_tag"]) != tags.get("system_tag", "system")]
    roles = [message.get(tags["role_tag"]) for message in spoken]
    if roles != [tags["user_tag"], tags["assistant_tag"]]:
        raise ValueError(
            f"one question ({tags['user_tag']!r}) with one answer ({tags['assistant_tag']!r}) can be taken, "
            f"and it has {roles}"
        )
    prompt, answer = (message.get(tags["content_tag"]) for message in spoken)
    pictures = pictures_of(raw.get(columns.get("images", "images")), folder)
    text = _text(prompt)
    if text.count(PLACEHOLDER) not in (0, len(pictures)):
        raise ValueError(f"it has {len(pictures)} pictures, and its text {text.count(PLACEHOLDER)} times {PLACEHOLDER}")
    return Record(pictures, text.replace(PLACEHOLDER, "").strip(), None, _answer(answer), **_ours(raw, folder))


def read_trl(raw: Mapping, folder: Path) -> Record:
    """A record of TRL's prompt and completion, conversational or plain, with ``images`` or ``image``."""
    pictures = raw.get("images") if raw.get("images") is not None else raw.get("image")
    prompt, completion = raw.get("prompt"), raw.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = {"messages": [*prompt, *completion], "images": pictures, "sample": raw.get("sample")}
        messages |= {name: raw[name] for name in ("clean", "source", "recipe") if name in raw}
        return read_conversation(messages, folder, MESSAGES, MESSAGES_TAGS)
    if not isinstance(prompt, str) or not isinstance(completion, str):
        raise ValueError(f"prompt and completion must be texts or lists of messages, not {prompt!r} and {completion!r}")
    return Record(pictures_of(pictures, folder), prompt.strip(), None, _answer(completion), **_ours(raw, folder))


def pictures_of(value: object, folder: Path) -> tuple[Path | bytes, ...]:
    values = value if isinstance(value, list) else [value]
    if value is None or not values:
        raise ValueError("it has no picture")
    return tuple(picture_of(one, folder) for one in values)


def picture_of(value: object, folder: Path) -> Path | bytes:
    """A path relative to `folder`, or what `datasets` hands over for a picture that it has not decoded."""
    if isinstance(value, str) and value:
        return folder / value
    if isinstance(value, Mapping) and (value.get("bytes") or value.get("path")):
        return value["bytes"] or folder / value["path"]
    raise ValueError(f"a picture must be a path or the bytes of a file, not {value!r}")


def _text(content: object) -> str:
    """A message's content as text, with `PLACEHOLDER` for each picture among its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "".join(PLACEHOLDER if part.get("type") == "image" else part.get("text") or "" for part in content)
    raise ValueError(f"a message's content must be a text or a list of parts, not {content!r}")


_ANSWER_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def _answer(value: object) -> str | int:
    """A chain stays whole; of other texts with VLM-R1's ``<answer>`` tags only what stands in them is the answer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, bool | float):
        return str(value)
    text = _text(value).strip() if value is not None else ""
    tagged = [] if parse_chain(text).complete else _ANSWER_TAGS.findall(text)
    if not (text := tagged[-1].strip() if tagged else text):
        raise ValueError("it has no answer")
    return text


def _ours(raw: Mapping, folder: Path) -> dict:
    """What a record says besides; those of our own exports say all that the sample was."""
    said = {name: raw[name] for name in ("source", "recipe") if isinstance(raw.get(name), str)}
    if not raw.get("sample"):
        return said
    try:
        sample = json.loads(raw["sample"])
        known = {"question", "options", "answer", "answer_index", "recipe", "seed"} <= set(sample)
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(f"its 'sample' is not the row of a sample as JSON text: {str(raw['sample'])[:80]!r}")
    return said | {"sample": sample, "clean": picture_of(raw["clean"], folder) if raw.get("clean") else None}


# --- from a record to a sample ---


def question_fields(record: Record, template: str | None = None) -> dict:
    """The keys question, options, answer and answer_index of a sample.

    Args:
        template: the prompt template that the record's question was put into; None if it stands there bare.

    Raises:
        ValueError: the prompt does not fit the template, or the answer is none of the options.
    """
    if record.sample:
        if record.sample["question"] not in record.prompt:
            raise ValueError("its prompt does not ask the question of its 'sample': change both, or leave 'sample' out")
        return {name: record.sample[name] for name in ("question", "options", "answer", "answer_index")}
    question = record.prompt if template is None else without_template(record.prompt, template)
    question, options = split_options(question) if record.options is None else (question.strip(), list(record.options))
    chain = parse_chain(str(record.answer))
    answer, index = find_answer(chain.answer if chain.complete else record.answer, options)
    return {"question": question, "options": options, "answer": answer, "answer_index": index}


def open_picture(picture: Path | bytes) -> Image.Image:
    """A record's picture, of mode RGB.

    Raises:
        PhotoError: it cannot be read; the text says which it is.
    """
    try:
        return read_photo(picture if isinstance(picture, Path) else io.BytesIO(picture))
    except PhotoError as error:
        name = f"picture {picture}" if isinstance(picture, Path) else "picture"
        raise PhotoError(f"its {name} is {error}") from error


def without_template(prompt: str, template: str) -> str:
    """The question that `demo.chain.build_prompt` put into a template.

    Raises:
        ValueError: the prompt was not made of this template.
    """
    build_prompt("", template)  # refuses a template without a place for the question
    before, _, after = template.partition("{question}")
    before, after, prompt = before.lstrip(), after.rstrip(), prompt.strip()
    if not (prompt.startswith(before) and prompt.endswith(after) and len(prompt) > len(before) + len(after)):
        raise ValueError(f"its prompt {prompt[:80]!r} was not made of the prompt file")
    return prompt[len(before) : len(prompt) - len(after)].strip()


def split_options(question: str) -> tuple[str, list[str]]:
    """A question without the lines of its options, and these. A single line of that form is a part of the text."""
    options = parse_options(question)
    if len(options) < 2:
        return question.strip(), []
    lines, number = [], 0
    for line in question.splitlines():
        is_next = number < len(options) and re.match(rf"\s*{number}\s*[.):]", line)
        if is_next and line.rstrip().endswith(options[number]):
            number += 1
        else:
            lines.append(line)
    return "\n".join(lines).strip(), options


def find_answer(answer: str | int, options: list[str]) -> tuple[str, int | None]:
    """An answer in words and its index among the options, None without options.

    Raises:
        ValueError: it is none of the options.
    """
    if not options:
        return str(answer), None
    index = answer if isinstance(answer, int) else read_answer(answer, options)
    if index is None or not 0 <= index < len(options):
        raise ValueError(f"its answer {answer!r} is none of its options {options}")
    return options[index], index


def complete_chain(text: str) -> Chain:
    """Read a chain that can be learned from as it is.

    Raises:
        ValueError: a block is missing, out of order or open, or none of the types that it names is known.
    """
    chain = parse_chain(text)
    if not chain.complete:
        closed = ", ".join(name for name in TAGS if name in chain.closed) or "none"
        raise ValueError(f"no complete chain: the five blocks have to be closed in their order; closed are {closed}")
    if not chain.recipe and "(" in text[: text.upper().index("INFLUENCE")]:
        raise ValueError("its chain names types of degradation, and none of them is known")
    return chain
