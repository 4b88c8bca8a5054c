"""Which option an answer means: strictly by the chain's tags, and by the rules of two other harnesses.

What `chosen` finds is what accuracy counts. The others are there to compare with, and to show what happens to a tagged
chain that is handed to a harness as it is. Their rules are told in our own words; `tests/harnesses.py` says of which
versions.
"""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from demo.chain import parse_chain, read_answer

# A block does not reach over the opening of the next one.
_ANSWERS = re.compile(
    r"<\s*ANSWER\s*>((?:(?!<\s*ANSWER\s*>).)*?)<\s*(?:/\s*ANSWER|ANSWER\s*_\s*END)\s*>", re.IGNORECASE | re.DOTALL
)

_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:]?")


def chosen(answer: str, options: Sequence[str], by_index: bool = False, by_letter: bool = False) -> int | None:
    """The index of the option that an answer names, None where it names none.

    Args:
        answer: what stands in the ANSWER block, or a direct answer.
        by_index: for models that answer by the option's index: ``2`` alone is not the option that says 2.
        by_letter: the same of models that answer by a letter, where options are letters.
    """
    if by_letter and (found := _LETTER.fullmatch(answer.strip())):
        index = ascii_uppercase.index(found[1].upper())
        if index < len(options):
            return index
    return read_answer(answer, list(options), by_index)


def handed_over(text: str, options: Sequence[str], index: bool = False) -> tuple[str, bool]:
    """What a harness gets of a chain: the option's letter, or without options the answer's words.

    The last complete ANSWER block counts, an unclosed one if there is none.

    Args:
        index: whether a number in it is an index in any case.

    Returns:
        The answer, and whether there was one; a harness gets an empty text where there was none.
    """
    closed = _ANSWERS.findall(text)
    answer = closed[-1].strip() if closed else parse_chain(text).answer
    if not options:
        return answer, bool(answer)
    found = chosen(answer, options, by_index=index)
    return ("", False) if found is None else (ascii_uppercase[found], True)


# --- VLMEvalKit ---

REFUSED = "Z"
_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def vlmevalkit_choice(text: str, options: Sequence[str]) -> str | None:
    """VLMEvalKit's exact matching (its ``can_infer``): a letter, `REFUSED`, or None where it would ask a judge.

    A letter counts if it stands alone among words, no other option's does, and it is one of the last five. Otherwise
    an option counts whose text occurs, if no other's does and the answer is at most twice as long as all options.
    """
    letters = ascii_uppercase[: len(options)]
    if any(refusal in text for refusal in _REFUSALS):
        return REFUSED
    words = text.translate(_SEPARATORS).split()
    named = [letter for letter in letters if letter in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and REFUSED in words:
        return REFUSED
    if len(text) > 2 * sum(map(len, options)):
        return None
    found = [letter for letter, option in zip(letters, options, strict=True) if option.lower() in text.lower()]
    return found[0] if len(found) == 1 else None


# --- lmms-eval ---


def lmms_first_letter(text: str, letter: str) -> bool:
    """Whether lmms-eval's MMStar task takes an answer for this letter: by how it begins."""
    said, letter = text.lower().strip().replace("\n", " "), letter.lower()
    beginnings = ("", "(", "option ", "the answer is ")
    return any(said.startswith(beginning + letter) for beginning in beginnings)


def lmms_last_letter(text: str, options: Sequence[str]) -> str | None:
    """lmms-eval's reading of multiple choice in MMMU and the tasks made after it; None where it draws lots.

    Letters in brackets count, else letters before a blank, else before a dot; of several the last. Without one an
    option counts whose text occurs, of several the last.
    """
    letters, said = ascii_uppercase[: len(options)], f" {text.strip(',.!?;:')} "
    for form in ("({})", "{} ", "{}."):
        if places := {letter: said.rfind(form.format(letter)) for letter in letters if form.format(letter) in said}:
            return max(places, key=places.get)
    if len(said.split()) <= 5:
        return None
    spoken = said.lower()
    places = {
        letter: spoken.rfind(o.lower()) for letter, o in zip(letters, options, strict=True) if o.lower() in spoken
    }
    return max(places, key=places.get) if places else None


def lmms_words(text: str, options: Sequence[str]) -> str:
    """What lmms-eval's RealWorldQA task compares with the letter: an option's letter, or all that was said.

    Everything but letters, digits and blanks is dropped first; the option whose text then comes first counts.
    """
    said = re.sub(r"[^\w\s]", "", text).strip()
    places: Mapping[str, int] = {option: said.find(option) for option in options if option in said}
    if not places:
        return said.lower()
    return ascii_uppercase[options.index(min(places, key=places.get))].lower()
