"""Visual Genome's relationships: triples as prompts with roles, and their boxes.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter

from stepscope.language import composed, words
from stepscope.study.datasets.json_files import elements, field
from stepscope.study.datasets.row import Row, once, pictures

FOLDERS = ("", "VG_100K/", "VG_100K_2/")  # as the two archives of pictures are unpacked


def rows(entry: dict) -> Iterator[Row]:
    """One row a triple of ``entry["visual_genome"]``; prompt_id is <image id>-<relationship id>.

    The prompt is "subject predicate object" in lower case ("ON" is how it was typed in). A triple
    that a picture has several times is one row, with the smallest id and the boxes of all. A triple
    with a part that holds no word is no prompt and is left out.
    """
    path, known = entry["visual_genome"], set()
    for index, image in elements(path):
        place = f"{path}, [{index}]"
        number = _number(image, ("image_id", "id"), place)
        once(number, known, f"{place}, key image_id")
        found = pictures(
            entry.get("images"), [f"{folder}{number}.jpg" for folder in FOLDERS], place
        )
        triples, identifiers = defaultdict(list), set()
        for position, relation in enumerate(field(image, "relationships", list, place)):
            where = f"{place}.relationships[{position}]"
            identifier = _number(relation, ("relationship_id", "id"), where)
            once(identifier, identifiers, f"{where}, key relationship_id")
            parts = {role: field(relation, role, dict, where) for role in ("subject", "object")}
            subject, object_ = (_name(part, f"{where}.{role}") for role, part in parts.items())
            predicate = _text(field(relation, "predicate", str, where))
            boxes = (
                {role: _box(part, f"{where}.{role}") for role, part in parts.items()}
                if found
                else {}
            )
            if all(map(words, (subject, predicate, object_))):
                triples[subject, predicate, object_].append((identifier, boxes))
        for triple, listed in triples.items():
            listed.sort(key=itemgetter(0))
            yield Row(
                prompt_id=f"{number}-{listed[0][0]}",
                prompt=" ".join(triple),
                place=place,
                pictures=found,
                roles=dict(zip(("subject", "relation", "object"), triple, strict=True)),
                boxes=_by_word(triple, [boxes for _, boxes in listed]),
            )


def _number(entry: object, names: tuple[str, str], place: str) -> int:
    """An identifier under its name, or under the one that version 1.0 has for it."""
    later, earlier = names
    old = isinstance(entry, dict) and earlier in entry and later not in entry
    return field(entry, earlier if old else later, int, place)


def _text(text: str) -> str:
    return " ".join(composed(text).lower().split())


def _name(thing: dict, place: str) -> str:
    """Name of a subject or object, spelled ``name``, or the first of ``names``."""
    if "names" not in thing:
        return _text(field(thing, "name", str, place))
    names = field(thing, "names", list, place)
    if not names or not isinstance(names[0], str):
        raise ValueError(f"{place}, key names: {names!r:.80} does not begin with a text.")
    return _text(names[0])


def _box(thing: dict, place: str) -> list[float]:
    """[x, y, width, height] in pixels; the sizes are spelled ``w`` and ``h``, or in full."""
    box = []
    for key, spelled in (("x", "x"), ("y", "y"), ("w", "width"), ("h", "height")):
        name = spelled if key not in thing and spelled in thing else key
        if not isinstance(thing.get(name), int | float):
            raise ValueError(f"{place}, key {name}: {thing.get(name)!r:.80} is no number.")
        box.append(thing[name])
    return box


def _by_word(triple: tuple[str, str, str], listed: list[dict]) -> dict[str, list[list[float]]]:
    """Boxes of each word of a triple's subject and object: a mask belongs to a word."""
    found = defaultdict(list)
    for role, name in (("subject", triple[0]), ("object", triple[2])):
        for word in dict.fromkeys(words(name)):
            for boxes in listed:
                if role in boxes and boxes[role] not in found[word]:
                    found[word].append(boxes[role])
    return {word: boxes for word, boxes in found.items() if boxes}
