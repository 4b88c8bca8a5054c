"""How fast the degradations are, against their oracles and against what the machine could do at best.

    python -m tests.benchmarks.degradation_speed            # seven minutes on two cores
    python -m tests.benchmarks.degradation_speed --quality  # mean shift at 1024 px against OpenCV's own

Prints milliseconds per picture and the ratio to the oracle of the same run (tests/oracle.py), means over photos and
over the intensities 0.1, 0.5 and 0.9, the best of a few runs each. Nothing else should run on the machine.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numba import njit

from degradations import REGISTRY, degrade, warm_up
from tests.oracle import ORACLES
from tests.pictures import photographs, ssim

INTENSITIES = (0.1, 0.5, 0.9)
SIDES = (224, 512, 1024)

OPERATIONS = {
    # What a pixel (three values) needs at least, counted as operations on one 16-bit lane. Drawing is left out: it
    # touches few pixels. Nothing is said where the work is a codec's (JPEG) or goes from pixel to pixel (inpainting).
    "lens blur": 3 * (3 + 4),  # a weighted sum of what two interpolations give
    "lens flare": 3,
    "motion blur": 3 * 2 * (10 + 36 + 66) / 3,  # a product and a sum for every weight that is not 0
    "dirty lens": 3 * 3 + 4,
    "hsv saturation": 30,  # to hue, saturation and value, and back
    "block exchange": 0,
    "mean shift": 18 * (5**2 + 21**2 + 37**2) / 4 / 3,  # 18 a pixel of every first window at half size; most walk on
    "scan lines": 1,
    "dark illumination": 3,
    "atmospheric turbulence": 3 * 4 + 6,
    "gaussian noise": 3 * 4,  # draw, look up, add
    "color diffusion": 3 * (2 * 2 * (7 + 23 + 39) / 3 + 3),  # rows and columns of the kernel
    "sharpness change": 3 * (5 + 3),
    "graffiti": 0,
}


def milliseconds(work, budget: float = 0.3) -> float:
    """The best run of a few."""
    begin, best = time.perf_counter(), float("inf")
    while True:
        start = time.perf_counter()
        work()
        end = time.perf_counter()
        best = min(best, end - start)
        if end - begin > budget:
            return 1000 * best


def of_type(name: str, photos: list[np.ndarray]) -> tuple[float, float]:
    """Milliseconds of the implementation and of the oracle."""
    runs = [(photo, intensity) for photo in photos for intensity in INTENSITIES]
    ours = [milliseconds(lambda: REGISTRY[name].function(*run, np.random.default_rng(0))) for run in runs]  # noqa: B023
    theirs = [milliseconds(lambda: ORACLES[name](*run, np.random.default_rng(0))) for run in runs]  # noqa: B023
    return float(np.mean(ours)), float(np.mean(theirs))


@njit(nogil=True)
def _multiply_and_add(values: np.ndarray, times: int) -> None:
    for _ in range(times):
        for index in range(len(values)):
            values[index] = np.int16(np.int16(values[index] * np.int16(3)) + np.int16(1))


def lane_operations_per_ms() -> float:
    """What all threads reach on numbers that stay in the first cache: the machine's arithmetic at its best."""
    times, values = 20_000, [np.zeros(4096, np.int16) for _ in range(cv2.getNumThreads())]
    _multiply_and_add(values[0], 1)
    with ThreadPoolExecutor(len(values)) as pool:
        spent = milliseconds(lambda: list(pool.map(lambda one: _multiply_and_add(one, times), values)))
    return 2 * times * 4096 * len(values) / spent


def copy_ms(photo: np.ndarray) -> float:
    """Reading a picture and writing another of its size."""
    result = np.empty_like(photo)
    return milliseconds(lambda: np.copyto(result, photo))


def table(photos_of: dict[int, list[np.ndarray]]) -> None:
    largest = SIDES[-1]
    rate, copying = lane_operations_per_ms(), copy_ms(photos_of[largest][0])
    print(f"{cv2.getNumThreads()} threads; {rate / 1e6:.0f} billion 16-bit operations/s; a copy takes {copying:.2f} ms")
    print("| type | " + " | ".join(f"{side} px | ratio" for side in SIDES) + f" | floor at {largest} px | times that |")
    print("|---|" + "---:|" * (2 * len(SIDES) + 2))
    totals = np.zeros((len(SIDES), 2))
    for name in REGISTRY:
        row = np.array([of_type(name, photos_of[side]) for side in SIDES])
        totals += row
        floor = max(copying, OPERATIONS[name] * largest**2 / rate) if name in OPERATIONS else None
        last = f"{floor:.2f} ms | {row[-1][0] / floor:.0f}" if floor else "– | –"
        print(f"| {name} | " + " | ".join(f"{a:.2f} ms | {b / a:.1f}" for a, b in row) + f" | {last} |", flush=True)
    print("| all, one by one | " + " | ".join(f"{a:.0f} ms | {b / a:.1f}" for a, b in totals) + " | – | – |")


def sliders(photos: list[np.ndarray]) -> None:
    """What a visitor waits for at the largest size, without the encoding of the preview."""
    print("\nmilliseconds of a preview at 1024 × 1024: the slowest photo, by intensity")
    recipes = {name: [name] for name in REGISTRY} | {"all sixteen": list(REGISTRY)}
    for title, names in recipes.items():
        for rough in (False, True):
            if rough and not any(REGISTRY[name].rough for name in names):
                continue
            worst = [
                max(
                    milliseconds(lambda: degrade(photo, dict.fromkeys(names, i), rough=rough))  # noqa: B023
                    for photo in photos
                )
                for i in (*INTENSITIES, 1.0)
            ]
            print(f"{title}{' (rough)' if rough else ''}: " + ", ".join(f"{ms:.0f}" for ms in worst), flush=True)


def quality() -> None:
    photos = photographs((1024, 1024))
    print(f"mean shift of {len(photos)} photos at 1024 px against OpenCV's: worst SSIM, worst mean absolute difference")
    for intensity in np.arange(1, 11) / 10:
        with ThreadPoolExecutor(cv2.getNumThreads()) as pool:
            theirs = list(pool.map(lambda photo: ORACLES["mean shift"](photo, intensity, None), photos))  # noqa: B023
        ours = [degrade(photo, {"mean shift": float(intensity)}) for photo in photos]
        pairs = list(zip(ours, theirs, strict=True))
        differences = [np.abs(a - b.astype(int)).mean() for a, b in pairs]
        print(f"{intensity:.1f}: {min(ssim(a, b) for a, b in pairs):.3f}, {max(differences):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3, help="how many photos (3)")
    parser.add_argument("--threads", type=int, default=2, help="for OpenCV and for us (2)")
    parser.add_argument("--quality", action="store_true", help="measure mean shift's likeness to OpenCV's instead")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    warm_up()
    if arguments.quality:
        quality()
        return
    chosen = slice(0, None, max(1, 20 // arguments.photos))
    photos_of = {side: photographs((side, side))[chosen][: arguments.photos] for side in SIDES}
    table(photos_of)
    sliders(photos_of[SIDES[-1]])


if __name__ == "__main__":
    main()
