"""From pictures to questions with known answers.

Three families: the main object of a natural photo, the garment of a garment photo, and scenes composed of cut-outs on a
background (which thing is there, how many, where). Everything is drawn from the generator that is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from training.corpus import Picture, Thing

NUMBERS = ("one", "two", "three", "four")
PLACES = ("top left", "top right", "bottom left", "bottom right")
OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """A clean picture with a question whose answer is known.

    Attributes:
        image: RGB, fitted inside the working resolution.
        kind: key of `KINDS`.
        text: the question without its options.
        options: what to choose from; empty for a question that is answered in words.
        answer: what is right, in words.
        thing: what the question is about.
        others: further things that the scene shows.
        place: where the thing is, "" where that is not known.
        count: how many of it there are.
        source: name of the photo's source.
    """

    image: Image.Image
    kind: str
    text: str
    options: tuple[str, ...]
    answer: str
    thing: Thing
    source: str
    others: tuple[str, ...] = ()
    place: str = ""
    count: int = 1
    paths: tuple[str, ...] = ()

    @property
    def answer_index(self) -> int | None:
        return self.options.index(self.answer) if self.options else None


class QuestionMaker:
    """Draws questions from a list of pictures.

    Args:
        pictures: what to ask about, of one split.
        size: width and height of the box that every picture is fitted inside, in pixels.
        open_share: share of object and garment questions that are asked without options.
        still: take photos whole instead of random sections of them (for validation).
    """

    def __init__(self, pictures: list[Picture], size: int = 224, open_share: float = 0.0, still: bool = False):
        photos = [p for p in pictures if not p.cutout]
        self.size, self.open_share, self.still = size, open_share, still
        self.backgrounds = [p for p in photos if p.thing is None or p.thing.group == "object"]
        self.photos = {
            group: _by_name(p for p in photos if p.thing and p.thing.group == group) for group in ("object", "garment")
        }
        self.cutouts = _by_name(p for p in pictures if p.cutout and p.thing)
        self.names = {
            group: sorted(set(photos) | (set(self.cutouts) if group == "object" else set()))
            for group, photos in self.photos.items()
        }
        self.kinds = [kind for kind in KINDS if self._can_ask(kind)]
        if not self.kinds:
            raise ValueError(
                "no question can be asked: that takes photos of at least two labels of training/everyday.json, "
                "or cut-outs of at least two and a photo as background"
            )

    def _can_ask(self, kind: str) -> bool:
        if kind in self.photos:
            return len(self.photos[kind]) >= 2
        return len(self.cutouts) >= 2 and len(self.backgrounds) > 0

    def draw(self, rng: np.random.Generator, kind: str | None = None) -> Question:
        """Draw a question; of any kind, weighted by `KINDS`, or of the given one."""
        if kind is None:
            weights = np.array([KINDS[k][0] for k in self.kinds])
            kind = self.kinds[rng.choice(len(self.kinds), p=weights / weights.sum())]
        return KINDS[kind][1](self, rng)

    def about_photo(self, rng: np.random.Generator, group: str) -> Question:
        picture = self._pick(rng, self.photos[group])
        image = self._section(rng, picture.load())
        return self.ask_about(rng, picture, image)

    def ask_about(self, rng: np.random.Generator, picture: Picture, image: Image.Image) -> Question:
        """What the given labelled photo shows."""
        group = picture.thing.group
        name = picture.thing.name
        text = _one_of(rng, WORDING[group])
        if rng.random() < self.open_share:
            options = ()
        else:
            options = options_with(rng, name, [n for n in self.names[group] if n not in picture.thing.right])
        return Question(image, group, text, options, name, picture.thing, picture.source, paths=(str(picture.path),))

    def scene_which(self, rng: np.random.Generator) -> Question:
        things = self._cutouts(rng, int(rng.integers(1, 4)))
        image, background, places = self._compose(rng, things)
        shown = set().union(*(p.thing.right for p in (*things, background) if p.thing))
        target = things[0].thing
        options = options_with(rng, target.name, [n for n in self.names["object"] if n not in shown])
        return self._scene("which", rng, image, background, options, target.name, things, places)

    def scene_count(self, rng: np.random.Generator) -> Question:
        count = int(rng.integers(1, len(NUMBERS) + 1))
        (one,) = self._cutouts(rng, 1)
        image, background, places = self._compose(rng, [one] * count, avoid=one.thing.name)
        question = self._scene("count", rng, image, background, NUMBERS, NUMBERS[count - 1], [one], places[:1])
        return replace(question, count=count, place="")

    def scene_where(self, rng: np.random.Generator) -> Question:
        things = self._cutouts(rng, int(rng.integers(1, 3)))
        image, background, places = self._compose(rng, things, avoid=things[0].thing.name)
        return self._scene("where", rng, image, background, PLACES, PLACES[places[0]], things, places)

    def _scene(self, kind, rng, image, background, options, answer, things, places) -> Question:
        thing = things[0].thing
        return Question(
            image,
            kind,
            _one_of(rng, WORDING[kind]).format(thing=thing.name),
            tuple(options),
            answer,
            thing,
            "composed scenes",
            others=tuple(p.thing.name for p in things[1:]),
            place=PLACES[places[0]],
            paths=(str(background.path), *(str(p.path) for p in things)),
        )

    def _pick(self, rng: np.random.Generator, by_name: dict[str, list[Picture]]) -> Picture:
        """Frequent names come more often, but not in proportion: there are 118 breeds of dogs and two elephants."""
        weights = np.sqrt([len(pictures) for pictures in by_name.values()])
        name = list(by_name)[rng.choice(len(by_name), p=weights / weights.sum())]
        return by_name[name][rng.integers(len(by_name[name]))]

    def _section(self, rng: np.random.Generator, image: Image.Image) -> Image.Image:
        """The photo fitted inside the box, unless `still` a random section of it, mirrored half the time."""
        if not self.still:
            share = rng.uniform(0.7, 1.0, 2)
            width, height = (np.array(image.size) * share).astype(int)
            left = int(rng.integers(image.width - width + 1))
            top = int(rng.integers(image.height - height + 1))
            image = image.crop((left, top, left + int(width), top + int(height)))
            if rng.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return fit_inside(image, self.size)

    def _cutouts(self, rng: np.random.Generator, count: int) -> list[Picture]:
        """Cut-outs of different things."""
        names = rng.choice(list(self.cutouts), size=min(count, len(self.cutouts)), replace=False)
        return [self.cutouts[str(name)][rng.integers(len(self.cutouts[str(name)]))] for name in names]

    def _compose(self, rng: np.random.Generator, things: list[Picture], avoid: str = ""):
        """Paste cut-outs onto a background, one a quadrant; returns the image, the background and the quadrants."""
        backgrounds = [p for p in self.backgrounds if p.thing is None or p.thing.name != avoid] or self.backgrounds
        background = backgrounds[rng.integers(len(backgrounds))]
        image = self._section(rng, background.load())
        places = [int(p) for p in rng.permutation(len(PLACES))[: len(things)]]
        cell = np.array(image.size) / 2
        for thing, place in zip(things, places, strict=True):
            cutout = thing.load()
            scale = min(cell / cutout.size) * rng.uniform(0.7, 1.0)
            cutout = cutout.resize([max(1, int(side * scale)) for side in cutout.size], Image.Resampling.LANCZOS)
            if rng.random() < 0.5:
                cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            free = cell - cutout.size
            corner = cell * (place % 2, place // 2) + free * rng.random(2)
            image.paste(cutout, tuple(int(c) for c in corner), cutout)
        return image, background, places


WORDING = {
    "object": (
        "What is the main object?",
        "What is the main object in this photo?",
        "What is the main subject of the picture?",
        "What does this photo show?",
        "What is shown in this image?",
        "Which object is in the picture?",
        "What is in the foreground?",
        "What is this?",
        "What can you see here?",
        "What is this a picture of?",
    ),
    "garment": (
        "Which garment is shown?",
        "What piece of clothing is this?",
        "What kind of clothes are these?",
        "What item of clothing does this photo show?",
    ),
    "which": (
        "Which of these is in the picture?",
        "Which of these things can be seen?",
        "Which object appears in this image?",
        "Which of the following is in this photo?",
    ),
    "count": (
        "How many times does the {thing} appear?",
        "How many of the {thing} are there?",
        "How often can you see the {thing}?",
    ),
    "where": (
        "Where is the {thing}?",
        "In which corner is the {thing}?",
        "In which part of the picture is the {thing}?",
    ),
}

KINDS: dict[str, tuple[float, Callable[[QuestionMaker, np.random.Generator], Question]]] = {
    "object": (0.44, lambda maker, rng: maker.about_photo(rng, "object")),
    "garment": (0.18, lambda maker, rng: maker.about_photo(rng, "garment")),
    "which": (0.14, QuestionMaker.scene_which),
    "count": (0.12, QuestionMaker.scene_count),
    "where": (0.12, QuestionMaker.scene_where),
}
"""Kind -> (share among the samples, how one is drawn)."""


def fit_inside(image: Image.Image, size: int) -> Image.Image:
    """Scale a picture so that its longer side is `size` pixels; one of that size comes back unchanged."""
    scale = size / max(image.size)
    if scale == 1:
        return image
    return image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)


def _by_name(pictures) -> dict[str, list[Picture]]:
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.thing.name, []).append(picture)
    return dict(sorted(groups.items()))


def options_with(rng: np.random.Generator, right: str, wrong: list[str]) -> tuple[str, ...]:
    """The right option among some of the wrong ones, in any order."""
    chosen = [right, *rng.choice(wrong, size=min(OPTIONS - 1, len(wrong)), replace=False)]
    return tuple(str(name) for name in rng.permutation(chosen))


def _one_of(rng: np.random.Generator, texts: tuple[str, ...]) -> str:
    return texts[rng.integers(len(texts))]
