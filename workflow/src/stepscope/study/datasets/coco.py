"""COCO captions: Karpathy's split file and the official captions files.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from stepscope.study.datasets.json_files import field, load
from stepscope.study.datasets.row import Row, caption, once, picture_paths
from stepscope.study.suggestions import did_you_mean


def rows(entry: Mapping[str, Any]) -> Iterator[Row]:
    """One row a caption of the file `entry["coco"]`; prompt_id is <image id>-<caption id>.

    The same caption again for the same picture is left out (the one with the smallest id stays):
    it would be the same sample twice. For another picture it is a row of its own. What the file
    lacks raises a ValueError that names the file and the key.
    """
    path = entry["coco"]
    data = load(path)
    images = field(data, "images", list, path)
    if "annotations" in data:
        if "split" in entry:
            raise ValueError(f"{path}, key split: an official captions file has no splits.")
        return _official(path, images, field(data, "annotations", list, path), entry)
    return _karpathy(path, images, entry)


def _karpathy(path: str, images: list, entry: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of a file with images[]: split, filepath, filename, cocoid, sentences[]: raw, sentid."""
    splits: set[str] = set()
    numbers: set[int] = set()
    for index, image in enumerate(images):
        where = f"{path}, images[{index}]"
        # Flickr's files of the same form have no cocoid
        key = "cocoid" if isinstance(image, dict) and "cocoid" in image else "imgid"
        number = field(image, key, int, where)
        once(number, numbers, f"{where}, key {key}")
        split = field(image, "split", str, where)
        splits.add(split)
        captions = _sentences(field(image, "sentences", list, where), where)
        name = field(image, "filename", str, where)
        names = [f"{image['filepath']}/{name}", name] if image.get("filepath") else [name]
        pictures = picture_paths(entry.get("images"), names, f"{where}, key filename")
        if split == entry.get("split", split):
            yield from _of_one_picture(number, captions, f"{where}, key filename", pictures)
    if splits and (wanted := entry.get("split", min(splits))) not in splits:
        raise ValueError(
            f"{path}, key split: there is no split {wanted!r}, "
            f"only {', '.join(sorted(splits))}{did_you_mean(wanted, splits)}."
        )


def _sentences(sentences: list, where: str) -> dict[int, str]:
    """Captions by id of an image's sentences[]: raw, sentid."""
    captions: dict[int, str] = {}
    identifiers: set[int] = set()
    for position, sentence in enumerate(sentences):
        inner = f"{where}.sentences[{position}]"
        identifier = field(sentence, "sentid", int, inner)
        once(identifier, identifiers, f"{inner}, key sentid")
        text = field(sentence, "raw", str, inner)
        captions[identifier] = caption(text, f"{inner}, key raw")
    return captions


def _official(
    path: str, images: list, annotations: list, entry: Mapping[str, Any]
) -> Iterator[Row]:
    """Rows of a file with images[]: id, file_name and annotations[]: id, image_id, caption."""
    names: dict[int, tuple[str, str]] = {}
    numbers: set[int] = set()
    for index, image in enumerate(images):
        where = f"{path}, images[{index}]"
        number = field(image, "id", int, where)
        once(number, numbers, f"{where}, key id")
        names[number] = f"{where}, key file_name", field(image, "file_name", str, where)
    captions: dict[int, dict[int, str]] = defaultdict(dict)
    identifiers: set[int] = set()
    for index, annotation in enumerate(annotations):
        where = f"{path}, annotations[{index}]"
        identifier = field(annotation, "id", int, where)
        once(identifier, identifiers, f"{where}, key id")
        number = field(annotation, "image_id", int, where)
        if number not in names:
            raise ValueError(f"{where}, key image_id: there is no image {number}.")
        text = field(annotation, "caption", str, where)
        captions[number][identifier] = caption(text, f"{where}, key caption")
    for number, (where, name) in names.items():
        pictures = picture_paths(entry.get("images"), [name], where)
        yield from _of_one_picture(number, captions[number], where, pictures)


def _of_one_picture(
    number: int, captions: dict[int, str], where: str, pictures: tuple[str, ...]
) -> Iterator[Row]:
    """Rows of a picture's captions by id, each text once."""
    seen = set()
    for identifier, text in sorted(captions.items()):
        if text not in seen:
            seen.add(text)
            yield Row(f"{number}-{identifier}", text, where, pictures)
