"""What the chain writer says about each degradation: what it hides and what is left to go by.

`{subject}` is what the question needs: the shape of a thing, the number of things, their places. Adding a degradation
means adding one entry here; a test holds the keys against the registry.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Ways to speak of one degradation.

    Attributes:
        mild, strong: what it does to the picture below and from `STRONG` on; sentences without their full stop.
        remedy: how one reasons around it; sentences without their full stop.
    """

    mild: tuple[str, ...]
    strong: tuple[str, ...]
    remedy: tuple[str, ...]


STRONG = 0.5
"""From this intensity on a degradation counts as strong."""

PHRASES = {
    "lens blur": Phrases(
        ("Soft focus takes the edge off {subject}", "A slight blur softens fine detail of {subject}"),
        ("Heavy blur melts the outline of {subject}", "The blur leaves only large patches of {subject}"),
        ("The large shape survives the blur", "Blur keeps colour and proportion, so I go by those"),
    ),
    "lens flare": Phrases(
        ("A few bright discs cover spots near {subject}", "Pale flares wash out small spots"),
        ("Many bright discs and streaks cover {subject}", "Flares wash out large parts of {subject}"),
        ("I look between the flares", "The parts without glare fit together"),
    ),
    "motion blur": Phrases(
        ("A short smear softens {subject} along one direction", "Slight camera shake doubles the edges"),
        ("A long smear drags {subject} along one direction", "Camera shake wipes out edges across its path"),
        ("Edges along the motion are still sharp", "Undoing the smear in mind gives the shape back"),
    ),
    "dirty lens": Phrases(
        ("Faint specks lie over {subject}", "Light dirt dulls the picture a little"),
        ("A grey veil of dirt lies over {subject}", "Smudges take the contrast out of {subject}"),
        ("The dirt is smooth, so the edges behind it count", "Contrast between the smudges is enough"),
    ),
    "hsv saturation": Phrases(
        ("The colours of {subject} are paler than they should be", "Colour is a little weak"),
        ("Nearly all colour of {subject} is gone", "Without colour only brightness tells {subject} apart"),
        ("Shape does not need colour", "I go by light and shade instead of colour"),
    ),
    "jpeg compression": Phrases(
        ("Compression leaves faint ringing around {subject}", "Small blocks show in flat areas"),
        ("Coarse blocks break up {subject}", "Compression erases texture and smears the colours of {subject}"),
        ("Over several blocks the outline can be followed", "The blocks are small against the whole shape"),
    ),
    "block exchange": Phrases(
        ("A few small blocks are out of place", "Some squares near {subject} have swapped places"),
        ("Many squares have swapped places and cut up {subject}", "Displaced squares tear holes into {subject}"),
        ("Most squares are where they belong", "I leave out squares that do not fit their surroundings"),
    ),
    "mean shift": Phrases(
        ("Fine texture of {subject} is painted over", "Similar colours have run together a little"),
        ("{subject} has collapsed into flat patches", "Flat patches replace all texture of {subject}"),
        ("The borders between the patches follow the outline", "Flat patches still carry the shape"),
    ),
    "scan lines": Phrases(
        ("Dark bands cross {subject}", "Rows of the picture are blacked out"),
        ("Close dark bands cut {subject} into strips", "A large part of the rows is black"),
        ("The strips between the bands line up", "I join the rows across the bands"),
    ),
    "dark illumination": Phrases(
        ("The light is a little low on {subject}", "Slight darkness hides detail in the shadows"),
        ("Darkness swallows most of {subject}", "Little light is left on {subject}"),
        ("Even in the dark the order of bright and dark holds", "The brightest parts give the shape away"),
    ),
    "atmospheric turbulence": Phrases(
        ("Straight edges of {subject} wobble slightly", "Light waves bend the outline"),
        ("Strong waves tear the outline of {subject} sideways", "Waves shift rows of {subject} far apart"),
        ("The waves move things but keep their parts", "Following the waves row by row straightens the shape"),
    ),
    "gaussian noise": Phrases(
        ("Fine grain lies over {subject}", "A little grain hides the faintest texture"),
        ("Heavy grain drowns the texture of {subject}", "Strong noise breaks up the edges of {subject}"),
        ("Averaged over an area the grain cancels out", "Grain does not move large edges"),
    ),
    "color diffusion": Phrases(
        ("Colours bleed a little past the edges of {subject}", "A faint haze dims the picture"),
        ("A dim haze of bled colour lies over {subject}", "Colours of {subject} have run into the ground"),
        ("The sharper layer under the haze shows the edges", "Brightness steps are left where colours mix"),
    ),
    "sharpness change": Phrases(
        ("Harsh sharpening burns out bright parts of {subject}", "Edges are overdrawn and highlights clipped"),
        ("Extreme sharpening turns {subject} into hard outlines", "Burnt highlights replace texture on {subject}"),
        ("Overdrawn edges still stand in the right place", "The hard outlines even trace the shape"),
    ),
    "graffiti": Phrases(
        ("A few thin strokes run over {subject}", "Some scribbled lines cross the picture"),
        ("Thick strokes are scribbled across {subject}", "Scribbles and writing cover parts of {subject}"),
        ("The strokes are not part of the scene", "I follow the surface under the strokes"),
    ),
    "watermark damage": Phrases(
        ("Faint smears show where patches were painted over", "Patches near {subject} were lightly retouched"),
        ("Large patches of {subject} were painted over", "Smeared rectangles replace parts of {subject}"),
        ("The parts outside the smeared patches are genuine", "What borders the patches tells what was there"),
    ),
}

SUBJECTS = {
    "object": ("the main object", "the object", "what is shown"),
    "garment": ("the garment", "the cloth", "the piece of clothing"),
    "which": ("the things in the scene", "the object asked for"),
    "count": ("the things to be counted", "each copy"),
    "where": ("the object and its place", "the thing asked for"),
}
"""Kind of question -> what a degradation can hide from its answer."""

UNHARMED = (
    "Nothing hides {subject}",
    "The picture is clean, so {subject} can be seen as it is",
    "No degradation gets in the way of {subject}",
)

SEEN = {
    "object": (
        "I can see {cue}, as {a_thing} has",
        "I make out {cue}, which fits {a_thing}",
        "With {cue} it looks like {a_thing}",
    ),
    "garment": (
        "I can see {cue}, as {thing} would show",
        "With {cue} it looks like {thing}",
        "I make out {cue}, which fits {thing}",
    ),
    "which": (
        "At the {place} I can see {a_thing}",
        "{A_thing} stands at the {place}",
        "I find {cue} at the {place}, as {a_thing} has",
    ),
    "count": (
        "Going over the corners I find {number} of the {thing}",
        "The {thing} with {cue} comes {times}",
        "I count {number} of the {thing}",
    ),
    "where": (
        "The {thing} with {cue} stands at the {place}",
        "I find {cue} at the {place}, which is the {thing}",
        "Of the corners the {place} holds the {thing}",
    ),
}

OTHERS = ("Beside it there is {others}", "{others} can be seen too, but that is not asked for")

AGAINST = ("Nothing here speaks for {wrong}", "For {wrong} I would expect {other_cue}", "It is not {wrong}")

CONCLUSION = (
    "{because} the answer is {answer}",
    "{because} I answer {answer}",
    "{because} it must be {answer}",
)

BECAUSE = {
    "none": ("As the picture is clean,", "With a clear view,"),
    "mild": ("Despite slight {worst},", "As the {worst} is mild,"),
    "strong": ("Although {worst} hides much,", "Even through strong {worst},"),
}
