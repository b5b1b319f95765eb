"""Visual Genome's relationships: triples as prompts with roles, and their boxes.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stepscope.language import composed, words
from stepscope.study.datasets.files import check_text
from stepscope.study.datasets.json_files import elements, field
from stepscope.study.datasets.row import Row, once, picture_paths

FOLDERS = ("", "VG_100K/", "VG_100K_2/")  # as the two archives of pictures are unpacked
THINGS = ("subject", "object")  # the roles of a relation's parts that have boxes
SIZES = ("width", "height")
Box = list[float]  # x, y, width, height in pixels


class Triple(NamedTuple):
    """The texts of a relation, in the order of the prompt."""

    subject: str
    relation: str
    object: str


class Relation(NamedTuple):
    """A relation of a picture; `boxes` by role, none where the pictures are not at hand."""

    identifier: int
    triple: Triple
    boxes: dict[str, Box]


def rows(entry: Mapping[str, Any]) -> Iterator[Row]:
    """One row a triple of `entry["visual_genome"]`; prompt_id is <image id>-<relationship id>.

    The prompt is "subject predicate object" in lower case ("ON" is how it was typed in). A triple
    that a picture has several times is one row, with the smallest id and the boxes of all. A triple
    with a part that holds no word is no prompt and is left out. What the file lacks raises a
    ValueError that names the file and the key.
    """
    path = entry["visual_genome"]
    numbers: set[int] = set()
    for index, image in elements(path):
        where = f"{path}, [{index}]"
        number = _number(image, ("image_id", "id"), where)
        once(number, numbers, f"{where}, key image_id")
        names = [f"{folder}{number}.jpg" for folder in FOLDERS]
        pictures = picture_paths(entry.get("images"), names, where)
        by_triple: dict[Triple, list[Relation]] = defaultdict(list)
        for relation in _relations(image, where, with_boxes=bool(pictures)):
            if all(map(words, relation.triple)):
                by_triple[relation.triple].append(relation)
        for triple, relations in by_triple.items():
            relations.sort(key=lambda relation: relation.identifier)
            yield Row(
                prompt_id=f"{number}-{relations[0].identifier}",
                prompt=" ".join(triple),
                where=where,
                pictures=pictures,
                roles=triple._asdict(),
                boxes=_by_word(triple, [relation.boxes for relation in relations]),
            )


def _relations(image: Any, where: str, *, with_boxes: bool) -> Iterator[Relation]:
    """Relations of an image, as the file has them."""
    identifiers: set[int] = set()
    for position, entry in enumerate(field(image, "relationships", list, where)):
        inner = f"{where}.relationships[{position}]"
        identifier = _number(entry, ("relationship_id", "id"), inner)
        once(identifier, identifiers, f"{inner}, key relationship_id")
        parts = {role: field(entry, role, dict, inner) for role in THINGS}
        names = {role: _name(part, f"{inner}.{role}") for role, part in parts.items()}
        predicate = _text(field(entry, "predicate", str, inner))
        boxes = {role: _box(part, f"{inner}.{role}") for role, part in parts.items() if with_boxes}
        yield Relation(identifier, Triple(relation=predicate, **names), boxes)


def _number(entry: Any, names: tuple[str, str], where: str) -> int:
    """An identifier under its name, or under the one that version 1.0 has for it."""
    later, earlier = names
    old = isinstance(entry, dict) and earlier in entry and later not in entry
    return field(entry, earlier if old else later, int, where)


def _text(text: str) -> str:
    """A text in lower case with single blanks."""
    return " ".join(composed(text).lower().split())


def _name(thing: dict[str, Any], where: str) -> str:
    """Name of a subject or object, spelled `name`, or the first of `names`."""
    if "names" not in thing:
        return _text(field(thing, "name", str, where))
    names = field(thing, "names", list, where)
    if not names or not isinstance(names[0], str):
        raise ValueError(f"{where}, key names: {names!r:.80} does not begin with a text.")
    check_text(names[0], f"{where}, key names")
    return _text(names[0])


def _box(thing: dict[str, Any], where: str) -> Box:
    """Box of a thing; the sizes, at least 0, are spelled `w` and `h`, or in full.

    A box may begin or end outside of the picture, as published ones do.
    """
    box: Box = []
    for key, spelled in (("x", "x"), ("y", "y"), ("w", "width"), ("h", "height")):
        name = spelled if key not in thing and spelled in thing else key
        value: Any = thing.get(name)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"{where}, key {name}: {value!r:.80} is no number.")
        if spelled in SIZES and value < 0:
            raise ValueError(f"{where}, key {name}: {value!r:.80} is no size, which is 0 or more.")
        box.append(value)
    return box


def _by_word(triple: Triple, relations: Sequence[dict[str, Box]]) -> dict[str, list[Box]]:
    """Boxes of each word of a triple's subject and object: a mask belongs to a word."""
    by_word: dict[str, list[Box]] = defaultdict(list)
    for role, name in (("subject", triple.subject), ("object", triple.object)):
        for word in dict.fromkeys(words(name)):
            for boxes in relations:
                if role in boxes and boxes[role] not in by_word[word]:
                    by_word[word].append(boxes[role])
    return {word: boxes for word, boxes in by_word.items() if boxes}
