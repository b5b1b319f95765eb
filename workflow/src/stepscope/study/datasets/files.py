"""Text tables and pictures of datasets as files.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stepscope.study.suggestions import did_you_mean

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def table(
    path: Path, required: Iterable[str], known: Iterable[str] | None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number (the header is row 1) and cells of each row of a TSV or CSV that is not blank.

    A CSV is one by its ending, in any case. As spreadsheets write them: a byte-order mark, CRLF,
    quotes, empty cells at the ends of rows.
    Columns beyond `known` are refused unless it is None. A ValueError of one sentence names the
    file and the row.
    """
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    lines = csv.reader(
        io.StringIO(text_of(path), newline=""),
        delimiter=separator,
        strict=True,  # an open quote would otherwise swallow the rest of the table
    )
    try:
        header = _without_empty_end(next(lines, []))
        _check_separated(path, header, required, separator)
        _check_header(path, header, required, known)
        for cells in lines:
            cells = _without_empty_end(cells)
            if not cells:
                continue
            if len(cells) > len(header):
                raise ValueError(
                    f"{path}, row {lines.line_num}: more cells than the header has columns."
                )
            cells += [""] * (len(header) - len(cells))
            row = dict(zip(header, cells, strict=True))
            for name, cell in row.items():
                check_text(cell, f"{path}, row {lines.line_num}, column {name}")
            yield lines.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path}, row {lines.line_num}: the quotes are wrong ({error}).") from None


def _without_empty_end(cells: list[str]) -> list[str]:
    """Cells without the blanks around them and without the empty ones at the end."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        del cells[-1]
    return cells


def _check_separated(
    path: Path, header: list[str], required: Iterable[str], separator: str
) -> None:
    """Refuse a header whose names are there, but between other separators."""
    names = set(re.split(r"[\s,;]+", " ".join(header)))
    if len(header) == 1 < len(names) and names.issuperset(required):
        wanted = "commas" if separator == "," else "tabs"
        raise ValueError(
            f"{path}, row 1: the columns of a {path.suffix} file are separated by {wanted}, "
            f"and {header[0]!r:.80} has none."
        )


def _check_header(
    path: Path, header: list[str], required: Iterable[str], known: Iterable[str] | None
) -> None:
    """Refuse a header that lacks a column, names one twice, or one that is not known."""
    for name in required:
        if name not in header:
            raise ValueError(f"{path}, row 1: column {name} is missing.")
    for name in header:
        if known is not None and name not in known:
            raise ValueError(
                f"{path}, row 1: column {name!r} is not known{did_you_mean(name, known)}."
            )
        if header.count(name) > 1:
            raise ValueError(f"{path}, row 1: column {name} occurs twice.")


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turn errors of the system about a file that the block opens into a ValueError."""
    check_text(str(path), "the name of a file")
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from None


def text_of(path: Path) -> str:
    """Text of a UTF-8 file with or without a byte-order mark; ValueError without such a file."""
    try:
        with readable(path):
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        row = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, row {row}: the file is not UTF-8.") from None


def check_text(text: str, where: str) -> None:
    """Refuse half a character, as JSON can hold one, and NUL, which no file name has.

    The ValueError begins with `where`.
    """
    if bad := re.search("[\0\ud800-\udfff]", text):
        raise ValueError(f"{where}: {text!r:.80} holds {bad.group()!a}, which is no character.")


def check_picture(path: str, where: str) -> None:
    """Refuse a file that cannot be read or does not begin as a picture does.

    The ValueError begins with `where`.
    """
    try:
        with readable(path), open(path, "rb") as file:
            start = file.read(4)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not start.startswith(PICTURES):
        raise ValueError(f"{where}: {path} is no picture.")
