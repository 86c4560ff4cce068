"""Annotation files as people have them: byte-order marks, CRLF, stray spaces and blank last lines are no errors."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fer_ssl.errors import DataError


class Line(NamedTuple):
    """A line of an annotation file, without outer spaces, and where it stands."""

    text: str
    number: int
    path: Path

    def error(self, problem: str) -> DataError:
        """Return the error that this line has `problem`."""
        return DataError(f"line {self.number} of {self.path} {problem}; restore the official file")


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a text file, counted from 1, those before its blank end.

    Raises DataError for a file that is missing, is not UTF-8, or has nothing in it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); set data.root=<dir>") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; restore the official file") from None
    texts = [line.strip() for line in re.split(r"\r\n|\n|\r", text.rstrip())]
    if texts == [""]:
        raise DataError(f"{path} is empty; restore the official file")
    return [Line(line, number, path) for number, line in enumerate(texts, 1)]


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[Line, list[str]]]:
    """Return the values of `columns` in each row of a CSV file with a header; blank rows are skipped.

    Raises DataError as `read_lines` does, for a missing column and for a row with another number of fields.
    """
    header, *rows = [(line, fields(line)) for line in read_lines(path) if line.text]
    names = header[1]
    for column in columns:
        if column not in names:
            raise DataError(
                f"{path} has no column {column!r} but {', '.join(names)[:200]}; use the official file with its header"
            )
    for line, values in rows:
        if len(values) != len(names):
            raise line.error(f"has {len(values)} fields instead of {len(names)}")
    order = [names.index(column) for column in columns]
    return [(line, [values[column] for column in order]) for line, values in rows]


def fields(line: Line) -> list[str]:
    """Return the comma-separated fields of a line without outer spaces; raise DataError for bad quoting."""
    try:
        return [value.strip() for value in next(csv.reader([line.text], strict=True))]
    except csv.Error as error:
        raise line.error(f"is not CSV ({error})") from None


def to_int(text: str, line: Line, what: str, least: int, most: int) -> int:
    """Return a whole number in `least..most`; raise DataError naming the line for anything else."""
    if re.fullmatch(r"[+-]?[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    raise line.error(f"has {what} {text[:40]!r} instead of a number in {least}..{most}")


def to_file(text: str, line: Line) -> str:
    """Return a path below the folder of images; raise DataError for one that leads out of it."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\0" in text:
        raise line.error(f"names the image {text[:80]!r}, which is no path below the folder of images")
    return path.as_posix()
