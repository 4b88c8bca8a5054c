"""Measure a pair on validation samples.

``python -m training.evaluate --samples data/validation --output runs/evaluation``

Both sides answer every question on its degraded and on its clean picture, greedily, in batches. Figures: completeness
of the chains, F1 of the degradation types, mean intensity error, multiple-choice accuracy; over all and by source.
Every answer is kept in OUTPUT/answers.jsonl as it comes, so that a run which was killed goes on and figures can be
computed again.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from degradations import Recipe, Score
from degradations.jobs import read_table
from demo import models
from demo.chain import parse_chain, question_with_options, read_answer
from training.data import read_samples

PICTURES = {"degraded": "image", "clean": "clean"}
"""State of the picture -> column of the samples."""


def answer_all(pair: models.Pair, rows: list[dict], path: Path, batch_size: int, max_new_tokens: int) -> list[dict]:
    """Answers of both sides to all rows in both states, as ``{"id", "side", "state", "key", "text"}``.

    Stored ones of the same checkpoints, prompts and samples, which the key tells, are not asked for again; those of
    others stay in the file and count for nothing.
    """
    stored = list(read_table(path))
    path.write_text("".join(json.dumps(answer) + "\n" for answer in stored))  # without a last line that was cut off
    known = {(answer["key"], answer["state"]): answer for answer in stored}
    answers = []
    with path.open("a") as file:
        for side in pair.sides:
            source = fingerprint(side, max_new_tokens)
            keys = {row["id"]: sample_key(source, row) for row in rows}
            for state, column in PICTURES.items():
                answers += [known[key, state] for key in keys.values() if (key, state) in known]
                # Longest questions together: little padding.
                missing = sorted(
                    (row for row in rows if (keys[row["id"]], state) not in known), key=lambda row: len(question(row))
                )
                for start in tqdm(range(0, len(missing), batch_size), desc=f"{side.name}, {state} pictures"):
                    batch = missing[start : start + batch_size]
                    texts = generate(
                        side, [row[column] for row in batch], [question(row) for row in batch], max_new_tokens
                    )
                    new = [
                        {"id": row["id"], "side": side.name, "state": state, "key": keys[row["id"]], "text": text}
                        for row, text in zip(batch, texts, strict=True)
                    ]
                    file.write("".join(json.dumps(answer) + "\n" for answer in new))
                    file.flush()
                    answers += new
    return answers


def fingerprint(side: models.Side, max_new_tokens: int) -> str:
    """What a side's greedy answers follow from: its name and prompt, its weights (a thousand of each), its budget."""
    source = hashlib.sha256(json.dumps([side.name, side.prompt, side.adapter, max_new_tokens]).encode())
    for name, weight in side.checkpoint.model.state_dict().items():
        if side.adapter or "lora_" not in name:
            some = weight.flatten()[:: max(1, weight.numel() // 1000)]
            source.update(name.encode() + some.float().cpu().numpy().tobytes())
    return source.hexdigest()


def sample_key(source: str, row: dict) -> str:
    """16 hex digits for a side's answer to a sample, wherever its folder lies."""
    sample = {name: value for name, value in row.items() if name not in PICTURES.values()}
    return hashlib.sha256(json.dumps([source, sample]).encode()).hexdigest()[:16]


def question(row: dict) -> str:
    return question_with_options(row["question"], row["options"])


@torch.inference_mode()
def generate(side: models.Side, paths: list[str], questions: list[str], max_new_tokens: int) -> list[str]:
    """Greedy answers of one side to a batch of pictures and questions."""
    checkpoint = side.checkpoint
    pictures = [Image.open(path).convert("RGB") for path in paths]
    inputs = checkpoint.inputs(pictures, [side.prompt_for(text) for text in questions])
    options = (
        {"adapter_names": [side.adapter or "__base__"] * len(paths)} if hasattr(checkpoint.model, "peft_config") else {}
    )
    output = checkpoint.model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens, **options)
    return checkpoint.processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def figures(rows: Iterable[dict], answers: list[dict]) -> dict:
    """Figures of a set of samples from its stored answers; None where there is nothing to measure."""
    rows = {row["id"]: row for row in rows}
    texts: dict[tuple[str, str], dict[int, str]] = {}
    for answer in answers:
        if answer["id"] in rows:
            texts.setdefault((answer["side"], answer["state"]), {})[answer["id"]] = answer["text"]
    chains = {
        state: {index: parse_chain(text) for index, text in texts[("robust", state)].items()} for state in PICTURES
    }
    degraded = Score.of((Recipe.parse(rows[i]["recipe"]), chain.recipe) for i, chain in chains["degraded"].items())
    clean = Score.of((Recipe(), chain.recipe) for chain in chains["clean"].values())
    everything = [chain for state in chains.values() for chain in state.values()]
    result = {
        "samples": len(rows),
        "chains complete": sum(chain.complete for chain in everything) / len(everything),
        "types F1": degraded.f1,
        "types precision": degraded.precision,
        "types recall": degraded.recall,
        "intensity error": degraded.intensity_error,
        "inventions per clean picture": clean.inventions / len(rows),
    }
    for state in PICTURES:
        final = {"baseline": texts[("baseline", state)], "robust": {i: c.answer for i, c in chains[state].items()}}
        for side, answered in final.items():
            result[f"accuracy, {state}, {side}"], result[f"no option named, {state}, {side}"] = choices(rows, answered)
    return result


def choices(rows: dict[int, dict], texts: dict[int, str]) -> tuple[float | None, float | None]:
    """Shares of multiple-choice questions answered right, and answered without naming an option, which is wrong."""
    asked = [i for i in texts if rows[i]["options"]]
    chosen = {i: read_answer(texts[i], rows[i]["options"]) for i in asked}
    if not asked:
        return None, None
    right = sum(chosen[i] == rows[i]["answer_index"] for i in asked)
    return right / len(asked), sum(chosen[i] is None for i in asked) / len(asked)


def by_type(rows: list[dict], answers: list[dict]) -> dict[str, dict]:
    """F1 and intensity error of every degradation by itself, on degraded pictures."""
    applied = {row["id"]: Recipe.parse(row["recipe"]) for row in rows}
    pairs = [
        (applied[answer["id"]], parse_chain(answer["text"]).recipe)
        for answer in answers
        if (answer["side"], answer["state"]) == ("robust", "degraded") and answer["id"] in applied
    ]
    result = {}
    for name in sorted({name for pair in pairs for recipe in pair for name in recipe}):
        score = Score.of([tuple(Recipe({name: recipe.get(name, 0.0)}) for recipe in pair) for pair in pairs])
        result[name] = {"F1": score.f1, "intensity error": score.intensity_error}
    return result


def source_of(row: dict) -> str:
    """The three families that are reported: garments, natural photos, composed scenes."""
    return {"garment": "garments", "object": "natural photos"}.get(row["kind"], "composed scenes")


def table(columns: dict[str, dict]) -> str:
    """Figures side by side as Markdown."""
    names = list(next(iter(columns.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(_shown(column.get(name)) for column in columns.values()) + " |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True, help="folder made by training.synthesize")
    parser.add_argument("--output", type=Path, required=True, help="folder for the answers and the figures")
    parser.add_argument("--limit", type=int, help="use the first samples only")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, help="default: the pair's own")
    models.add_arguments(parser)
    arguments = parser.parse_args()
    pair = models.load_pair(models.spec_from(arguments), fallback=False)
    print(pair.notice)
    rows = read_samples(arguments.samples, arguments.limit)
    arguments.output.mkdir(parents=True, exist_ok=True)
    answers = answer_all(
        pair,
        rows,
        arguments.output / "answers.jsonl",
        arguments.batch_size,
        arguments.max_new_tokens or pair.max_new_tokens,
    )
    columns = {"all": figures(rows, answers)}
    for source in ("natural photos", "garments", "composed scenes"):
        chosen = [row for row in rows if source_of(row) == source]
        if chosen:
            columns[source] = figures(chosen, answers)
    types = by_type(rows, answers)
    (arguments.output / "results.json").write_text(json.dumps({**columns, "by type": types}, indent=2))
    print(table(columns), "", table(types), sep="\n")


if __name__ == "__main__":
    main()
