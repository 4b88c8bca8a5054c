"""What `make space` would send to the Hub, up to the upload itself."""

import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import huggingface_hub
import pytest
from huggingface_hub import RepoUrl, SpaceCardData, metadata_load
from packaging.requirements import Requirement

from demo import space

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


class RecordingApi:
    """Answers like HfApi and keeps what it was asked."""

    def __init__(self):
        self.created = self.uploaded = self.files = None

    def create_repo(self, repo_id, **options):
        self.created = (repo_id, options)
        return RepoUrl(f"https://huggingface.co/spaces/somebody/{repo_id}")

    def upload_folder(self, *, folder_path, **options):
        self.uploaded = options
        folder = Path(folder_path)
        self.files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A small checkout with every kind of file: shipped, not shipped, not tracked."""
    root = tmp_path / "checkout"
    for name in ("app.py", "requirements.txt", "packages.txt", "README.md", "LICENSE", "Makefile", "demo/page.py",
                 "demo/a b.css", "demo/embedded/base/model.safetensors", "degradations/recipe.py", "examples/cat.jpg",
                 "tests/test_app.py", "training/sft.py"):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    git(root.parent, "init", "-q", str(root))
    git(root, "add", ".")
    (root / "demo/token.txt").write_text("secret")
    return root


def test_the_tracked_files_of_the_page_go_up_and_no_others(checkout):
    api = RecordingApi()
    address = space.publish("demo", api=api, root=checkout, private=True)
    assert address == "https://huggingface.co/spaces/somebody/demo"
    assert api.created == (
        "demo",
        {"repo_type": "space", "space_sdk": "gradio", "space_hardware": None, "private": True, "exist_ok": True},
    )
    assert api.uploaded["repo_id"] == "somebody/demo"
    assert api.uploaded["repo_type"] == "space"
    assert api.uploaded["delete_patterns"] == "*"
    assert set(api.files) == {
        "app.py", "requirements.txt", "packages.txt", "README.md", "LICENSE", "demo/page.py", "demo/a b.css",
        "demo/embedded/base/model.safetensors", "degradations/recipe.py", "examples/cat.jpg",
    }  # fmt: skip
    assert api.files["demo/a b.css"] == b"demo/a b.css"


def test_the_real_client_takes_these_calls(checkout, monkeypatch):
    """The recorder accepts anything; HfApi's own signatures do not."""
    calls = []

    def record(self, *args, **kwargs):
        calls.append(kwargs)
        return RepoUrl("https://huggingface.co/spaces/somebody/demo")

    for name in ("create_repo", "upload_folder"):
        real = getattr(huggingface_hub.HfApi, name)
        # The stand-in checks its arguments against the real signature.
        monkeypatch.setattr(huggingface_hub.HfApi, name, create_autospec(real, side_effect=record))
    space.publish("demo", api=huggingface_hub.HfApi(), root=checkout)
    assert len(calls) == 2


def test_a_file_that_the_hub_refuses_is_named(checkout):
    with (checkout / "demo/embedded/base/model.safetensors").open("wb") as file:
        file.truncate(space.LARGEST + 1)
    with pytest.raises(RuntimeError, match=r"model\.safetensors has 10000001 bytes"):
        space.publish("demo", api=RecordingApi(), root=checkout)


def test_a_missing_part_is_named(checkout):
    shutil.rmtree(checkout / "examples")
    with pytest.raises(RuntimeError, match="examples is missing"):
        space.space_files(checkout)


def test_a_folder_without_git_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="git"):
        space.space_files(tmp_path)


def test_without_a_login_the_command_says_so(monkeypatch):
    def refuse(*args, **kwargs):
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    monkeypatch.setattr(space, "space_files", lambda root: [])
    with pytest.raises(SystemExit, match="not logged in"):
        space.main(["demo"])


def test_this_repository_runs_from_what_goes_up(tmp_path):
    """The shipped files alone import: nothing of the page needs training/ or tests/."""
    api = RecordingApi()
    space.publish("demo", api=api)
    assert not [name for name in api.files if name.startswith(("tests/", "training/", "."))]
    for name, content in api.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    subprocess.run([sys.executable, "-c", "import app"], cwd=tmp_path, check=True, timeout=120)


def test_the_front_matter_is_a_valid_space_card():
    metadata = metadata_load(space.ROOT / "README.md")
    SpaceCardData(**metadata)
    assert metadata["sdk"] == "gradio"
    assert metadata["python_version"] == "3.12"
    assert (space.ROOT / metadata["app_file"]).is_file()
    assert {metadata["colorFrom"], metadata["colorTo"]} <= COLOURS
    assert len(metadata["short_description"]) <= 60
    assert metadata["license"] == "mit"
    assert metadata["title"] and metadata["emoji"]
    assert all("/" in model for model in metadata["models"])
    assert {entry.split()[0] for entry in metadata["preload_from_hub"]} <= set(metadata["models"])


def test_the_front_matter_agrees_with_the_requirements():
    """A Space installs its sdk_version beside requirements.txt: both must name one Gradio."""
    requirements = {}
    for line in (space.ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            requirements[requirement.name] = requirement.specifier
    assert metadata_load(space.ROOT / "README.md")["sdk_version"] in requirements["gradio"]
    assert not {"torchvision", "timm", "trl", "datasets", "qwen-vl-utils"} & set(requirements)
    unbounded = [
        name for name, specifier in requirements.items() if not any(s.operator in ("<", "==") for s in specifier)
    ]
    assert not unbounded
