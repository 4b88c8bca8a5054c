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
        (
            "Soft focus takes the edge off {subject}",
            "A slight blur softens fine detail of {subject}",
            "Edges of {subject} are not quite in focus",
        ),
        (
            "Heavy blur melts the outline of {subject}",
            "The blur leaves only large patches of {subject}",
            "Nothing of {subject} is in focus any more",
        ),
        (
            "The large shape survives the blur",
            "Blur keeps colour and proportion, so I go by those",
            "What is blurred is still in its place",
        ),
    ),
    "lens flare": Phrases(
        (
            "A few bright discs cover spots near {subject}",
            "Pale flares wash out small spots",
            "Stray light puts small spots on {subject}",
        ),
        (
            "Many bright discs and streaks cover {subject}",
            "Flares wash out large parts of {subject}",
            "Stray light hides {subject} behind discs and lines",
        ),
        (
            "I look between the flares",
            "The parts without glare fit together",
            "Light that does not belong to the scene can be left out",
        ),
    ),
    "motion blur": Phrases(
        (
            "A short smear softens {subject} along one direction",
            "Slight camera shake doubles the edges",
            "{subject} moved a little in the exposure",
        ),
        (
            "A long smear drags {subject} along one direction",
            "Camera shake wipes out edges across its path",
            "{subject} is drawn out into streaks",
        ),
        (
            "Edges along the motion are still sharp",
            "Undoing the smear in mind gives the shape back",
            "Along the streaks colours stay in order",
        ),
    ),
    "dirty lens": Phrases(
        (
            "Faint specks lie over {subject}",
            "Light dirt dulls the picture a little",
            "Small spots on the glass dim parts of {subject}",
        ),
        (
            "A grey veil of dirt lies over {subject}",
            "Smudges take the contrast out of {subject}",
            "Dirt on the glass hides large parts of {subject}",
        ),
        (
            "The dirt is smooth, so the edges behind it count",
            "Contrast between the smudges is enough",
            "I look for edges that are sharper than the dirt",
        ),
    ),
    "hsv saturation": Phrases(
        (
            "The colours of {subject} are paler than they should be",
            "Colour is a little weak",
            "{subject} looks a little washed out",
        ),
        (
            "Nearly all colour of {subject} is gone",
            "Without colour only brightness tells {subject} apart",
            "{subject} has turned grey",
        ),
        ("Shape does not need colour", "I go by light and shade instead of colour", "The outline is the same in grey"),
    ),
    "jpeg compression": Phrases(
        (
            "Compression leaves faint ringing around {subject}",
            "Small blocks show in flat areas",
            "Fine detail of {subject} is lost to compression",
        ),
        (
            "Coarse blocks break up {subject}",
            "Compression erases texture and smears the colours of {subject}",
            "Only rough squares are left of {subject}",
        ),
        (
            "Over several blocks the outline can be followed",
            "The blocks are small against the whole shape",
            "Seen from far the squares form one shape",
        ),
    ),
    "block exchange": Phrases(
        (
            "A few small blocks are out of place",
            "Some squares near {subject} have swapped places",
            "One or two squares do not belong to {subject}",
        ),
        (
            "Many squares have swapped places and cut up {subject}",
            "Displaced squares tear holes into {subject}",
            "{subject} is cut into squares and mixed",
        ),
        (
            "Most squares are where they belong",
            "I leave out squares that do not fit their surroundings",
            "Put back in order the squares give one outline",
        ),
    ),
    "mean shift": Phrases(
        (
            "Fine texture of {subject} is painted over",
            "Similar colours have run together a little",
            "Small detail of {subject} has run together",
        ),
        (
            "{subject} has collapsed into flat patches",
            "Flat patches replace all texture of {subject}",
            "Only flat colours are left of {subject}",
        ),
        (
            "The borders between the patches follow the outline",
            "Flat patches still carry the shape",
            "Each flat colour stands for one part",
        ),
    ),
    "scan lines": Phrases(
        (
            "Dark bands cross {subject}",
            "Rows of the picture are blacked out",
            "Black rows hide narrow parts of {subject}",
        ),
        (
            "Close dark bands cut {subject} into strips",
            "A large part of the rows is black",
            "Black bands take away much of {subject}",
        ),
        (
            "The strips between the bands line up",
            "I join the rows across the bands",
            "What stands above and below a band continues behind it",
        ),
    ),
    "dark illumination": Phrases(
        (
            "The light is a little low on {subject}",
            "Slight darkness hides detail in the shadows",
            "{subject} is darker than it should be",
        ),
        ("Darkness swallows most of {subject}", "Little light is left on {subject}", "{subject} is nearly black"),
        (
            "Even in the dark the order of bright and dark holds",
            "The brightest parts give the shape away",
            "Faint differences in the dark are enough",
        ),
    ),
    "atmospheric turbulence": Phrases(
        (
            "Straight edges of {subject} wobble slightly",
            "Light waves bend the outline",
            "{subject} is bent a little by the air",
        ),
        (
            "Strong waves tear the outline of {subject} sideways",
            "Waves shift rows of {subject} far apart",
            "{subject} is torn into waves",
        ),
        (
            "The waves move things but keep their parts",
            "Following the waves row by row straightens the shape",
            "Large parts stay next to each other in the waves",
        ),
    ),
    "gaussian noise": Phrases(
        (
            "Fine grain lies over {subject}",
            "A little grain hides the faintest texture",
            "Dots of colour lie over {subject}",
        ),
        (
            "Heavy grain drowns the texture of {subject}",
            "Strong noise breaks up the edges of {subject}",
            "Between the dots little of {subject} can be seen",
        ),
        (
            "Averaged over an area the grain cancels out",
            "Grain does not move large edges",
            "Large shapes are stronger than the dots",
        ),
    ),
    "color diffusion": Phrases(
        (
            "Colours bleed a little past the edges of {subject}",
            "A faint haze dims the picture",
            "{subject} is a little dim and its colours mix",
        ),
        (
            "A dim haze of bled colour lies over {subject}",
            "Colours of {subject} have run into the ground",
            "Colour has run over the edges of {subject}",
        ),
        (
            "The sharper layer under the haze shows the edges",
            "Brightness steps are left where colours mix",
            "Where the colour changes most an edge must be",
        ),
    ),
    "sharpness change": Phrases(
        (
            "Harsh sharpening burns out bright parts of {subject}",
            "Edges are overdrawn and highlights clipped",
            "Edges around {subject} are too hard",
        ),
        (
            "Extreme sharpening turns {subject} into hard outlines",
            "Burnt highlights replace texture on {subject}",
            "Hardly any grey is left between black and white on {subject}",
        ),
        (
            "Overdrawn edges still stand in the right place",
            "The hard outlines even trace the shape",
            "A hard edge is an edge all the same",
        ),
    ),
    "graffiti": Phrases(
        (
            "A few thin strokes run over {subject}",
            "Some scribbled lines cross the picture",
            "Lines that do not belong here touch {subject}",
        ),
        (
            "Thick strokes are scribbled across {subject}",
            "Scribbles and writing cover parts of {subject}",
            "Lines and letters hide much of {subject}",
        ),
        (
            "The strokes are not part of the scene",
            "I follow the surface under the strokes",
            "Behind the lines the colours go on",
        ),
    ),
    "watermark damage": Phrases(
        (
            "Faint smears show where patches were painted over",
            "Patches near {subject} were lightly retouched",
            "A few soft patches lie on {subject}",
        ),
        (
            "Large patches of {subject} were painted over",
            "Smeared rectangles replace parts of {subject}",
            "Soft patches have taken parts of {subject} away",
        ),
        (
            "The parts outside the smeared patches are genuine",
            "What borders the patches tells what was there",
            "Between the soft patches the picture is as it was",
        ),
    ),
}

SUBJECTS = {
    "object": ("the main object", "the object", "what is shown"),
    "garment": ("the garment", "the cloth", "the piece of clothing"),
    "which": ("the scene", "the object asked for", "what stands there"),
    "count": ("the group of things", "each copy", "what is to be counted"),
    "where": ("the place of the object", "the thing asked for", "each corner"),
}
"""Kind of question -> what a degradation can hide from its answer."""

UNHARMED = (
    "Nothing hides {subject}",
    "The picture is clean, so {subject} can be seen as it is",
    "No degradation gets in the way of {subject}",
    "Nothing lies between me and {subject}",
    "{subject} can be seen without any damage",
    "I see no damage on {subject}",
    "The picture shows {subject} as it should be",
    "Light, focus and colour leave {subject} clear",
)

LOOKING = ("", "Here ", "On a closer look, ", "All in all, ", "Going by shape and colour, ")
"""How a sentence of `SEEN` may begin."""

SEEN = {
    "object": (
        "I can see {cue}, as {a_thing} has",
        "I make out {cue}, which fits {a_thing}",
        "with {cue} it looks like {a_thing}",
        "I find {cue}, and that is {a_thing}",
        "what I see is {a_thing} with {cue}",
        "{cue} can be seen, so I think of {a_thing}",
    ),
    "garment": (
        "I can see {cue}, as {thing} would show",
        "with {cue} it looks like {thing}",
        "I make out {cue}, which fits {thing}",
        "I find {cue}, and that is how {thing} is made",
        "what I see is {thing} with {cue}",
        "{cue} can be seen, so I think of {thing}",
    ),
    "which": (
        "at the {place} I can see {a_thing}",
        "{a_thing} stands at the {place}",
        "I find {cue} at the {place}, as {a_thing} has",
        "I make out {a_thing} at the {place}",
        "the {place} shows {cue}, so there is {a_thing}",
    ),
    "count": (
        "over the corners I find {number} of the {thing}",
        "the {thing} with {cue} comes {times}",
        "I count {number} of the {thing}",
        "I find {cue} {times}",
        "corner after corner I count {number}",
    ),
    "where": (
        "the {thing} with {cue} stands at the {place}",
        "I find {cue} at the {place}, which is the {thing}",
        "of the corners the {place} holds the {thing}",
        "I make out the {thing} at the {place}",
        "it is the {place} that shows {cue}",
    ),
}

OTHERS = (
    "Beside it there is {others}",
    "{others} can be seen too, but that is not asked for",
    "There is {others} as well",
)

AGAINST = (
    "Nothing here speaks for {wrong}",
    "For {wrong} I would expect {other_cue}",
    "It is not {wrong}",
    "I do not see {other_cue}, so it is not {wrong}",
)

CONCLUSION = (
    "{because} the answer is {answer}",
    "{because} I answer {answer}",
    "{because} it must be {answer}",
    "{because} my answer is {answer}",
    "{because} {answer} is right",
    "{because} that makes it {answer}",
)

BECAUSE = {
    "none": (
        "As the picture is clean,",
        "With a clear view,",
        "As nothing is hidden,",
        "In a clean picture like this",
        "Since all of it can be seen,",
    ),
    "mild": (
        "Despite slight {worst},",
        "As the {worst} is mild,",
        "With only a little {worst},",
        "The {worst} hides little, so",
    ),
    "strong": (
        "Although {worst} hides much,",
        "Even through strong {worst},",
        "For all the {worst},",
        "With what {worst} has left,",
    ),
}
