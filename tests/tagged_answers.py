"""Synthetic answers with tags, as models write them: every sloppy variant, with its truth written by hand.

Each answer is a form (how the blocks are written) around a TYPE text and an ANSWER text. What each of the three means
is stated beside it; nothing here is computed by the code that is tested.
"""

from dataclasses import dataclass
from itertools import cycle

OPTIONS = ["a hat", "Cat", "dog", "fire truck"]
LETTERS = "ABCD"

ANSWERS = [
    ("0", 0),
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("1.", 1),
    ("(2)", 2),
    ("3. fire truck", 3),
    ("2: dog", 2),
    ("A", 0),
    ("d", 3),
    ("B.", 1),
    ("(C)", 2),
    ("Option D", 3),
    ("Answer: C", 2),
    ("cat", 1),
    ("Dog.", 2),
    ("**fire truck**", 3),
    ("It is a dog.", 2),
    ("The answer is 1", 1),
    ("a bird", None),
    ("", None),
    ("4", None),
    ("either the dog or the cat", None),
]
"""What stands in ANSWER -> the index of the option that it means, None where it means none."""

TYPES = [
    ("lens blur(0.31), gaussian noise(0.5)", {"lens blur": 0.31, "gaussian noise": 0.5}),
    ("lens blur (0.31)", {"lens blur": 0.31}),
    ("Lens_Blur(0.31), Jpeg Compression(0.70)", {"lens blur": 0.31, "jpeg compression": 0.7}),
    ("none", {}),
    ("none(0.0)", {}),
    ("", {}),
    ("graffiti(0.2), graffiti(0.9)", {"graffiti": 0.2}),
    ("sunshine(0.4), scan lines(.5)", {"scan lines": 0.5}),
    ("dark illumination(1.7), motion blur(1.0)", {"motion blur": 1.0}),
    ("dirty lens(0.5", {}),
    ("overall(0.9), hsv saturation( 0.25 )", {"hsv saturation": 0.25}),
]
"""What stands in TYPE -> the degradations that it names. None of these is a name without an intensity."""

MIDDLE = (
    "<INFLUENCE>A blur hides the edges.<INFLUENCE_END>\n<REASONING>A tail, so a pet. D is not likely.<REASONING_END>\n"
)
END = "<CONCLUSION>So it is what stands below.<CONCLUSION_END>\n"


@dataclass(frozen=True)
class Form:
    """One way to write the blocks.

    Attributes:
        template: with @types and @answer for what stands in the two blocks.
        complete: whether all five blocks are closed by their own tags, in order.
        types, answer: whether the two blocks can be read.
    """

    template: str
    complete: bool = False
    types: bool = True
    answer: bool = True


FORMS = [
    Form(f"<TYPE>@types<TYPE_END>\n{MIDDLE}{END}<ANSWER>@answer<ANSWER_END>", complete=True),
    Form(f"<TYPE> @types <TYPE_END>{MIDDLE}{END}<ANSWER>\n@answer\n<ANSWER_END>", complete=True),
    Form(
        f"Let me look.\n<TYPE>@types<TYPE_END>\nand\n{MIDDLE}well,\n{END}<ANSWER>@answer<ANSWER_END> Done.",
        complete=True,
    ),
    Form(f"<type>@types<type_end>\n{MIDDLE}{END}<answer>@answer<answer_end>", complete=True),
    Form(f"<TYPE>@types</TYPE>\n{MIDDLE}{END}<ANSWER>@answer</ANSWER>", complete=True),
    Form(f"< TYPE >@types< TYPE_END >\n{MIDDLE}{END}<ANSWER>@answer<ANSWER _END>", complete=True),
    Form(f"<TYPE>@types<TYPE_END>\n{MIDDLE}{END}<ANSWER>@answer"),
    Form(f"<TYPE>@types\n{MIDDLE}{END}<ANSWER>@answer<ANSWER_END>"),
    Form("<TYPE>@types<TYPE_END>\n<ANSWER>@answer<ANSWER_END>"),
    Form(f"<ANSWER>@answer<ANSWER_END>\n<TYPE>@types<TYPE_END>\n{MIDDLE}{END}"),
    Form(f"<TYPE>@types<TYPE_END>\n{MIDDLE}{END}", answer=False),
    Form(f"{MIDDLE}{END}<ANSWER>@answer<ANSWER_END>", types=False),
]
"""The last but one is cut off before its answer; the last one begins without its types."""


@dataclass(frozen=True)
class Tagged:
    """A whole answer and its truth: the option's index, the degradations, whether the chain is complete."""

    text: str
    index: int | None
    types: dict[str, float]
    complete: bool


def tagged_answers() -> list[Tagged]:
    """All forms with all answers, the TYPE texts in turn: 276."""
    kinds, result = cycle(TYPES), []
    for form in FORMS:
        for answer, index in ANSWERS:
            written, types = next(kinds)
            text = form.template.replace("@types", written).replace("@answer", answer)
            result.append(Tagged(text, index if form.answer else None, types if form.types else {}, form.complete))
    return result
