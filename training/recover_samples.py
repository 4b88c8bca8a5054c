"""Recovered pictures for samples: ``python -m training.recover_samples SAMPLES OUT --recovery FOLDER``.

For stage III, where the reasoning model learns to answer from the degraded and the recovered picture. SAMPLES is a
folder of ``training.synthesize`` or ``training.exchanged``. OUT receives ``recovered/*.png`` and its rows with
``recovered`` beside ``image``, and the chains that were written for it; its other pictures stay where they are. A run
that was killed goes on where it stopped.
"""

import argparse
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from degradations.files import encode, write_whole
from degradations.jobs import StoppedError, alone_in, claim, run_jobs
from demo.checkpoints import CheckpointError
from demo.recovery.network import NetworkRecovery, load_network
from training.data import read_picture, read_samples

_recovery: NetworkRecovery | None = None  # one per worker process, loaded by _start_worker


def _start_worker(source: str) -> None:
    global _recovery
    import torch

    torch.set_num_threads(1)
    _recovery = load_network(source)


def recover_one(job: tuple[int, dict], out: Path) -> list[dict]:
    """Recover the picture of a sample and write it; returns its row, as `run_jobs` takes it."""
    number, row = job
    name = f"recovered/{number:06d}.png"
    write_whole(out / name, encode(_recovery.recover(read_picture(row["image"])), "png"))
    moved = {key: os.path.relpath(row[key], out) for key in ("image", "clean") if row[key]}
    if "more_images" in row:
        moved["more_images"] = [os.path.relpath(path, out) for path in row["more_images"]]
    if "copies" in row:
        moved["copies"] = {key: os.path.relpath(path, out) for key, path in row["copies"].items()}
    return [row | moved | {"number": number, "recovered": name}]


def recover_samples(
    samples: Path, out: Path, recovery: str, limit: int | None = None, workers: int | None = None
) -> Path:
    """Recover the pictures of a folder's samples; returns the path of their table.

    Raises:
        ValueError: there are no samples.
        CheckpointError: there is no such recovery.
        StoppedError: another run is at work there, or a worker was killed.
        OtherRunError: the folder holds another run.
    """
    rows = read_samples(samples, limit, exchanged=True)
    claim(out, {"samples": str(samples), "recovery": load_network(recovery).digest, "limit": limit})
    table = out / "samples.jsonl"
    with alone_in(out):
        run_jobs(
            table, enumerate(rows), len(rows), partial(recover_one, out=out), key="number", files=("recovered",),
            workers=workers, start=partial(_start_worker, recovery), description="recovered",
        )  # fmt: skip
        if (samples / "chains.jsonl").exists():
            shutil.copy(samples / "chains.jsonl", out / "chains.jsonl")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder of samples")
    parser.add_argument("out", type=Path, help="folder for the table and the recovered pictures")
    parser.add_argument("--recovery", required=True, help="folder or file of a recovery network")
    parser.add_argument("--limit", type=int, help="the first samples only")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    options = parser.parse_args()
    try:
        table = recover_samples(**vars(options))
    except (OSError, ValueError, StoppedError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{table}: {sum('error' not in json.loads(line) for line in table.read_text().splitlines())} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
