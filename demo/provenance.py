"""What a run follows from besides what was asked: models, weights, prompts, versions. Runs that are kept say it."""

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from demo.models import Pair, Side, short_name
from demo.recovery.joint import Joint

PACKAGES = (
    "torch", "transformers", "tokenizers", "peft", "numpy", "opencv-python-headless", "pillow", "numba", "gradio",
)  # fmt: skip
"""What pictures and answers may depend on."""
ROOT = Path(__file__).resolve().parent.parent


def provenance(pair: Pair, joint: Joint | None = None) -> dict:
    """What to name beside a run so that it can be repeated.

    Args:
        joint: where a third side was asked, too.

    Returns:
        ``versions`` {package, ``python`` or ``code`` -> version; the code's is a hash of its sources}, and
        ``checkpoints`` {side -> ``name``, ``adapter``, ``weights`` (a hash), ``prompt``, ``device``, ``dtype``}; of the
        third side also ``recovery`` and ``recovery_weights``, and where its model is elsewhere no more than its name.
    """
    adapters = {"baseline": None, "robust": pair.spec.adapter}
    told = {side.name: _checkpoint(side, adapters[side.name]) for side in pair.sides}
    if joint:
        recovery = {"recovery": joint.recovery.name, "recovery_weights": joint.recovery.digest}
        here = isinstance(joint.side, Side)
        own = _checkpoint(joint.side, joint.adapter) if here else {"name": str(joint.side.label), "weights": None}
        told[joint.side.name] = own | recovery
    return {"versions": dict(_versions()), "checkpoints": told}


def pair_mark(pair: Pair) -> str:
    """A short hash of both sides' weights and prompts: what a link names them by."""
    told = [f"{side.weights} {side.prompt}" for side in pair.sides]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def same_weights(checkpoints: Mapping, pair: Pair, joint: Joint | None = None) -> bool:
    """Whether a run's checkpoints are those of a pair, and of a third side where it has one; also where the run does
    not say."""
    here = {side.name: {"weights": side.weights} for side in pair.sides}
    if joint:
        here[joint.side.name] = {"weights": joint.side.weights, "recovery_weights": joint.recovery.digest}
    return all(
        one.get(name) in (None, here.get(side, {}).get(name))
        for side, one in checkpoints.items()
        for name in ("weights", "recovery_weights")
    )


def _checkpoint(side: Side, adapter: str | None) -> dict:
    model = side.checkpoint.base
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
