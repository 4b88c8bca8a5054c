"""Build question-answer samples on degraded pictures: ``python -m training.synthesize CORPUS OUT --count 24000``.

OUT receives ``clean/*.png``, ``degraded/*.png`` and ``samples.jsonl``. Sample n is drawn from (seed, n) alone: the
result does not depend on the number of workers, and a run that was killed goes on where it stopped.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from degradations import Recipe, degrade
from degradations.files import encode, write_whole
from degradations.jobs import alone_in, run_jobs
from training.corpus import read_corpus
from training.questions import QuestionMaker

_maker: QuestionMaker | None = None  # one per worker process, built by _start_worker


def _start_worker(corpus: Path, split: str, size: int, open_share: float) -> None:
    global _maker
    _maker = QuestionMaker(read_corpus(corpus, split), size, open_share, still=split == "validation")


def make_sample(index: int, out: Path, seed: int, types: tuple[int, int], intensity: tuple[float, float]) -> list[dict]:
    """Draw, degrade and write sample `index`; returns its row, as `run_jobs` takes it."""
    rng = np.random.default_rng([seed, index])
    question = _maker.draw(rng)
    recipe = Recipe.sample(rng, count=types, intensity=intensity)
    degrade_seed = int(rng.integers(2**31))
    name = f"{index:06d}.png"
    write_whole(out / "clean" / name, encode(question.image, "png"))
    write_whole(out / "degraded" / name, encode(degrade(question.image, recipe, degrade_seed), "png"))
    row = {
        "id": index,
        "image": f"degraded/{name}",
        "clean": f"clean/{name}",
        "recipe": str(recipe),
        "seed": degrade_seed,
        "kind": question.kind,
        "source": question.source,
        "question": question.text,
        "options": list(question.options),
        "answer": question.answer,
        "answer_index": question.answer_index,
        "cue": question.thing.cue,
        "thing": question.thing.name,
        "others": list(question.others),
        "place": question.place,
        "count": question.count,
        "made_of": list(question.paths),
    }
    return [row]


def synthesize(
    corpus: Path,
    out: Path,
    *,
    count: int,
    split: str = "train",
    seed: int = 0,
    size: int = 224,
    open_share: float = 0.15,
    types: tuple[int, int] = (0, 4),
    intensity: tuple[float, float] = (0.05, 1.0),
    workers: int | None = None,
) -> Path:
    """Make `count` samples of a corpus; returns the path of their table. See the module's docstring."""
    table = out / "samples.jsonl"
    with alone_in(out):
        run_jobs(
            table,
            range(count),
            count,
            partial(make_sample, out=out, seed=seed, types=types, intensity=intensity),
            key="id",
            files=("image", "clean"),
            workers=workers,
            start=partial(_start_worker, corpus, split, size, open_share),
            description=f"samples ({split})",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of labelled photos and cut-outs (see training/corpus.py)")
    parser.add_argument("out", type=Path, help="folder for the samples; an unfinished run in it goes on")
    parser.add_argument("--count", type=int, required=True, help="number of samples")
    parser.add_argument("--split", choices=("train", "validation"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=224, help="pictures are fitted inside a square of this side")
    parser.add_argument("--open-share", type=float, default=0.15, help="share of photo questions without options")
    parser.add_argument("--types", type=int, nargs=2, default=(0, 4), help="least and most degradations at once")
    parser.add_argument("--intensity", type=float, nargs=2, default=(0.05, 1.0), help="range of each intensity")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    options = vars(parser.parse_args())
    options.update(types=tuple(options["types"]), intensity=tuple(options["intensity"]))
    print(synthesize(options.pop("corpus"), options.pop("out"), **options))


if __name__ == "__main__":
    main()
