"""Whether time and memory per image stay the same however many there are: ``python -m degradations synthesize``.

    python -m tests.benchmarks.dataset_speed --counts 1000 20000

Makes so many small photos in a temporary folder, degrades them all, and prints a table. Memory is the resident peak of
the parent, which sees every image's row, and of the largest worker. Nothing else should run on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image


def make_photos(folder: Path, count: int, side: int) -> None:
    """Different pixels in every file, at little cost: one picture of noise, rolled."""
    noise = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((side, side)))
    folder.mkdir()
    for number in range(count):
        Image.fromarray(np.roll(picture, divmod(number, side), axis=(0, 1))).save(
            folder / f"{number:06d}.png", compress_level=1
        )


def measure(photos: Path, out: Path, workers: int | None) -> tuple[float, int, int]:
    """(seconds, peak bytes of the parent, peak bytes of the largest worker) of one run."""
    command = [sys.executable, "-m", "degradations", "synthesize", str(photos), str(out)]
    begin = time.perf_counter()
    parent = psutil.Popen(command + (["--workers", str(workers)] if workers else []))
    parent_peak = worker_peak = 0
    while parent.poll() is None:
        try:
            parent_peak = max(parent_peak, parent.memory_info().rss)
            worker_peak = max([worker_peak, *(child.memory_info().rss for child in parent.children())])
        except psutil.NoSuchProcess:
            continue  # it has ended meanwhile
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    if parent.returncode:
        raise subprocess.CalledProcessError(parent.returncode, command)
    return seconds, parent_peak, worker_peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 20_000], help="numbers of photos")
    parser.add_argument("--side", type=int, default=48, help="pixels a side (default %(default)s)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    options = parser.parse_args()
    lines = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder, "photos")
            make_photos(photos, count, options.side)
            seconds, parent, worker = measure(photos, Path(folder, "out"), options.workers)
        lines.append(
            f"{count:>9} {seconds:>9.1f} {1000 * seconds / count:>9.2f} {parent / 2**20:>11.1f} {worker / 2**20:>11.1f}"
        )
    print("   images   seconds  ms/image  parent MiB  worker MiB", *lines, sep="\n")


if __name__ == "__main__":
    main()
