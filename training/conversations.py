"""What the embedded base is asked while it learns words: questions about cached features, and chains to read.

Half of the items are questions, answered directly, on clean pictures under ordinary variation and on a share of
degraded ones; this is what the baseline does in the demo. Who knows every training photo by heart neither looks at the
options nor recognises anything in a new photo. So half of the questions with options hide a part of the picture, or all
of it; and many are about things that the picture does not show, but for which its features are exchanged
(`training.exchange`): the main object, or what is in a corner.

Two items in six ask ``NAMING`` on degraded pictures, answered by a TYPE block, so that the words for degradations and
the numbers are there for the adapter to build on. One in six is without pictures: the rest of a chain after its TYPE
block, because an adapter cannot make up for words that its base has never written.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from degradations import Recipe
from demo.chain import build_prompt, parse_options, question_with_options
from training.chains import on_grid, write_chain
from training.corpus import read_things
from training.embedded import IMAGE_TOKENS, INTENSITY_STEP
from training.exchange import KINDS, QUARTERS, WHOLE, Classes, Exchange
from training.questions import NUMBERS, PLACES, WORDING, options_with

NAMING = "Which degradations are in this picture, and how strong are they?"


@dataclass
class Mixture:
    """How often what is asked."""

    views: int = field(default=2, metadata={"help": "how often each picture is asked about, each time in other words"})
    open_share: float = field(default=0.05, metadata={"help": "share of photo questions asked without options"})
    degraded_share: float = field(default=0.33, metadata={"help": "share of questions asked on the degraded picture"})
    hidden_share: float = field(default=0.5, metadata={"help": "share of questions with the picture hidden in part"})
    exchanged_share: float = field(default=0.5, metadata={"help": "share of object questions about another object"})
    exchanged_open_share: float = field(default=0.25, metadata={"help": "share of those asked without options"})


class Conversations(Dataset):
    """Conversations over cached features, by item modulo `TASKS`.

    Items 0 and 1 ask the sample's question on a clean or (`degraded_share`) degraded picture, item 2 asks what it shows
    after its features were exchanged, items 3 and 4 name the degradations of the degraded picture, item 5 reads the
    chain without its picture.
    """

    TASKS = 6

    def __init__(self, rows: list[dict], processor, template: str, mixture: Mixture, seed: int):
        self.rows, self.processor, self.template = rows, processor, template
        self.mixture, self.seed = mixture, seed
        vocabulary = read_things().values()
        self.right = {thing.name: thing.right for thing in vocabulary}
        self.names = {
            group: sorted({thing.name for thing in vocabulary if thing.group == group})
            for group in ("object", "garment")
        }
        self.classes = Classes()

    def __len__(self) -> int:
        return self.TASKS * self.mixture.views * len(self.rows)

    def __getitem__(self, item: int) -> dict:
        (view, index), task = divmod(item // self.TASKS, len(self.rows)), item % self.TASKS
        row = self.rows[index]
        image = self.processor.image_token * IMAGE_TOKENS
        if task < 3:
            view = 3 * view + task
            rng = np.random.default_rng([self.seed, row["id"], view])
            # Were they all clean, the look of a degraded picture alone would make the base name degradations.
            picture = 2 * index + int(rng.random() < self.mixture.degraded_share)
            seen = {"picture": picture}
            if task < 2 and (row["kind"] != "object" or rng.random() >= self.mixture.exchanged_share):
                question, answer = self._ask(row, rng, view)
            else:
                question, answer, seen["exchanged"] = self._exchange(row, rng)
            # Who sees nothing at all can still take one of the options, and learns where they stand.
            hides = parse_options(question) and rng.random() < self.mixture.hidden_share
            seen["shown"] = rng.random(IMAGE_TOKENS) >= (1.5 * rng.random() if hides else 0.0)
            return seen | self._encode(image + question, "", answer)
        if task < 5:
            recipe = on_grid(Recipe.parse(row["recipe"]), INTENSITY_STEP)
            asked = self._encode(image + NAMING, "", f"<TYPE>{recipe}<TYPE_END>")
            return {"picture": 2 * index + 1} | asked
        chain = write_chain(row, self.seed + view, INTENSITY_STEP, index=False)
        types, end, rest = chain.partition("<TYPE_END>")
        question = question_with_options(row["question"], row["options"])
        return {"picture": None} | self._encode(build_prompt(question, self.template), types + end, rest)

    def _encode(self, asked: str, given: str, answer: str) -> dict[str, list[int]]:
        """A question, what of its answer is given, and the rest, which is to be learned."""
        tokenizer = self.processor.tokenizer
        start = tokenizer(f"<|user|>{asked}<|end|><|assistant|>{given}", add_special_tokens=False).input_ids
        end = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False).input_ids
        return {"input_ids": start + end, "labels": [-100] * len(start) + end}

    def _ask(self, row: dict, rng: np.random.Generator, view: int) -> tuple[str, str]:
        """The row's question, in other words and with other options in every view."""
        kind = "where" if row["kind"] == "which" and view % 2 else row["kind"]  # of these the place is known too
        if kind in self.names:
            return self._ask_about(row["answer"], kind, rng, self.mixture.open_share)
        question = WORDING[kind][rng.integers(len(WORDING[kind]))].format(thing=row["thing"])
        if kind in ("where", "count"):
            options, answer = (PLACES, row["place"]) if kind == "where" else (NUMBERS, NUMBERS[row["count"] - 1])
            return question_with_options(question, list(options)), answer
        return question_with_options(question, list(rng.permutation(row["options"]))), row["answer"]

    def _exchange(self, row: dict, rng: np.random.Generator) -> tuple[str, str, list[tuple[np.ndarray, dict]]]:
        """A question about what the picture will show, its answer, and which positions shall show which classes."""
        kind = str(rng.choice(KINDS))
        question = str(rng.choice(WORDING[kind]))
        if kind == "object":
            if rng.random() < self.mixture.exchanged_open_share:
                (name,), (number,) = self.classes.draw(rng, 1)
                return question, name, [(WHOLE, {number: 1.0})]
            choice = self.classes.choose(rng)
            return question_with_options(question, choice.options), choice.name, [(WHOLE, choice.shares)]
        names, classes, places = self.classes.corners(rng)
        exchanged = [(QUARTERS[place], {number: 1.0}) for place, number in zip(places, classes, strict=True)]
        question = question.format(thing=names[0])
        if kind == "where":
            return question_with_options(question, list(PLACES)), PLACES[places[0]], exchanged
        visible = {row["thing"], row["answer"], *row["others"]}.union(*(self.right[name] for name in names))
        return *self._choose(question, names[0], kind="object", visible=visible, rng=rng), exchanged

    def _choose(self, question: str, name: str, kind: str, visible: set[str], rng: np.random.Generator):
        """The question with options, among which the name alone is right."""
        options = options_with(rng, name, [other for other in self.names[kind] if other not in visible])
        return question_with_options(question, list(options)), name

    def _ask_about(self, name: str, kind: str, rng: np.random.Generator, open_share: float) -> tuple[str, str]:
        """What the picture shows, where it shows a thing of that name."""
        question = WORDING[kind][rng.integers(len(WORDING[kind]))]
        if rng.random() < open_share:
            return question, name
        return self._choose(question, name, kind, self.right[name], rng)


class Collator:
    """Splits a batch into items with and without a picture, pads each on the right, and fetches features.

    Args:
        exchange: puts the classes of an item's ``"exchanged"`` in the place of what its picture shows.
    """

    def __init__(self, features: np.ndarray, exchange: Exchange, pad_token_id: int):
        self.features, self.exchange, self.pad_token_id = features, exchange, pad_token_id

    def __call__(self, items: list[dict]) -> dict[str, list[dict[str, torch.Tensor]]]:
        shown = [item for item in items if item["picture"] is not None]
        read = [item for item in items if item["picture"] is None]
        parts = [self._pad(part) for part in (shown, read) if part]
        if shown:
            parts[0]["features"] = torch.from_numpy(np.stack([self._see(item) for item in shown]))
        return {"parts": parts}

    def _see(self, item: dict) -> np.ndarray:
        features = self.features[item["picture"]].astype(np.float32)
        for positions, wanted in item.get("exchanged", ()):
            features[positions] = self.exchange(features[positions], wanted)
        return features * item["shown"][:, None] if "shown" in item else features

    def _pad(self, items: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)

        def padded(key: str, value: int) -> torch.Tensor:
            return torch.tensor([item[key] + [value] * (longest - len(item[key])) for item in items])

        input_ids = padded("input_ids", self.pad_token_id)
        mask = (input_ids != self.pad_token_id).long()
        return {"input_ids": input_ids, "attention_mask": mask, "labels": padded("labels", -100)}
