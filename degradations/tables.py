"""Tables of questions about pictures as VLMEvalKit reads and writes them: TSV files with the pictures inside.

What VLMEvalKit does with a table NAME.tsv in its data folder ($LMUData), and what is made of it here:

- `image` holds a picture in base64, a list of such, or, in at most 64 characters, the `index` of the row whose picture
  it shares. A row without one is passed over.
- A picture is decoded into $LMUData/images/NAME/, unless the file is there. With a column `image_path` it is saved as
  that says, which keeps a PNG exact. Without one some versions save INDEX.jpg, which compresses once more; early
  versions do so with it too.
- Without a column `image` the files that `image_path` names are taken as they are; not every class of data set resolves
  a relative path.
- NAME_local.tsv beside a table above 1 GB is read instead of it.

So every copy gets two tables: NAME.tsv can be moved anywhere, NAME_local.tsv names the files where they were made.
"""

import ast
import base64
import csv
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from degradations.files import replacing

POINTER = 64
"""An `image` of at most so many characters is the index of another row."""

NO_PICTURE = ("", "nan", "NaN", "NA", "N/A", "<NA>", "null", "NULL", "None", "none")
"""What a reader of tables takes for an empty cell."""


class TableError(ValueError):
    """A table that VLMEvalKit could not read either; the text says where."""


class Table:
    """The rows of a TSV file and the pictures they hold, read as a stream each time.

    Only the places of rows that others point to are kept in memory.

    Raises:
        TableError: no `index`, neither `image` nor `image_path`, or a row that is longer than the header.
    """

    def __init__(self, path: Path):
        self.path = path
        self._header = next(self._lines(), [])
        for needed in (("index",), ("image", "image_path")):
            if not set(needed) & set(self._header):
                raise TableError(f"{path} has no column {' or '.join(needed)}, so it is no table for VLMEvalKit")
        self.columns = [name for name in self._header if name not in ("image", "image_path")]
        self._inside = "image" in self._header
        pointers = {cell for _, _, cell in self._rows() if self._is_pointer(cell)}
        self._targets = {
            row["index"]: self._stems(number, cell)
            for number, row, cell in (self._rows() if pointers else ())
            if row["index"] in pointers and cell and not self._is_pointer(cell)
        }

    def pictures(self) -> Iterator[tuple[str, str, str | Path]]:
        """(source, stem of the file to make, base64 or path or pointer to nowhere) of every picture."""
        for number, row, cell in self._rows():
            if self._is_pointer(cell) and cell in self._targets:
                continue
            for stem, content in zip(self._stems(number, cell), _parts(cell), strict=True):
                yield f"{self.path.name}#{row['index']}", stem, content if self._inside else self._find(content)

    def rows(self) -> Iterator[tuple[list[str], list[str], str]]:
        """(values of `columns`, stems of its pictures, pointer or nothing) of every row."""
        for number, row, cell in self._rows():
            pointer = cell if self._is_pointer(cell) else ""
            yield [row[name] for name in self.columns], self._targets.get(pointer) or self._stems(number, cell), pointer

    def _rows(self) -> Iterator[tuple[int, dict[str, str], str]]:
        """(number, row, its cell of pictures) of every row."""
        lines = self._lines()
        next(lines)
        for number, line in enumerate(lines):
            if len(line) > len(self._header):
                raise TableError(f"row {number + 1} of {self.path} has more fields than the header")
            row = dict.fromkeys(self._header, "") | dict(zip(self._header, line, strict=False))
            cell = row["image" if self._inside else "image_path"]
            yield number, row, "" if cell in NO_PICTURE else cell

    def _lines(self) -> Iterator[list[str]]:
        csv.field_size_limit(2**31 - 1)  # of a field in characters; the default does not hold a photo
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            try:
                yield from (line for line in csv.reader(file, delimiter="\t") if line)
            except (UnicodeDecodeError, csv.Error) as error:
                raise TableError(f"{self.path} is no table in UTF-8: {error}") from error

    def _is_pointer(self, cell: str) -> bool:
        return self._inside and 0 < len(cell) <= POINTER

    def _stems(self, number: int, cell: str) -> list[str]:
        """The rows are numbered, since an index may be any text."""
        count = len(_parts(cell))
        return [f"{number:06d}" if count == 1 else f"{number:06d}_{part}" for part in range(count)]

    def _find(self, path: str) -> Path:
        """A file named in `image_path`: beside the table, or where VLMEvalKit would look for it."""
        beside = self.path.parent / path
        with suppress(OSError, ValueError):  # no name that a file could have
            if beside.exists():
                return beside
        return self.path.parent / "images" / self.path.stem / path


def write_tables(source, out: Path, names: list[str], suffix: str) -> int:
    """Write NAME.tsv and NAME_local.tsv into `out` for the pictures of each copy in ``images/NAME``.

    A row whose pictures are not all there keeps its place in NAME.tsv with an empty `image`, so that VLMEvalKit passes
    over it; in NAME_local.tsv, where an empty path would stop it, the row is left out.

    Args:
        source: has `columns` and `rows`, as a `Table` has.

    Returns:
        Number of rows that lack a picture which the source has.
    """
    out, lacking = out.resolve(), 0
    with ExitStack() as stack:
        writers = {}
        for name in names:
            for path in (out / f"{name}.tsv", out / f"{name}_local.tsv"):
                unfinished = stack.enter_context(replacing(path))
                file = stack.enter_context(unfinished.open("w", newline="", encoding="utf-8"))
                writers[path.stem] = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
            writers[name].writerow([*source.columns, "image_path", "image"])
            writers[f"{name}_local"].writerow([*source.columns, "image_path"])
        for values, stems, pointer in source.rows():
            made = True
            for name in names:
                paths = [out / "images" / name / f"{stem}{suffix}" for stem in stems]
                made = bool(paths) and all(path.is_file() for path in paths)
                if made:
                    # Upwards first: VLMEvalKit keeps tables of some names in one folder, where copies would mix.
                    short = [f"../{name}/{stem}{suffix}" for stem in stems]
                    image = pointer or _cell([base64.b64encode(path.read_bytes()).decode() for path in paths])
                    writers[name].writerow([*values, _cell(short), image])
                    writers[f"{name}_local"].writerow([*values, _cell([str(path) for path in paths])])
                else:
                    writers[name].writerow([*values, "", ""])
            lacking += bool(stems) and not made
    return lacking


def _parts(cell: str) -> list[str]:
    """The pictures or paths in a cell: none, one, or a list as Python writes it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            return [str(part) for part in ast.literal_eval(cell)]
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # which a hostile cell can raise
            return [cell]
    return [cell] if cell else []


def _cell(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else str(parts)
