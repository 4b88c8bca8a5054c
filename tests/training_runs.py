"""What the tests of the training stages share: eight samples, and a way to run a stage."""

import json
import sys

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """Eight samples on the examples' photos, as training.synthesize writes them."""
    folder = tmp_path_factory.mktemp("samples")
    image = Image.open("examples/cat.jpg").convert("RGB")
    image.thumbnail((224, 224))
    rows = []
    for number in range(8):
        for kind in ("clean", "degraded"):
            (folder / kind).mkdir(exist_ok=True)
            image.save(folder / kind / f"{number}.png")
        rows.append(
            {
                "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png", "seed": 0,
                "recipe": "lens blur(0.5), gaussian noise(0.3)" if number % 2 else "none", "kind": "object",
                "source": "test", "question": "What is the main object?", "options": ["dog", "cat", "car", "hat"],
                "answer": "cat", "answer_index": 1, "cue": "whiskers", "thing": "cat", "others": [], "place": "",
                "count": 1, "made_of": [],
            }
        )  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(main, monkeypatch, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    main()


QUICK = {
    "per_device_train_batch_size": 2, "use_cpu": True, "report_to": "none", "logging_steps": 1, "save_steps": 2,
    "disable_tqdm": True, "bf16": False, "learning_rate": 1e-3,
}  # fmt: skip
