"""What the chain writer says: about each degradation at three strengths, about each kind of question.

`{subject}` is what the question is about, or "it" where that was just named. Sentences come without their full stop.
Adding a degradation means adding one entry to `PHRASES`; a test holds its keys against the registry.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Ways to speak of one degradation.

    Attributes:
        noun: what a conclusion calls it; singular or plural.
        mild: what it does to the picture below `CLEAR`.
        clear: the same from `CLEAR` on.
        heavy: the same from `HEAVY` on.
        remedy: how one reasons around it.
    """

    noun: str
    mild: tuple[str, ...]
    clear: tuple[str, ...]
    heavy: tuple[str, ...]
    remedy: tuple[str, ...]


CLEAR, HEAVY = 0.35, 0.7
"""From these intensities on a degradation is plain to see, and hides a lot; read off the contact sheet."""


def strength(intensity: float) -> str:
    """Which of the attributes of `Phrases` speaks of an intensity."""
    return "mild" if intensity < CLEAR else "clear" if intensity < HEAVY else "heavy"


PHRASES = {
    "lens blur": Phrases(
        "the blur",
        ("{subject} is slightly out of focus", "A slight blur lies over {subject}"),
        ("{subject} is clearly out of focus", "The blur rounds off all edges"),
        ("The outline melts in heavy blur", "Heavy blur leaves only large patches of {subject}"),
        ("The large shape survives the blur", "Colour and proportion survive the blur"),
    ),
    "lens flare": Phrases(
        "the flare",
        ("A few pale discs lie over {subject}", "Stray light puts a few pale spots on {subject}"),
        ("Bright discs and streaks cover parts of {subject}", "The flare washes out parts of {subject}"),
        ("Glaring discs and streaks hide most of {subject}", "Much of {subject} is lost in the glare"),
        ("I look between the discs", "The parts without glare fit together"),
    ),
    "motion blur": Phrases(
        "the smear",
        ("{subject} is slightly smeared along one direction", "A short smear softens the edges"),
        ("{subject} is clearly smeared along one direction", "A smear doubles the edges across its path"),
        ("{subject} is drawn out into streaks", "A long smear wipes out the edges across its path"),
        ("Edges along the smear are still sharp", "Along the smear colours keep their order"),
    ),
    "dirty lens": Phrases(
        "the dirt",
        ("Faint specks of dirt lie over {subject}", "A little dirt dulls {subject}"),
        ("Dirt on the lens dims parts of {subject}", "Specks of dirt take contrast from {subject}"),
        ("A dark veil of dirt lies over {subject}", "Dirt on the lens hides large parts of {subject}"),
        ("The edges behind the dirt are sharper than the dirt", "Between the specks there is contrast enough"),
    ),
    "hsv saturation": Phrases(
        "the lost colour",
        ("{subject} is slightly pale", "The colours are a little weak"),
        ("{subject} has lost much of its colour", "The colours are clearly weak"),
        ("{subject} is nearly grey", "Almost no colour is left on {subject}"),
        ("The shape does not need colour", "I go by light and shade"),
    ),
    "jpeg compression": Phrases(
        "the compression",
        ("Faint marks of compression lie around {subject}", "Compression takes the finest detail"),
        ("Small blocks show on {subject}", "Compression erases fine texture"),
        ("Coarse blocks break up {subject}", "Compression leaves only rough blocks of {subject}"),
        ("The blocks are small against the whole shape", "Across the blocks the outline goes on"),
    ),
    "block exchange": Phrases(
        "the swapped squares",
        ("A few small squares are out of place", "A few squares of {subject} are swapped"),
        ("Many squares are out of place", "Swapped squares tear holes into {subject}"),
        ("{subject} is cut into squares and mixed", "Large swapped squares break up {subject}"),
        ("Each square is still whole inside", "I leave out squares that do not fit"),
    ),
    "mean shift": Phrases(
        "the flat patches",
        ("Fine texture is painted over", "Similar colours run together a little"),
        ("Flat patches lie over {subject}", "Texture has run together into flat patches"),
        ("{subject} is reduced to flat patches", "Only large flat patches are left of {subject}"),
        ("The borders of the flat patches follow the outline", "Flat patches still carry the shape"),
    ),
    "scan lines": Phrases(
        "the dark bands",
        ("A few dark bands cross {subject}", "A few thin rows are black"),
        ("Dark bands cut across {subject}", "Many rows are black"),
        ("Close dark bands cut {subject} into strips", "Black rows take away much of {subject}"),
        ("The strips between the bands line up", "I join the rows across the bands"),
    ),
    "dark illumination": Phrases(
        "the darkness",
        ("{subject} is slightly dark", "The light is a little low"),
        ("{subject} is clearly dark", "Shadows hide parts of {subject}"),
        ("{subject} is nearly black", "Darkness swallows most of {subject}"),
        ("The brightest parts give the shape away", "Faint differences in the dark are enough"),
    ),
    "atmospheric turbulence": Phrases(
        "the waves",
        ("{subject} is slightly bent by waves", "Weak waves bend the edges"),
        ("{subject} is clearly bent by waves", "Waves bend the outline out of shape"),
        ("{subject} is torn out of shape by waves", "Strong waves pull the outline apart"),
        ("The waves keep neighbouring parts together", "I follow the outline through the waves"),
    ),
    "gaussian noise": Phrases(
        "the grain",
        ("Fine grain lies over {subject}", "A little grain hides the faintest texture"),
        ("Grain hides fine texture", "Dots of colour lie over {subject}"),
        ("Heavy grain drowns {subject}", "Heavy grain breaks up all edges"),
        ("Large shapes are stronger than the grain", "Over an area the grain cancels out"),
    ),
    "color diffusion": Phrases(
        "the haze",
        ("A faint haze dims {subject}", "Colours bleed a little"),
        ("A dim haze lies over {subject}", "Colours bleed past the edges"),
        ("A dim haze of bled colour hides {subject}", "All colours run into one haze"),
        ("Steps of brightness are left in the haze", "Where the colour changes most an edge must be"),
    ),
    "sharpness change": Phrases(
        "the hard edges",
        ("Edges are a little too hard", "Bright parts of {subject} are slightly burnt"),
        ("Edges are overdrawn", "Bright parts of {subject} are burnt out"),
        ("Burnt light and hard edges cover {subject}", "{subject} is burnt into hard edges"),
        ("The hard edges still stand in the right place", "The hard edges trace the shape"),
    ),
    "graffiti": Phrases(
        "the strokes",
        ("A few thin strokes cross {subject}", "Thin strokes touch {subject}"),
        ("Strokes cross {subject}", "Scribbled lines run over {subject}"),
        ("Thick strokes and letters cover parts of {subject}", "Thick strokes hide much of {subject}"),
        ("The strokes are not part of the scene", "Behind the strokes the colours go on"),
    ),
    "watermark damage": Phrases(
        "the painted patches",
        ("A few faint patches are painted over", "Faint painted patches lie on {subject}"),
        ("Painted patches cover parts of {subject}", "Parts of {subject} are painted over"),
        ("Large painted patches replace parts of {subject}", "Large parts of {subject} are painted over"),
        ("The parts outside the painted patches are genuine", "The borders of the painted patches tell what was there"),
    ),
}

SUBJECTS = {
    "object": ("the main object", "the object"),
    "garment": ("the garment", "the piece of clothing"),
    "which": ("the scene", "the picture"),
    "count": ("the scene", "the picture"),
    "where": ("the scene", "the picture"),
    "other": ("the scene", "the picture"),
}
"""Kind of question -> what a degradation lies over."""

UNHARMED = (
    "Nothing hides {subject}",
    "No degradation hides {subject}",
    "I see no damage on {subject}",
    "{subject} is clear",
    "{subject} can be seen clearly",
)

LEFT = {
    "object": ("The shape is still clear", "The object can still be recognised"),
    "garment": ("The cut is still clear", "The garment can still be recognised"),
    "which": ("Single things are still clear", "Each thing can still be recognised"),
    "count": ("Each copy is still clear", "The copies can still be counted"),
    "where": ("The corners are still clear", "The place can still be recognised"),
    "other": ("What is asked for is still clear", "What is asked for can still be recognised"),
}
"""Kind of question -> what a picture that has suffered little leaves of its answer."""

HIDDEN = {
    "object": ("The shape is hard to make out", "The object must be pieced together"),
    "garment": ("The cut is hard to make out", "Seams and hems are hard to find"),
    "which": ("Single things are hard to make out", "One thing is easily taken for another"),
    "count": ("Single copies are hard to make out", "A copy is easily missed"),
    "where": ("The corners are hard to tell apart", "The place is hard to make out"),
    "other": ("What is asked for is hard to make out", "What is asked for is easily missed"),
}
"""The same of one that has suffered much."""

MUCH = 1.0
"""From this total intensity on a picture has suffered much; so it has where one degradation is heavy."""

LOOKING = ("", "here, ")
"""How a sentence of `SEEN` may begin."""

LOOKING_HARD = ("all in all, ", "even so, ", "still, ")
"""The same after much has been reasoned around."""

_SHOWN = (
    "I see {a_thing}, by {cue}",
    "I find {a_thing} with {cue}",
    "I make out {a_thing}: {cue}",
    "it looks like {a_thing}, with {cue}",
    "this fits {a_thing}: {cue}",
)

SEEN = {
    "object": _SHOWN,
    "garment": _SHOWN,
    "which": (
        "I see {a_thing} at the {place}: {cue}",
        "I find {a_thing} at the {place}, by {cue}",
        "I make out {a_thing} at the {place}: {cue}",
        "there is {a_thing} at the {place}, with {cue}",
        "it looks like {a_thing} at the {place}: {cue}",
    ),
    "count": (
        "I see {number}: {cue} {times}",
        "I find {number}, with {cue} {times}",
        "I make out {number}: {cue} {times}",
        "over the corners I count {number}, by {cue}",
        "corner after corner I count {number} with {cue}",
    ),
    "where": (
        "I see the {thing} at the {place}: {cue}",
        "I find the {thing} at the {place}, by {cue}",
        "the {place} shows the {thing}: {cue}",
        "of the corners the {place} shows the {thing}, with {cue}",
        "at the {place} I make out the {thing}: {cue}",
    ),
    "other": (
        'what I see fits "{answer}"',
        'what can be seen speaks for "{answer}"',
        'I look for what is asked and find "{answer}"',
        'the picture speaks for "{answer}"',
        'I make out what fits "{answer}"',
    ),
}
"""Kind of question -> the evidence; clauses that begin small.

The name comes before the cue: a model that names what it sees need not have found words for how it looks before.
"""

OTHERS = ("I see {others} as well", "Beside it I find {others}")

AGAINST = (
    "I do not see {other_cue}, so it is not {a_wrong}",
    "For {a_wrong} I would expect {other_cue}",
    "Nothing here speaks for {a_wrong}",
)
"""Why not another option, whose cue is known."""

AGAINST_UNKNOWN = ('Nothing here speaks for "{wrong}"', 'What I see does not fit "{wrong}"')
"""The same where it is not."""

CHECK = {
    "object": ("Nothing in the picture speaks against it", "A second look shows the same"),
    "garment": ("Nothing in the picture speaks against it", "A second look shows the same"),
    "which": ("Nothing else in the scene fits", "A second look shows the same"),
    "count": ("A second count gives the same", "I find no more of them"),
    "where": ("No other corner fits", "The other corners show nothing like it"),
    "other": ("Nothing in the picture speaks against it", "A second look shows the same"),
}
"""Kind of question -> the answer looked at once more."""

DESPITE = {
    "mild": ("despite {worst}, ", "in spite of {worst}, "),
    "clear": ("despite {worst}, ", "through {worst}, "),
    "heavy": ("even through {worst}, ", "for all {worst}, "),
}
"""Strength of the strongest degradation -> how a conclusion may begin."""

CLEAN = ("", "in this clean picture, ", "with a clear view, ")
"""The same where there is none."""

_IT_IS = ("the answer is {a_answer}", "it is {a_answer}", "this is {a_answer}")
_IT_MUST_BE = ("the answer is {answer}", "it must be {answer}", "I answer {answer}")

CONCLUSION = {
    "object": _IT_IS,
    "garment": _IT_IS,
    "which": ("the answer is {a_answer}", "it is {a_answer}", "there is {a_answer}"),
    "count": _IT_MUST_BE,
    "where": _IT_MUST_BE,
    "other": ('the answer is "{answer}"', 'I answer "{answer}"', 'my answer is "{answer}"'),
}
"""Kind of question -> the answer; clauses that begin small."""
