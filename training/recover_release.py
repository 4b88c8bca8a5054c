"""Put a trained recovery into ``demo/embedded/recovery`` with its model card.

    python -m training.recover_release --network runs/recover-align --adapter runs/joint \\
        --measured runs/recovery/recovery.json

The card's figures are those of ``training.recover_measure``, its settings those of the runs; the adapter of stage III
may be left out, and the card then says so.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file

from degradations.jobs import SETTINGS
from demo import settings
from demo.chain import JOINT_PREFACE
from demo.checkpoints import CheckpointError
from demo.recovery.joint import ADAPTER, PROMPT
from demo.recovery.nafnet import of_weights
from demo.recovery.network import WEIGHTS, load_network
from training.recover_measure import report

CARD = Path(__file__).with_name("recover_card.md")
LARGEST = 6_000_000
"""Bytes that the network may have."""


def release(network: Path, adapter: Path | None, measured: Path, target: Path = settings.RECOVERY) -> None:
    """Copy weights and adapter, and write the card.

    Raises:
        OSError, CheckpointError: a part is missing.
        ValueError: the figures are those of another network, or it is too large.
    """
    results = json.loads(measured.read_text())
    if results["digest"] != load_network(network).digest:
        first = next(iter(results["recoveries"].values()))
        raise ValueError(f"{measured} measures {first} first, which is not what {network} holds: measure that one")
    weights = network / WEIGHTS
    if weights.stat().st_size > LARGEST:
        raise ValueError(f"{weights} has {weights.stat().st_size} bytes; at most {LARGEST} are shipped")
    state = load_file(weights)
    of_weights(state)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(weights, target / WEIGHTS)
    shutil.rmtree(target / ADAPTER, ignore_errors=True)
    if adapter:
        (target / ADAPTER).mkdir()
        shutil.copy(adapter / "adapter_model.safetensors", target / ADAPTER)
        lora = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": "../../base"}
        (target / ADAPTER / "adapter_config.json").write_text(json.dumps(lora, indent=2, sort_keys=True) + "\n")
        prompt = (settings.EMBEDDED / "prompt.txt").read_text(encoding="utf-8").strip()
        (target / ADAPTER / PROMPT).write_text(f"{JOINT_PREFACE}{prompt}\n", encoding="utf-8")
    run = json.loads((network / SETTINGS).read_text())
    card = CARD.read_text().format(
        parameters=sum(value.numel() for value in state.values()) / 1e6,
        megabytes=weights.stat().st_size / 1e6,
        width=state["intro.weight"].shape[0],
        tile=settings.RECOVERY_TILE,
        overlap=settings.RECOVERY_OVERLAP,
        alignment=_alignment(run),
        joint=(
            "`adapter`, a LoRA adapter of the pair's language model, learned to write the chain from both pictures."
            if adapter
            else "none; the pair's own adapter answers, which was not trained on two pictures."
        ),
        figures=re.sub(r"^(#+)", r"#\1", report(results), flags=re.MULTILINE).strip(),
        settings="\n\n".join(_run(folder) for folder in (network, *([adapter] if adapter else []))),
    )
    (target / "README.md").write_text(card, encoding="utf-8")


def _alignment(run: dict) -> str:
    if run["stage"] != "Recovery alignment":
        return "none."
    if run.get("method") == "ascent":
        return "plain ascent of the rewards' gradient (SSIM, and semantic similarity of image embeddings)."
    return (
        "reinforcement learning: groups of sampled pictures, scored by SSIM and semantic similarity of image "
        "embeddings, weights 1.0 and 0.2 unless the settings say otherwise, updated by group-relative advantages."
    )


def _run(folder: Path) -> str:
    told = {name: _plain(value) for name, value in json.loads((folder / SETTINGS).read_text()).items()}
    return f"`{folder.name}`:\n\n```json\n{json.dumps(told, indent=2)}\n```"


def _plain(value: object) -> object:
    """A setting without where things lay on the machine that trained."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, required=True, help="folder of stage I or II")
    parser.add_argument("--adapter", type=Path, help="folder of stage III")
    parser.add_argument("--measured", type=Path, required=True, help="recovery.json of training.recover_measure")
    try:
        release(**vars(parser.parse_args()))
    except (OSError, ValueError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
