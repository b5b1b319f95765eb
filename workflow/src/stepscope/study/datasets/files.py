"""Text tables and pictures of datasets as files.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stepscope.study.suggestions import did_you_mean

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def table(
    path: Path, required: Iterable[str], known: Iterable[str] | None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number (the header is row 1) and cells of each row of a TSV or CSV that is not blank.

    As spreadsheets write them: a byte-order mark, CRLF, quotes, empty cells at the ends of rows.
    Columns beyond `known` are refused unless it is None. A ValueError of one sentence names the
    file and the row.
    """
    lines = csv.reader(
        io.StringIO(text_of(path), newline=""),
        delimiter="," if path.suffix == ".csv" else "\t",
        strict=True,  # an open quote would otherwise swallow the rest of the table
    )
    try:
        header = _without_empty_end(next(lines, []))
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
            yield lines.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, row {lines.line_num}: the quotes are wrong ({error}).") from None


def _without_empty_end(cells: list[str]) -> list[str]:
    """Cells without the blanks around them and without the empty ones at the end."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        del cells[-1]
    return cells


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
    """Turn errors of the system about a file that the block reads into a ValueError."""
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


def check_picture(path: str, where: str) -> None:
    """Refuse a file that cannot be read or does not begin as a picture does.

    The ValueError begins with `where`.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ValueError(f"{where}: {path}: {error.strerror}.") from None
    if not start.startswith(PICTURES):
        raise ValueError(f"{where}: {path} is no picture.")
