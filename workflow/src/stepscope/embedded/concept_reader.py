"""A reader of concepts that learns nothing, for studies of composed scenes beside their CLIP."""

from collections.abc import Mapping, Sequence

import numpy as np

from stepscope.embedded import scenes, untrained_readers

TOGETHER = 64  # pictures matched at once, which bounds memory
EVERY = (
    2  # pixels between those by which a backdrop is told; textures repeat after eight times that
)


def read(pictures: np.ndarray, families: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Probability (B, concept), 0 or 1, of each family that is one of the composed world's.

    pictures u1 (B, 64, 64, 3); another size is a ValueError. Sprites are matched at every place and
    size, backdrops compared, and details sought where they are. A family of the world's name that
    has other concepts is left out.
    """
    if pictures.shape[1:] != (scenes.SIDE, scenes.SIDE, 3):
        height, width = pictures.shape[1:3]
        raise ValueError(
            f"embedded.concept_reader: pictures of {width} x {height} pixels are no composed "
            f"scenes; set probe/size to {scenes.SIDE} or leave the reader out of probe/readers."
        )
    names: dict[str, list[str]] = {}
    for start in range(0, len(pictures), TOGETHER):
        for family, found in _named(pictures[start : start + TOGETHER]).items():
            names.setdefault(family, []).extend(found)
    return {
        family: (np.array(names[family])[:, None] == np.array(concepts)).astype(float)
        for family, concepts in families.items()
        if family in names and set(concepts) == set(scenes.FAMILIES[family])
    }


def _named(pictures: np.ndarray) -> dict[str, list[str]]:
    """Concept of every family, by pictures (B, 64, 64, 3)."""
    backgrounds = untrained_readers.read_background(pictures, EVERY)
    errors = {
        side: untrained_readers.sprite_errors(pictures, side)
        for side in (scenes.BIG, scenes.SMALL, scenes.PAIRED)
    }
    least = {
        side: of_side.reshape(*of_side.shape[:2], -1).min(-1) for side, of_side in errors.items()
    }
    objects = np.min(list(least.values()), axis=0).argmin(1)
    is_big = least[scenes.BIG].min(1) < least[scenes.SMALL].min(1)
    return {
        "object": [scenes.OBJECTS[number] for number in objects],
        "size": ["big" if big else "small" for big in is_big],
        "relation": [_relation(of_picture) for of_picture in errors[scenes.PAIRED]],
        "colour": [colour for colour, _ in backgrounds],
        "texture": [texture for _, texture in backgrounds],
        **untrained_readers.read_details(pictures, backgrounds),
    }


def _relation(errors: np.ndarray) -> str:
    """How the two best matching objects (object, y, x) lie, at different places."""
    _, first_y, first_x = np.unravel_index(errors.argmin(), errors.shape)
    y, x = np.indices(errors.shape[1:])
    far = np.hypot(y - first_y, x - first_x) > scenes.SIDE / 4
    _, second_y, second_x = np.unravel_index(np.where(far, errors, np.inf).argmin(), errors.shape)
    is_above = abs(first_y - second_y) > abs(first_x - second_x)
    return "above" if is_above else "next to"
