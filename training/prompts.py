"""What a vision-language model is asked for a chain, and which of its answers will do.

The four published steps, in our own words. Each prompt is filled by ``str.format`` with what `training.endpoint` knows
by then.
"""

import re

from degradations import Recipe
from demo.chain import TAGS, parse_chain
from training.rewards import accuracy

INFLUENCE = """\
The first image is clean, the second is the same image after it was degraded. The degradations, each with its intensity
from 0 (none) to 1 (strongest): {recipe}.

A question about the image: {question}
The right answer: {answer}

Compare the two and say what the degradations have done to the second one, as far as it matters for this question: what
is hidden, blurred, bent or changed in colour, and where. One sentence for each degradation, more for strong ones. Speak
of one image only, as somebody who has never seen the clean one. Do not answer the question.
Write plain text without tags or lists."""

REASONING = """\
This image was degraded. The degradations, each with its intensity from 0 (none) to 1 (strongest): {recipe}.
What they have done to it: {influence}

A question about the image: {question}
The right answer: {answer}

Write down how somebody who sees only this image comes to the right answer: what can still be seen, how to look past the
degradations, which evidence decides, and, where much is hidden, why it is none of the other answers. Do not mention
that the answer was given to you.
Write plain text without tags or lists."""

CONCLUSION = """\
An image was degraded by: {recipe}.
What that has done to it: {influence}

A question about the image: {question}
The reasoning so far: {reasoning}
The right answer: {answer}

Write the conclusion in one or two sentences: what the reasoning comes down to, and the answer in exactly these words:
{answer}
Write plain text without tags or lists."""

SHORTENING = """\
This is a chain of reasoning about a degraded image, in five blocks:

{chain}

It answers the question: {question}
The intensities of the degradations add up to {total:.2f}: 0 is a clean image, 1 a plainly degraded one, above 2 little
is left. The less degraded the image, the shorter the chain has to be. Shorten the texts of INFLUENCE, REASONING and
CONCLUSION to at most {words} words in all. Keep what decides; CONCLUSION still names the answer in exactly these words:
{answer}
Copy TYPE and ANSWER letter by letter. Write all five blocks in the same order with the same tags, and nothing else."""

STEPS = {
    "influence": (INFLUENCE, ("clean", "image")),
    "reasoning": (REASONING, ("image",)),
    "conclusion": (CONCLUSION, ()),
    "shortening": (SHORTENING, ()),
}
"""Step -> its prompt and the pictures that it sees, as a sample's row calls them."""

FEWEST_WORDS = 3
"""A text with fewer says nothing."""

TOLERANCE = 1.5
"""A shortened chain may have so many times the words that it was allowed."""

_MARKUP = re.compile(r"<\s*/?\s*[A-Za-z][\w\s]*>")
_REFUSAL = re.compile(
    r"i(['’]?m| am) sorry|sorry[,.]|i apologi[sz]e|as an ai\b"
    r"|i (can['’]?t|cannot|won['’]?t|am unable to|am not able to) "
    r"(help|assist|comply|fulfil|provide|process|analy[sz]e|(see|view) (the |this |any )?images?[.,;])",
    re.IGNORECASE,
)


def words_allowed(total: float) -> int:
    """How many words INFLUENCE, REASONING and CONCLUSION may have together, by the sum of the intensities."""
    return round(30 + 50 * total)


def text_problem(text: str, finish_reason: str | None, refusal: str | None = None) -> str | None:
    """Why the answer to any step is of no use; None where nothing is wrong with it."""
    if refusal or finish_reason == "content_filter" or _REFUSAL.match(text):
        return f"refused: {(refusal or text)[:120]!r}"
    if finish_reason == "length":
        return "cut off at the limit of tokens"
    if len(text.split()) < FEWEST_WORDS:
        return f"says next to nothing: {text!r}"
    return None


def prose_problem(text: str) -> str | None:
    """Why an answer that should be plain text is of no use."""
    found = _MARKUP.search(text)
    return f"contains a tag: {found[0]!r}" if found else None


def chain_problem(text: str, sample: dict, recipe: Recipe, answer: str, words: int) -> str | None:
    """Why a shortened chain is of no use.

    Args:
        text: all that the model wrote; what stands outside of the blocks does not count.
        sample: the row with the truth.
        recipe: what TYPE has to say.
        answer: what ANSWER has to say, or something else that means the same.
        words: what the texts were allowed together.
    """
    chain = parse_chain(text)
    if not chain.complete:
        lacking = [name for name in TAGS if name not in chain.closed]
        return f"not five closed blocks in order; lacking: {', '.join(lacking) or 'none, but an end tag or the order'}"
    if chain.recipe != recipe:
        return f"TYPE says {chain.recipe}, the truth is {recipe}"
    # An option "2" that is not the one of index 2 is no contradiction where indices are asked for.
    if chain.answer != answer and not accuracy(chain.answer, sample["answer"], sample["options"]):
        return f"ANSWER says {chain.answer!r}, the truth is {sample['answer']!r}"
    if not re.search(rf"(?<!\w){re.escape(_plain(sample['answer']))}(?!\w)", _plain(chain.conclusion)):
        return f"CONCLUSION does not name the answer {sample['answer']!r}"
    texts = {"INFLUENCE": chain.influence, "REASONING": chain.reasoning, "CONCLUSION": chain.conclusion}
    for name, block in texts.items():
        if len(block.split()) < FEWEST_WORDS:
            return f"{name} says next to nothing: {block!r}"
        if prose_problem(block):
            return f"{name} {prose_problem(block)}"
    written = sum(len(block.split()) for block in texts.values())
    if written > TOLERANCE * words:
        return f"{written} words where {words} are allowed"
    return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .\"'`*")
