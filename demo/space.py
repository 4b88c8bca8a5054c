"""Put the page on a Hugging Face Space: ``make space REPO=name``, or ``python -m demo.space owner/name --private``.

What goes up is what the Space runs and nothing else: the files that git tracks under `SHIPPED`, as they are on disk.
Log in first (``hf auth login``, or the environment variable HF_TOKEN).
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("app.py", "demo", "degradations", "examples", "requirements.txt", "packages.txt", "README.md", "LICENSE")
LARGEST = 10_000_000
"""Bytes; a Space's git refuses larger files."""


def space_files(root: Path = ROOT) -> list[str]:
    """Paths, relative to the root, of the files that a Space needs.

    Raises:
        RuntimeError: the folder is no git checkout, one of `SHIPPED` has no tracked file, or a file is too large.
    """
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--", *SHIPPED], capture_output=True, text=True, check=False
    )
    if listing.returncode:
        raise RuntimeError(f"cannot list the files of {root} with git: {listing.stderr.strip()}")
    files = [name for name in listing.stdout.split("\0") if name and (root / name).is_file()]
    for part in SHIPPED:
        if not any(name == part or name.startswith(f"{part}/") for name in files):
            raise RuntimeError(f"{part} is missing from {root}, or git does not track it yet")
    for name in files:
        if (size := (root / name).stat().st_size) > LARGEST:
            raise RuntimeError(f"{name} has {size} bytes; a Space takes at most {LARGEST} in one file")
    return files


def publish(repo: str, *, api: HfApi, root: Path = ROOT, private: bool = False, hardware: str | None = None) -> str:
    """Create the Space where it does not exist and make its files those of the checkout.

    Args:
        repo: ``name`` (under the own account) or ``owner/name``.
        api: the Hub's client.
        private: who may see a Space that is created now; an existing one stays as it is.
        hardware: the machine of a Space that is created now, such as ``zero-a10g``; None for the free one.

    Returns:
        The Space's address.

    Raises:
        RuntimeError: as `space_files`.
        HfHubHTTPError: the Hub refuses (name, rights, README front matter).
    """
    files = space_files(root)
    space = api.create_repo(
        repo, repo_type="space", space_sdk="gradio", space_hardware=hardware, private=private, exist_ok=True
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in files:
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy)
        # Files of an earlier upload that are no longer part of the page go away.
        api.upload_folder(
            repo_id=space.repo_id, repo_type="space", folder_path=folder, delete_patterns="*", commit_message="Update"
        )
    return str(space)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.space", description="Put the page on a Hugging Face Space.")
    parser.add_argument("repo", help="name or owner/name of the Space")
    parser.add_argument("--private", action="store_true", help="if the Space is created now: only you see it")
    parser.add_argument("--hardware", help="if the Space is created now: its machine, such as zero-a10g")
    options = parser.parse_args(arguments)
    try:
        print(publish(options.repo, api=HfApi(), private=options.private, hardware=options.hardware))
    except LocalTokenNotFoundError:
        raise SystemExit("You are not logged in: run .venv/bin/hf auth login, or set HF_TOKEN.") from None
    except (RuntimeError, HfHubHTTPError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
