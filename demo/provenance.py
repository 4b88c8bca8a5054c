"""What a run follows from besides what was asked: models, weights, prompts, versions. Runs that are kept say it."""

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from demo.models import Pair, Side, short_name

PACKAGES = (
    "torch", "transformers", "tokenizers", "peft", "numpy", "opencv-python-headless", "pillow", "numba", "gradio",
)  # fmt: skip
"""What pictures and answers may depend on."""
ROOT = Path(__file__).resolve().parent.parent


def provenance(pair: Pair) -> dict:
    """What to name beside a run so that it can be repeated.

    Returns:
        ``versions`` {package, ``python`` or ``code`` -> version; the code's is a hash of its sources}, and
        ``checkpoints`` {side -> ``name``, ``adapter``, ``weights`` (a hash), ``prompt``, ``device``, ``dtype``}.
    """
    return {"versions": dict(_versions()), "checkpoints": {side.name: _checkpoint(pair, side) for side in pair.sides}}


def pair_mark(pair: Pair) -> str:
    """A short hash of both sides' weights and prompts: what a link names them by."""
    told = [f"{side.weights} {side.prompt}" for side in pair.sides]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def same_weights(checkpoints: Mapping, pair: Pair) -> bool:
    """Whether a run's checkpoints are those of a pair; also where the run does not say."""
    told = {name: one.get("weights") for name, one in checkpoints.items()}
    return all(told.get(side.name) in (None, side.weights) for side in pair.sides)


def _checkpoint(pair: Pair, side: Side) -> dict:
    model, adapter = side.checkpoint.base, pair.spec.adapter if side.name == "robust" else None
    return {
        # Not where on this machine it lies.
        "name": short_name(side.checkpoint.name),
        "adapter": None if adapter is None else short_name(adapter),
        "weights": side.weights,
        "prompt": side.prompt,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
    }


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version()), ("code", _code())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:  # opencv comes under several names
            continue
    return tuple(found)


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for part in ("degradations", "demo") for path in (ROOT / part).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
