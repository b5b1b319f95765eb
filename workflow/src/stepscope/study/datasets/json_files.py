"""JSON files of foreign datasets, with errors of one sentence that name the file and the key.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from stepscope.study.datasets.files import check_text, readable, text_of

Kind = TypeVar("Kind", str, int, list, dict)
NAMES = {str: "text", int: "an integer", list: "a list", dict: "a mapping"}
PIECE = 2**24  # characters; an entry that a piece ends in is parsed again with the next one
BETWEEN = re.compile(r"[\s,]*")


@contextmanager
def _parsing(where: str) -> Iterator[None]:
    """Say in one sentence what is JSON and too much for the parser; broken JSON is let through."""
    try:
        yield
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(f"{where}: the JSON is nested too deeply.") from None
    except ValueError:
        raise ValueError(f"{where}: the JSON has a number of thousands of digits.") from None


def load(path: str) -> Any:
    """What a JSON file holds; a broken one raises a ValueError that names the row."""
    text = text_of(Path(path))
    try:
        with _parsing(path):
            return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, row {error.lineno}, character {error.colno}: "
            f"the file is no JSON, or is cut off ({error.msg})."
        ) from None


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and mapping of each line of a JSON Lines file that is not blank.

    A line that holds no mapping raises a ValueError that names the row.
    """
    # not splitlines: a caption may hold one of the further characters that it takes for line ends
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            with _parsing(f"{path}, row {number}"):
                row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}, row {number}: the line is no JSON, or is cut off ({error.msg})."
            ) from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}: the line is no mapping.")
        yield number, row


def elements(path: str) -> Iterator[tuple[int, Any]]:
    """Index and value of each element of a file that is one JSON list, a piece at a time.

    Visual Genome's relationships are 700 MB, which read at once need ten times that in memory.
    A file that is broken, missing or no list raises a ValueError that names it.
    """
    try:
        with readable(path), open(path, encoding="utf-8-sig") as file:
            yield from _elements(file, path)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file is not UTF-8.") from None


def _elements(file: TextIO, path: str) -> Iterator[tuple[int, Any]]:
    """Index and value of each element of an opened JSON list."""
    decoder = json.JSONDecoder()
    text, position, index = "", 1, 0  # the list's elements begin behind the bracket
    while not text and (piece := file.read(PIECE)):
        text = piece.lstrip()
    if not text.startswith("["):
        raise ValueError(f"{path}: the file is no JSON list.")
    while True:
        if between := BETWEEN.match(text, position):
            position = between.end()
        if text.startswith("]", position):
            return
        try:
            with _parsing(f"{path}, [{index}]"):
                value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            more = file.read(PIECE)
            if not more:
                raise ValueError(
                    f"{path}, [{index}]: the file is no JSON, or is cut off ({error.msg})."
                ) from None
            text, position = text[position:] + more, 0
        else:
            yield index, value
            index += 1


def field(entry: Any, key: str, kind: type[Kind], where: str) -> Kind:
    """The value `entry[key]`, which must be a str, int, list or dict as `kind` says.

    Another one, or none, raises a ValueError that begins with `where`.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: {entry!r:.80} is no mapping.")
    if key not in entry:
        raise ValueError(f"{where}, key {key}: it is missing.")
    if type(entry[key]) is not kind:  # not isinstance: true and false are no integers here
        raise ValueError(f"{where}, key {key}: {entry[key]!r:.80} is not {NAMES[kind]}.")
    if isinstance(entry[key], str):
        check_text(entry[key], f"{where}, key {key}")
    return entry[key]
