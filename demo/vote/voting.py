"""A pair of answers asked for, shown without names, voted on, revealed: what page and endpoints have in common."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder

from degradations import Recipe
from demo import photos, settings
from demo.api import Workbench, check_generation, check_question
from demo.chain import parse_options, question_with_options
from demo.examples import Example, example_of, known_answer
from demo.recovery.run import events as events_of
from demo.replies import RECOVERED, Reply
from demo.share import links
from demo.store.database import Store
from demo.texts import Text
from demo.vote.ballots import Ballot, Ballots, item_of, shown
from demo.vote.box import Box, DoubleVoteError


@dataclass(frozen=True)
class Question:
    """What the models are to be asked.

    Attributes:
        photo: its file.
        whole: the question with its options.
        numbers: seed, temperature and most new tokens, checked.
    """

    photo: Path
    whole: str
    recipe: Recipe
    numbers: tuple[int, float, int]


class Voting:
    """Votes on the models of one page; each is on two of their sides."""

    def __init__(self, bench: Workbench, examples: Sequence[Example], store: Store):
        self.bench, self.examples = bench, examples
        self.box, self.ballots = Box(store), Ballots()
        self.cache = Path(get_upload_folder()) / "votes"

    def drawn(self) -> Question:
        """An example under degradations that are drawn.

        Raises:
            ValueError: there are no examples.
        """
        if not self.examples:
            raise ValueError(Text("vote.no-examples"))
        rng = np.random.default_rng()
        example = self.examples[rng.integers(len(self.examples))]
        recipe = Recipe.sample(rng, count=settings.SHUFFLED_TYPES)
        numbers = int(rng.integers(settings.MAX_SEED)), settings.TEMPERATURE, self.bench.pair.max_new_tokens
        return Question(example.image, question_with_options(example.question, list(example.options)), recipe, numbers)

    def question(
        self, photo: Path, whole: str, recipe: Recipe, seed: object, temperature: object, max_new_tokens: object
    ) -> Question:
        """What a visitor asks.

        Raises:
            ValueError: something that cannot be asked.
        """
        return Question(photo, check_question(whole), recipe, check_generation(seed, temperature, max_new_tokens))

    def picture(self, question: Question) -> str:
        """The path of the degraded picture, as all models see it."""
        seed = question.numbers[0]
        source = "vote", question.photo, question.photo.stat().st_mtime_ns, str(question.recipe), seed
        degraded = lambda: self.bench.degraded(question.photo, question.recipe, seed)  # noqa: E731
        return str(photos.save_once(source, self.cache, degraded))

    def asking(self, question: Question) -> Iterator[Ballot | None]:
        """Ask two sides that are drawn; yields None while they write, and in the end the ballot.

        Raises:
            ValueError: something that cannot be asked, or a side that failed.
        """
        there = self.bench.sides()
        drawn = self.ballots.draw([side.name for side in there])
        asked = question.photo, question.whole, question.recipe, *question.numbers
        # The pair answers as one batch: to leave one of it out would save nothing.
        replies = {side.name: Reply(side.name) for side in there}
        with closing(events_of(self.bench, *asked, recover=RECOVERED in drawn.values())) as events:
            for event in events:
                replies[event.side].take(event)
                yield None
        options = parse_options(question.whole)
        correct = known_answer(self.examples, question.photo, links.of_question(question.whole, options), options)
        example = example_of(self.examples, question.photo)
        models = {side.name: {"name": str(side.label), "weights": side.weights} for side in there}
        if RECOVERED in models:  # whose answers follow from the recovery as well
            models[RECOVERED]["weights"] = f"{models[RECOVERED]['weights']} {self.bench.joint.recovery.digest}"
        pixels = self.bench.working_photo(question.photo).tobytes()
        seed, temperature, max_new_tokens = question.numbers
        two = [side for side in replies if side in drawn.values()]
        yield self.ballots.add(
            item=item_of(pixels, question.whole, question.recipe, question.numbers, models),
            photo=example.image.name if example else None,
            question=question.whole,
            options=tuple(options),
            answer=None if correct is None else options[correct],
            recipe=question.recipe,
            seed=seed,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            sides=drawn,
            models={side: models[side] | {"by_index": replies[side].by_index} for side in two},
            replies={side: replies[side].text for side in two},
            said={side: shown(replies[side], options) for side in two},
        )

    def vote(self, name: object, better: object, right: object, voter: object) -> tuple[Ballot, bool]:
        """Vote on a ballot; the vote is in the database when this returns.

        Returns:
            The ballot, whose names may now be told, and whether the vote counts: not if this voter has voted on the
            same item before, knowing no names then.

        Raises:
            ValueError: as `Ballots.get` and `Box.cast`.
        """
        ballot = self.ballots.get(name)
        try:
            self.box.cast(ballot, better, right, voter, self.ballots.seconds(ballot))
            counted = True
        except DoubleVoteError:
            counted = False
        self.ballots.close(ballot)
        return ballot, counted

    def export(self, format: object) -> str:
        """The path of a file with all votes.

        Raises:
            ValueError: there is no such format.
        """
        text = self.box.written(format)
        folder = Path(get_upload_folder()) / "exports" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        path = folder / f"votes.{format}"
        path.write_text(text, encoding="utf-8")
        return str(path)
