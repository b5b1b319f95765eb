"""JSON files of foreign datasets, with errors of one sentence that name the file and the place.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from stepscope.study.datasets.files import text_of

NAMES = {str: "text", int: "an integer", list: "a list", dict: "a mapping"}
PIECE = 2**24  # characters; an entry that a piece ends in is parsed again with the next one
BETWEEN = re.compile(r"[\s,]*")


def load(path: str) -> object:
    """What a JSON file holds."""
    try:
        return json.loads(text_of(Path(path)))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, row {error.lineno}, character {error.colno}: "
            f"the file is no JSON, or is cut off ({error.msg})."
        ) from None


def lines(path: Path) -> Iterator[tuple[int, dict]]:
    """Number (from 1) and mapping of each line of a JSON Lines file that is not blank."""
    # not splitlines: a caption may hold one of the further characters that it takes for line ends
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}, row {number}: the line is no JSON, or is cut off ({error.msg})."
            ) from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}: the line is no mapping.")
        yield number, row


def elements(path: str) -> Iterator[tuple[int, object]]:
    """Index and value of each element of a file that is one JSON list, a piece at a time.

    Visual Genome's relationships are 700 MB, which read at once need ten times that in memory.
    """
    decoder = json.JSONDecoder()
    try:
        with open(path, encoding="utf-8-sig") as file:
            text, place, index = "", 1, 0
            while not text and (piece := file.read(PIECE)):
                text = piece.lstrip()
            if not text.startswith("["):
                raise ValueError(f"{path}: the file is no JSON list.")
            while True:
                place = BETWEEN.match(text, place).end()
                if text.startswith("]", place):
                    return
                try:
                    value, place = decoder.raw_decode(text, place)
                except json.JSONDecodeError as error:
                    more = file.read(PIECE)
                    if not more:
                        raise ValueError(
                            f"{path}, [{index}]: the file is no JSON, or is cut off ({error.msg})."
                        ) from None
                    text, place = text[place:] + more, 0
                else:
                    yield index, value
                    index += 1
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file is not UTF-8.") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from None


def field(entry: object, key: str, kind: type, place: str) -> object:
    """``entry[key]``, which must be a str, int, list or dict as ``kind`` says."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: {entry!r:.80} is no mapping.")
    if key not in entry:
        raise ValueError(f"{place}, key {key}: it is missing.")
    if type(entry[key]) is not kind:  # not isinstance: true and false are no integers here
        raise ValueError(f"{place}, key {key}: {entry[key]!r:.80} is not {NAMES[kind]}.")
    return entry[key]
