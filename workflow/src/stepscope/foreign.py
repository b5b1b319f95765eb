"""What the adapters of foreign datasets share: a row, its caption, and where its picture is.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stepscope import datasets


@dataclass(frozen=True)
class Row:
    """A prompt of a foreign dataset, before its picture is looked for.

    ``place`` is where the file names the picture, for errors; ``pictures`` are the paths where it
    may lie, none if the study names no folder; ``boxes`` are [x, y, width, height] in pixels of the
    picture, by word.
    """

    prompt_id: str
    prompt: str
    place: str
    pictures: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[list[float]]] = field(default_factory=dict)


def caption(text: str, place: str) -> str:
    """A caption on one line: COCO's have line ends and double blanks."""
    found = " ".join(datasets.composed(text).split())
    if not found:
        raise ValueError(f"{place}: the caption is empty.")
    return found


def pictures(folder: str | None, names: Iterable[str], place: str) -> tuple[str, ...]:
    """Paths in ``folder`` at which a picture may lie; a name must not lead out of the folder."""
    names = list(names)
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{place}: {name!r} is no path inside the folder of the pictures.")
    return tuple(str(Path(folder, name)) for name in names) if folder else ()


def once(value: object, known: set, place: str) -> None:
    """Refuse an identifier that is already known; remember it."""
    if value in known:
        raise ValueError(f"{place}: {value!r} occurs twice.")
    known.add(value)
