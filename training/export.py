"""Write samples with their chains in a published format: ``python -m training.export SAMPLES OUT --format vlm-r1``.

| format | OUT receives | how it is read there |
|---|---|---|
| vlm-r1 | ``train.jsonl``, pictures | ``--data_file_paths OUT/train.jsonl --image_folders OUT`` |
| llama-factory | ``train.json``, ``dataset_info.json``, pictures | ``dataset_dir: OUT``, ``dataset:`` OUT's name |
| trl | ``data/train-*.parquet``, pictures inside | ``--dataset_name OUT``, or `datasets.load_dataset` |

The prompt is `demo.chain.build_prompt`'s. VLM-R1 and Robust-R1 put questions into a template of their own: give
--prompt-file with ``{question}`` alone. OUT is there whole or not at all; ``training.synthesize --as-is`` makes samples
of it again. What a format has no place for travels in a column of ours, ``sample``: the rest of the sample's row as
JSON text (text, as every column of Arrow is of one type, whatever its rows hold). Of samples with ``copies`` the
strongest picture is exported, which the chain speaks of.
"""

import argparse
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import Dataset, Image, List
from datasets.table import embed_table_storage

from degradations.files import UNFINISHED, write_whole
from demo.chain import DEFAULT_PROMPT, build_prompt, question_with_options
from training.data import read_chained
from training.formats import MESSAGES, MESSAGES_TAGS, PLACEHOLDER
from training.sources import INFO

OF_FILES = ("image", "more_images", "clean", "copies", "chain")
"""Keys of a sample's row that speak of files, and its chain: columns of a record. All else is its "sample"."""

SHARD_BYTES = 400_000_000
"""How much of pictures one Parquet file holds."""


def vlm_r1(row: dict, prompt: str, pictures: list[str]) -> dict:
    """A record as VLM-R1 reads it, but for the columns of ours; `pictures` are paths relative to the images' folder."""
    return {
        "image": pictures[0] if len(pictures) == 1 else pictures,
        "conversations": [
            {"from": "human", "value": PLACEHOLDER * len(pictures) + prompt},
            {"from": "gpt", "value": row["chain"]},
        ],
    }


def llama_factory(row: dict, prompt: str, pictures: list[str]) -> dict:
    """The same of LLaMA-Factory's ShareGPT."""
    return {
        "messages": [
            {"role": "user", "content": PLACEHOLDER * len(pictures) + prompt},
            {"role": "assistant", "content": row["chain"]},
        ],
        "images": pictures,
    }


def trl(row: dict, prompt: str, pictures: list[str]) -> dict:
    """The same of TRL, with bare placeholders: pictures inside of messages do not survive Arrow."""
    question = [{"type": "image"} for _ in pictures] + [{"type": "text", "text": prompt}]
    return {
        "images": pictures,
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": row["chain"]}]}],
    }


FORMATS = {"vlm-r1": vlm_r1, "llama-factory": llama_factory, "trl": trl}


def export(
    samples: Path, out: Path, format: str, *,
    template: str = DEFAULT_PROMPT, limit: int | None = None, clean: bool = True, refer: bool = False,
) -> int:  # fmt: skip
    """Write the samples of a folder that have a chain; returns how many.

    Args:
        format: one of `FORMATS`.
        template: what the prompt is made of.
        clean: take the pictures before degradation along, in a column of their own.
        refer: leave the pictures where they are, named relative to `out`.

    Raises:
        ValueError: there are no chains, `out` holds something already, or Parquet is to refer to files.
    """
    if refer and format == "trl":
        raise ValueError("the Parquet of trl holds its pictures; --refer is for vlm-r1 and llama-factory")
    rows = read_chained(samples, limit)
    with _new_folder(out) as unfinished:
        records = []
        for row in rows:
            columns = {"images": [row["image"], *row.get("more_images", [])]}
            columns["clean"] = [row["clean"]] if clean and row["clean"] else []
            for name, files in columns.items():
                files = [Path(samples, file).absolute() for file in files]
                columns[name] = [os.path.relpath(file, out if refer else Path(samples).absolute()) for file in files]
                if format == "trl":
                    columns[name] = [str(file) for file in files]
                elif not refer:
                    for file, copy in zip(files, columns[name], strict=True):
                        (unfinished / copy).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(file, unfinished / copy)
            prompt = build_prompt(question_with_options(row["question"], row["options"]), template)
            record = {"id": row["id"], **FORMATS[format](row, prompt, columns["images"])}
            record["sample"] = json.dumps({key: value for key, value in row.items() if key not in OF_FILES})
            records.append(record | ({"clean": columns["clean"][0]} if columns["clean"] else {}))
        _write(records, unfinished, format, out.name)
    return len(records)


def _write(records: list[dict], folder: Path, format: str, name: str) -> None:
    lines = [json.dumps(record) for record in records] if format != "trl" else []
    if format == "vlm-r1":
        write_whole(folder / "train.jsonl", "".join(line + "\n" for line in lines).encode())
    elif format == "llama-factory":
        write_whole(folder / "train.json", ("[\n" + ",\n".join(lines) + "\n]\n").encode())
        info = {"file_name": "train.json", "formatting": "sharegpt", "columns": MESSAGES, "tags": MESSAGES_TAGS}
        write_whole(folder / INFO, (json.dumps({name: info}, indent=2) + "\n").encode())
    else:
        (folder / "data").mkdir()
        shards = _shards(records)
        for number, shard in enumerate(shards):
            dataset = Dataset.from_list(shard).cast_column("images", List(Image(mode="RGB")))
            if "clean" in dataset.column_names:
                dataset = dataset.cast_column("clean", Image())
            arrow = dataset.with_format("arrow").map(embed_table_storage, batched=True, keep_in_memory=True)
            arrow.with_format(None).to_parquet(folder / "data" / f"train-{number:05d}-of-{len(shards):05d}.parquet")


def _shards(records: list[dict]) -> list[list[dict]]:
    """Records whose pictures together take about `SHARD_BYTES`."""
    shards, size = [[]], 0
    for record in records:
        if size > SHARD_BYTES:
            shards, size = [*shards, []], 0
        shards[-1].append(record)
        files = [*record["images"], *([record["clean"]] if "clean" in record else [])]
        size += sum(Path(file).stat().st_size for file in files)
    return shards


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill that then becomes `out`; of an error nothing stays."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} holds something already; name a new folder")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.absolute().with_name(f".{uuid.uuid4().hex}{UNFINISHED}")
    unfinished.mkdir()
    try:
        yield unfinished
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("samples", type=Path, help="folder of samples with chains.jsonl")
    add("out", type=Path, help="a new folder")
    add("--format", choices=FORMATS, required=True)
    add("--prompt-file", type=Path, help="prompt template with {question} in it (default: demo.chain's)")
    add("--limit", type=int, help="export the first samples only")
    add("--without-clean", action="store_true", help="leave the pictures before degradation out")
    add("--refer", action="store_true", help="leave all pictures where they are, named relative to OUT")
    options = parser.parse_args()
    try:
        template = options.prompt_file.read_text().strip() if options.prompt_file else DEFAULT_PROMPT
        count = export(
            options.samples, options.out, options.format, template=template, limit=options.limit,
            clean=not options.without_clean, refer=options.refer,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {count} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
