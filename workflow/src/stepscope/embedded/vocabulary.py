"""What composed scenes may show, by name, and which combinations training never shows.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import zlib

from stepscope.embedded.spec import Spec

# Objects that differ in silhouette and, where the palette allows, in main colour: OpenMoji's codes.
CODEPOINTS = {
    "heart": "2764",
    "mushroom": "1F344",
    "book": "1F4D5",
    "gift": "1F381",
    "ball": "1F3C0",
    "pumpkin": "1F383",
    "fox": "1F98A",
    "star": "2B50",
    "sun": "2600",
    "moon": "1F319",
    "crown": "1F451",
    "tree": "1F333",
    "frog": "1F438",
    "cactus": "1F335",
    "drop": "1F4A7",
    "diamond": "1F48E",
    "shirt": "1F455",
    "grape": "1F347",
    "umbrella": "2602",
    "pig": "1F437",
    "panda": "1F43C",
    "bear": "1F43B",
    "hat": "1F3A9",
    "ghost": "1F47B",
}
OBJECTS = tuple(CODEPOINTS)
# Background colours: clear, softer than the artwork, and far from each other.
PALETTE = {
    "red": (226, 92, 92),
    "orange": (242, 160, 78),
    "yellow": (246, 226, 112),
    "green": (120, 194, 112),
    "blue": (96, 150, 232),
    "purple": (160, 112, 206),
    "pink": (250, 174, 206),
    "gray": (160, 162, 166),
}
COLOURS = tuple(PALETTE)
TEXTURES = ("plain", "striped", "dotted", "checkered")
SIZES = ("big", "small")
RELATIONS = ("above", "next to")
FRAMES = {
    "white": (250, 250, 250),
    "black": (40, 40, 44),
    "brown": (128, 84, 52),
    "silver": (196, 200, 208),
}
TINTS = {
    "golden": (214, 170, 40),
    "teal": (20, 130, 130),
    "crimson": (170, 20, 50),
    "ivory": (252, 248, 226),
}
MARKS = ("ring", "cross", "dot", "square")
SEALS = ("bar", "arrow", "zigzag", "triangle")
# Concepts of every family, in the order of the families' scale in a picture.
FAMILIES: dict[str, tuple[str, ...]] = {
    "relation": RELATIONS,
    "size": SIZES,
    "object": OBJECTS,
    "colour": COLOURS,
    "texture": TEXTURES,
    "frame": tuple(FRAMES),
    "tint": tuple(TINTS),
    "mark": MARKS,
    "seal": SEALS,
}
DETAILS = ("frame", "tint", "mark", "seal")
HELD_OUT = 8  # one combination in so many never occurs in training


def held_out(spec: Spec) -> bool:
    """Whether the scene holds a combination that training never shows."""
    if len(spec.objects) == 2 and _drawn(*sorted(spec.objects)):
        return True
    return any(_drawn(name, spec.colour, spec.texture) for name in spec.objects)


def _drawn(*parts: str) -> bool:
    """Whether a combination is one of those that are held out."""
    return zlib.crc32("|".join(parts).encode()) % HELD_OUT == 0
