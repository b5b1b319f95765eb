"""COCO captions: Karpathy's split file and the official captions files.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections import defaultdict
from collections.abc import Iterator
from difflib import get_close_matches

from stepscope.study.datasets.json_files import field, load
from stepscope.study.datasets.row import Row, caption, once, pictures


def rows(entry: dict) -> Iterator[Row]:
    """One row a caption of the file ``entry["coco"]``; prompt_id is <image id>-<caption id>.

    The same caption again for the same picture is left out (the one with the smallest id stays):
    it would be the same sample twice. For another picture it is a row of its own.
    """
    path = entry["coco"]
    data = load(path)
    images = field(data, "images", list, path)
    if "annotations" in data:
        if "split" in entry:
            raise ValueError(f"{path}, key split: an official captions file has no splits.")
        return _official(path, images, field(data, "annotations", list, path), entry)
    return _karpathy(path, images, entry)


def _karpathy(path: str, images: list, entry: dict) -> Iterator[Row]:
    """Rows of a file with images[]: split, filepath, filename, cocoid, sentences[]: raw, sentid."""
    splits, known = set(), set()
    for index, image in enumerate(images):
        place = f"{path}, images[{index}]"
        key = "cocoid" if isinstance(image, dict) and "cocoid" in image else "imgid"
        number = field(image, key, int, place)  # Flickr's files of the same form have no cocoid
        once(number, known, f"{place}, key {key}")
        splits.add(field(image, "split", str, place))
        sentences, identifiers = {}, set()
        for position, sentence in enumerate(field(image, "sentences", list, place)):
            where = f"{place}.sentences[{position}]"
            identifier = field(sentence, "sentid", int, where)
            once(identifier, identifiers, f"{where}, key sentid")
            sentences[identifier] = caption(field(sentence, "raw", str, where), f"{where}, key raw")
        name = field(image, "filename", str, place)
        names = [f"{image['filepath']}/{name}", name] if image.get("filepath") else [name]
        found = pictures(entry.get("images"), names, f"{place}, key filename")
        if image["split"] == entry.get("split", image["split"]):
            yield from _of_one_picture(number, sentences, f"{place}, key filename", found)
    if splits and (wanted := entry.get("split", min(splits))) not in splits:
        hint = "".join(f", did you mean {near}" for near in get_close_matches(wanted, splits, 1))
        raise ValueError(
            f"{path}, key split: there is no split {wanted!r}, "
            f"only {', '.join(sorted(splits))}{hint}."
        )


def _official(path: str, images: list, annotations: list, entry: dict) -> Iterator[Row]:
    """Rows of a file with images[]: id, file_name and annotations[]: id, image_id, caption."""
    names, known, captions = {}, set(), defaultdict(dict)
    for index, image in enumerate(images):
        place = f"{path}, images[{index}]"
        number = field(image, "id", int, place)
        once(number, known, f"{place}, key id")
        names[number] = f"{place}, key file_name", field(image, "file_name", str, place)
    known = set()
    for index, annotation in enumerate(annotations):
        place = f"{path}, annotations[{index}]"
        identifier = field(annotation, "id", int, place)
        once(identifier, known, f"{place}, key id")
        number = field(annotation, "image_id", int, place)
        if number not in names:
            raise ValueError(f"{place}, key image_id: there is no image {number}.")
        text = field(annotation, "caption", str, place)
        captions[number][identifier] = caption(text, f"{place}, key caption")
    for number, (place, name) in names.items():
        found = pictures(entry.get("images"), [name], place)
        yield from _of_one_picture(number, captions[number], place, found)


def _of_one_picture(
    number: int, captions: dict[int, str], place: str, found: tuple[str, ...]
) -> Iterator[Row]:
    """Rows of a picture's captions by id, each text once."""
    seen = set()
    for identifier, text in sorted(captions.items()):
        if text not in seen:
            seen.add(text)
            yield Row(f"{number}-{identifier}", text, place, found)
