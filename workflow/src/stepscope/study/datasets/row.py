"""What all datasets share: rows, their captions, pictures and roles, and which rows are drawn.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import hashlib
import heapq
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from stepscope.language import ROLES, composed, words

AnyRow = TypeVar("AnyRow")


def drawn(
    rows: Iterable[AnyRow], limit: int | None, seed: int, name: Callable[[AnyRow], str]
) -> list[AnyRow]:
    """Rows in an order drawn by ``seed``, the first ``limit`` of them (None: all).

    A row's place depends on its name alone, so that neither the order of a file nor rows added to
    it change which of the others come first.
    """

    def rank(row: AnyRow) -> bytes:
        return hashlib.blake2b(f"{seed}:{name(row)}".encode(), digest_size=8).digest()

    return sorted(rows, key=rank) if limit is None else heapq.nsmallest(limit, rows, key=rank)


def batch_of(prompt_id: str, batches: int) -> str:
    """Name of the batch that a prompt is in, whatever other prompts there are."""
    return str(zlib.crc32(prompt_id.encode()) % batches)


def roles(row: dict, prompt: str, place: str) -> dict[str, str]:
    """Words of the prompt by role, from what a row holds under the names of the roles."""
    found = {role: composed(row[role]) for role in ROLES if row.get(role)}
    present = set(words(prompt))
    for role, text in found.items():
        named = words(text)
        if not named:
            raise ValueError(f"{place} {role}: {text!r} holds no word.")
        for word in named:
            if word not in present:
                raise ValueError(
                    f"{place} {role}: {word!r} does not occur in the prompt {prompt!r}."
                )
            _check_alone(word, role, found, prompt, f"{place} {role}")
    return found


def _check_alone(word: str, role: str, found: dict[str, str], prompt: str, place: str) -> None:
    """Refuse a word of several roles, but a subject and an object that occur one after another."""
    others = [other for other in found if other != role and word in words(found[other])]
    if not others or ({role, *others} == {"subject", "object"} and words(prompt).count(word) > 1):
        return
    raise ValueError(f"{place}: {word!r} is also the {others[0]}, and a word has one role.")


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
    found = " ".join(composed(text).split())
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
