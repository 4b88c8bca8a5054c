"""The degradations beside their nearest relatives in imagecorruptions and albumentations.

    python3 -m venv /tmp/compared && /tmp/compared/bin/pip install -r requirements.txt imagecorruptions albumentations
    /tmp/compared/bin/python -m tests.benchmarks.compare_libraries

Prints a Markdown table: milliseconds for one photo of each size at a middle strength, two threads, the best of a few
runs. Strengths and formulas differ from library to library, so the pictures do; what is compared is the kind. What
raises with the installed versions says so.
"""

import argparse
import warnings

import cv2

from degradations import REGISTRY, degrade, warm_up
from tests.benchmarks.degradation_speed import milliseconds
from tests.pictures import photographs

SIDES = (224, 1024)
CORRUPTIONS = {
    "lens blur": "gaussian_blur",
    "motion blur": "motion_blur",
    "dirty lens": "spatter",
    "hsv saturation": "saturate",
    "jpeg compression": "jpeg_compression",
    "atmospheric turbulence": "elastic_transform",
    "gaussian noise": "gaussian_noise",
}


def transforms() -> dict:
    """Albumentations' relatives, always applied, at about the strength that 0.5 is here."""
    import albumentations

    return {
        "lens blur": albumentations.GaussianBlur(blur_limit=0, sigma_limit=(10, 10), p=1),
        "lens flare": albumentations.RandomSunFlare(p=1),
        "motion blur": albumentations.MotionBlur(blur_limit=(15, 15), p=1),
        "dirty lens": albumentations.Spatter(p=1),
        "hsv saturation": albumentations.HueSaturationValue(0, (-128, -128), 0, p=1),
        "jpeg compression": albumentations.ImageCompression(quality_range=(52, 52), p=1),
        "block exchange": albumentations.RandomGridShuffle(grid=(8, 8), p=1),
        "dark illumination": albumentations.RandomBrightnessContrast((-0.25, -0.25), (0, 0), p=1),
        "atmospheric turbulence": albumentations.ElasticTransform(p=1),
        "gaussian noise": albumentations.GaussNoise(std_range=(37.5 / 255, 37.5 / 255), p=1),
        "sharpness change": albumentations.Sharpen(p=1),
    }


def measured(work) -> str:
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}"
    return f"{milliseconds(work):.1f}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore")
    from imagecorruptions import corrupt

    cv2.setNumThreads(2)
    warm_up()
    relatives = transforms()
    photos = [photographs((side, side))[0].copy() for side in SIDES]  # some write into what they are given
    sizes = " / ".join(map(str, SIDES))
    print(f"| type | here, ms at {sizes} px | imagecorruptions | ms | albumentations | ms |")
    print("|---|---:|---|---:|---|---:|")
    for name in REGISTRY:
        cells = [name, " / ".join(measured(lambda: degrade(photo, {name: 0.5})) for photo in photos)]  # noqa: B023
        corruption, transform = CORRUPTIONS.get(name), relatives.get(name)
        for title, work in (
            (corruption, lambda photo: corrupt(photo, corruption_name=corruption, severity=3)),  # noqa: B023
            (transform and type(transform).__name__, lambda photo: transform(image=photo)),  # noqa: B023
        ):
            times = [measured(lambda: work(photo)) for photo in photos] if title else []  # noqa: B023
            cells += [title or "–", " / ".join(dict.fromkeys(times) if "Error" in "".join(times) else times) or "–"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
