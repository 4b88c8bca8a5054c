"""Photos for recovery, and a few steps of its first stage: fixtures."""

from pathlib import Path

import pytest
from PIL import Image

from tests.pictures import picture
from tests.trainer_runs import train

SMALL = {
    "section": 32, "size": 64, "width": 4, "encoders": [1, 1], "decoders": [1, 1], "max_grad_norm": 0.1,
    "per_device_train_batch_size": 4, "max_steps": 4, "save_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="session")
def recovery_photos(tmp_path_factory) -> Path:
    """Photos of a plain folder, some of whose names fall into each split."""
    folder = tmp_path_factory.mktemp("corpus") / "cat"
    folder.mkdir()
    for number in range(24):
        Image.fromarray(picture(60 + number, 90, number)).save(folder / f"{number}.png")
    return folder.parent


@pytest.fixture(scope="session")
def recovery_network(recovery_photos, tmp_path_factory) -> Path:
    """A few steps of stage I."""
    folder = tmp_path_factory.mktemp("stage")
    return train("recover_sft", **SMALL, corpus=recovery_photos, cache=folder / "cache", output_dir=folder / "one")
