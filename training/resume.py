"""Going on after a kill."""

import json
from pathlib import Path


def finished_checkpoint(output_dir: str | Path) -> str | None:
    """The newest checkpoint of a run that was written to its end, or None.

    The Trainer writes ``trainer_state.json`` last: a folder where it is missing or cut off is passed over.
    """
    folders = [path for path in Path(output_dir).glob("checkpoint-*") if _is_whole(path / "trainer_state.json")]
    return str(max(folders, key=lambda path: int(path.name.rpartition("-")[2]))) if folders else None


def _is_whole(state: Path) -> bool:
    try:
        json.loads(state.read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return True
