"""What the repository promises about itself: its tree, its examples, its requirements, its commands."""

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from PIL import Image

from degradations import REGISTRY, Recipe, degrade

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "degradations/README.md", "examples/README.md", "training/README.md")
EXAMPLES = json.loads((ROOT / "examples/examples.json").read_text(encoding="utf-8"))
GARMENTS = {"t-shirt", "pants", "longsleeve", "shirt", "dress", "shorts", "shoes", "outwear", "hat", "skirt"}


def tracked_files() -> list[str]:
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listing.split("\0") if name]


def tree() -> dict[str, str]:
    """The README's tree: path -> purpose. Folders end in a slash, an indentation of four spaces is one level."""
    block = re.search(r"## The tree\n.*?```\n(.*?)```", README, re.DOTALL)[1]
    paths, folders = {}, []
    for line in block.splitlines():
        indent, name, purpose = re.match(r"( *)(\S+) *(.*)", line).groups()
        folders = folders[: len(indent) // 4]
        paths["".join(folders) + name] = purpose
        if name.endswith("/"):
            folders.append(name)
    return paths


# --- README ---


def test_every_tracked_file_has_its_line_in_the_tree():
    """A file is named itself, by a pattern, or by a folder that the tree does not open."""
    paths = tree()
    opened = {folder for folder in paths for path in paths if path != folder and path.startswith(folder)}
    covers = [f"{path}*" if path.endswith("/") else path for path in paths if path not in opened]
    missing = [name for name in tracked_files() if not any(fnmatch(name, pattern) for pattern in covers)]
    assert not missing, "README.md's tree lacks these files"


def test_every_line_of_the_tree_is_a_file_with_a_purpose():
    names = tracked_files()
    for path, purpose in tree().items():
        assert any(fnmatch(name, f"{path}*" if path.endswith("/") else path) for name in names), (
            f"{path} does not exist"
        )
        assert purpose, f"{path} has no purpose"


def test_the_table_of_degradations_is_the_registry():
    text = (ROOT / "degradations/README.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.split("| what is random |")[1].split("\n\n")[0].splitlines()]
    assert [tuple(row[:3]) for row in rows[2:]] == [(e.stage, e.label, e.name) for e in REGISTRY.values()]
    assert all(len(row) == 5 for row in rows[2:])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_repository_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_named_in_a_document_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^ *(?:\w+=\S+ )*make ([a-z]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for module in set(re.findall(r"-m ((?:demo|training|degradations|tests)\b[\w.]*)", text)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


# --- what is tracked ---


def test_no_file_is_larger_than_a_spaces_git_takes():
    large = [name for name in tracked_files() if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 10_000_000]
    assert not large


def test_nothing_generated_is_tracked():
    ignored = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert not ignored


@pytest.mark.parametrize(
    "name",
    [f"requirements{part}.txt" for part in ("", "-train", "-mcp", "-gpu", "-dev")],
)
def test_every_requirement_has_an_upper_bound(name):
    """Today's install must still work in a year."""
    for line in (ROOT / name).read_text().splitlines():
        if line and not line.startswith(("#", "-r ")):
            assert "<" in line or "==" in line, line


# --- examples ---


def test_there_are_enough_examples_of_both_kinds():
    assert len(EXAMPLES) >= 10
    garments = {example["options"][example["answer"]] for example in EXAMPLES if "garment" in example["question"]}
    assert garments <= GARMENTS and len(garments) >= 6
    assert sum("garment" not in example["question"] for example in EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["image"])
def test_an_example_is_complete_and_free_to_ship(example):
    assert set(example) == {"image", "title", "question", "options", "answer", "recipe", "seed", "note"}
    path = ROOT / "examples" / example["image"]
    assert path.stat().st_size < 200_000
    with Image.open(path) as photo:
        assert min(photo.size) >= 224 and max(photo.size) <= 1024
        degrade(photo, example["recipe"], example["seed"])
    assert len(example["options"]) == len(set(example["options"])) == 4
    assert 0 <= example["answer"] < 4
    assert str(Recipe.parse(example["recipe"])) == example["recipe"], "recipes are written in the order of application"
    origin = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    row = next(line for line in origin.splitlines() if line.startswith(f"| `{example['image']}` |"))
    assert row.rstrip(" |").endswith(("CC0", "public domain"))


def test_every_photo_of_the_folder_is_an_example():
    photos = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in {".jpg", ".png", ".webp"}}
    assert photos == {example["image"] for example in EXAMPLES}


def test_recipes_of_the_examples_are_varied():
    recipes = [Recipe.parse(example["recipe"]) for example in EXAMPLES]
    assert {0, 1, 2, 3} <= {len(recipe) for recipe in recipes}
    assert len({name for recipe in recipes for name in recipe}) >= 12
    assert len({example["answer"] for example in EXAMPLES}) == 4, "the right option is not always in the same place"


# --- how the code hangs together ---


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("degradations", ("demo", "training", "tests")), ("demo", ("training", "tests")), ("training", ("tests",))],
)
def test_imports_run_one_way(package, forbidden):
    pattern = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(forbidden)})\b", re.MULTILINE)
    for path in (ROOT / package).rglob("*.py"):
        assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_a_space_never_imports_training_libraries():
    pattern = re.compile(r"^\s*(?:from|import) (?:trl|datasets|tensorboard)\b", re.MULTILINE)
    for folder in ("degradations", "demo"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not pattern.search(path.read_text(encoding="utf-8")), path
