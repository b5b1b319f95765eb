"""What all datasets share: rows, their captions, pictures and roles, and which rows are drawn.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import hashlib
import heapq
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from stepscope.language import ROLES, composed, words

AnyRow = TypeVar("AnyRow")
Record = dict[str, Any]  # a prompt: prompt_id, prompt, seeds, batch, roles, image, masks, where


def drawn(
    rows: Iterable[AnyRow], limit: int | None, seed: int, name: Callable[[AnyRow], str]
) -> list[AnyRow]:
    """Rows in an order drawn by `seed`, the first `limit` of them (None: all).

    A row's rank depends on its name alone, so that neither the order of a file nor rows added to
    it change which of the others come first.
    """

    def rank(row: AnyRow) -> bytes:
        return hashlib.blake2b(f"{seed}:{name(row)}".encode(), digest_size=8).digest()

    return sorted(rows, key=rank) if limit is None else heapq.nsmallest(limit, rows, key=rank)


def batch_of(prompt_id: str, batches: int) -> str:
    """Name of the batch that a prompt is in, whatever other prompts there are."""
    return str(zlib.crc32(prompt_id.encode()) % batches)


def roles_of(row: Mapping[str, Any], prompt: str, where: str) -> dict[str, str]:
    """Words of the prompt by role, from what a row holds under the names of the roles.

    A word that the prompt lacks, or that has two roles, raises a ValueError that begins with
    `where`.
    """
    roles = {role: composed(row[role]) for role in ROLES if row.get(role)}
    present = set(words(prompt))
    for role, text in roles.items():
        named = words(text)
        if not named:
            raise ValueError(f"{where} {role}: {text!r} holds no word.")
        for word in named:
            if word not in present:
                raise ValueError(
                    f"{where} {role}: {word!r} does not occur in the prompt {prompt!r}."
                )
            _check_alone(word, role, roles, prompt, f"{where} {role}")
    return roles


def _check_alone(word: str, role: str, roles: dict[str, str], prompt: str, where: str) -> None:
    """Refuse a word of several roles, but a subject and an object that occur one after another."""
    others = [other for other in roles if other != role and word in words(roles[other])]
    if not others or ({role, *others} == {"subject", "object"} and words(prompt).count(word) > 1):
        return
    raise ValueError(f"{where}: {word!r} is also the {others[0]}, and a word has one role.")


@dataclass(frozen=True)
class Row:
    """A prompt of a foreign dataset, before its picture is looked for.

    `where` is the key of the file that names the picture, for errors; `pictures` are the paths
    where it may lie, none if the study names no folder; `boxes` are [x, y, width, height] in
    pixels of the picture, by word.
    """

    prompt_id: str
    prompt: str
    where: str
    pictures: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[list[float]]] = field(default_factory=dict)


def caption(text: str, where: str) -> str:
    """A caption on one line: COCO's have line ends and double blanks.

    An empty one, or one without a word, raises a ValueError that begins with `where`.
    """
    line = " ".join(composed(text).split())
    if not line:
        raise ValueError(f"{where}: the caption is empty.")
    check_words(line, where)
    return line


def check_words(text: str, where: str) -> None:
    """Refuse a prompt without a word, of which nothing could be explained.

    The ValueError begins with `where`.
    """
    if not words(text):
        raise ValueError(f"{where}: {text!r:.80} holds no word.")


def picture_paths(folder: str | None, names: Iterable[str], where: str) -> tuple[str, ...]:
    """Paths in `folder` at which a picture may lie, none without a folder.

    A name that leads out of the folder raises a ValueError that begins with `where`.
    """
    names = list(names)
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{where}: {name!r} is no path inside the folder of the pictures.")
    return tuple(str(Path(folder, name)) for name in names) if folder else ()


def once(identifier: Hashable, seen: set[Any], where: str) -> None:
    """Refuse an identifier that was seen before; remember it."""
    if identifier in seen:
        raise ValueError(f"{where}: {identifier!r} occurs twice.")
    seen.add(identifier)
