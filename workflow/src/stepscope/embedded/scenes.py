"""Composed scenes whose truth is known: picture, caption, roles and an exact mask per word."""

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from stepscope.embedded.sprites import CODEPOINTS, sprite

SIDE = 64
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
ORDERS = ("object first", "background first")

BIG, SMALL, PAIRED = 42, 26, 29  # longer side of a sprite in pixels
PERIOD = 16  # pixels of the textures: four latent cells
HELD_OUT = 8  # one combination in so many never occurs in training


@dataclass(frozen=True)
class Spec:
    """What a scene shows: one object with a size, or two with a relation."""

    objects: tuple[str, ...]
    colour: str
    texture: str
    size: str | None = None
    relation: str | None = None


@dataclass(frozen=True)
class Scene:
    """A composed scene; `masks` has no entry for the relation, which covers no pixels."""

    picture: np.ndarray  # (64, 64, 3) uint8
    caption: str
    roles: dict[str, str]
    masks: dict[str, np.ndarray]  # word -> (64, 64) bool
    spec: Spec
    boxes: tuple[tuple[int, int, int, int], ...]  # y, x, height, width of each sprite

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, the subject first."""
        return self.spec.objects

    @property
    def colour(self) -> str:
        """Colour of the background."""
        return self.spec.colour

    @property
    def texture(self) -> str:
        """Texture of the background."""
        return self.spec.texture

    @property
    def size(self) -> str | None:
        """Size of a single object; None of a pair."""
        return self.spec.size

    @property
    def relation(self) -> str | None:
        """Relation of a pair; None of a single object."""
        return self.spec.relation


def _drawn(*parts: str) -> bool:
    return zlib.crc32("|".join(parts).encode()) % HELD_OUT == 0


def held_out(spec: Spec) -> bool:
    """Whether the scene holds a combination that training never shows."""
    if len(spec.objects) == 2 and _drawn(*sorted(spec.objects)):
        return True
    return any(_drawn(name, spec.colour, spec.texture) for name in spec.objects)


def _random_spec(rng: np.random.Generator) -> Spec:
    pair = rng.random() < 0.5
    first, second = rng.choice(len(OBJECTS), 2, replace=False)
    colour, texture = COLOURS[rng.integers(len(COLOURS))], TEXTURES[rng.integers(len(TEXTURES))]
    if pair:
        relation = RELATIONS[rng.integers(len(RELATIONS))]
        return Spec((OBJECTS[first], OBJECTS[second]), colour, texture, relation=relation)
    return Spec((OBJECTS[first],), colour, texture, size=SIZES[rng.integers(len(SIZES))])


def _generator(seed: int, split: str) -> np.random.Generator:
    return np.random.default_rng([("train", "test").index(split), seed])


def draw(rng: np.random.Generator, split: str) -> Spec:
    """A random specification of the split: `test` holds only held-out combinations."""
    while True:
        spec = _random_spec(rng)
        if held_out(spec) == (split == "test"):
            return spec


def describe(spec: Spec, order: str = ORDERS[0]) -> tuple[str, dict[str, str]]:
    """The caption of `spec` in one word order, and the words that play a role in it."""
    return caption(spec, order), _roles(spec)


def caption(spec: Spec, order: str = ORDERS[0]) -> str:
    """The caption of `spec` in one word order."""
    subject, *others = spec.objects
    if others:
        things = f"{_noun(subject)} {spec.relation} {_noun(*others)}"
    else:
        things = _noun(f"{spec.size} {subject}")
    ground = f"on a {spec.texture} {spec.colour} background"
    captions = f"{things} {ground}", f"{ground}, {things}"
    return dict(zip(ORDERS, captions, strict=True))[order]


def _noun(words: str) -> str:
    return f"an {words}" if words.startswith(tuple("aeiou")) else f"a {words}"


def _roles(spec: Spec) -> dict[str, str]:
    subject, *others = spec.objects
    roles = {"subject": subject}
    if spec.relation is not None:
        roles |= {"relation": spec.relation, "object": "".join(others)}
    return roles | {"attribute": spec.texture, "background": spec.colour}


@cache
def backdrop(colour: str, texture: str) -> np.ndarray:
    """Background without objects, float32 (64, 64, 3) in 0..1: two soft tones of one colour."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) * (2 * np.pi / PERIOD)
    wave = {
        "plain": np.zeros_like(x),
        "striped": np.sin(x),
        "dotted": 1.3 * (np.sin(x) + np.sin(y)) - 1.1,
        "checkered": 2 * np.sin(x) * np.sin(y),
    }[texture]
    light = 0.5 + 0.5 * np.tanh(1.6 * wave)[..., None]  # edges about three pixels wide
    base = np.array(PALETTE[colour], np.float32) / 255
    tones = (base, base) if texture == "plain" else (base * 0.84, base + 0.42 * (1 - base))
    return ((1 - light) * tones[0] + light * tones[1]).astype(np.float32)


def _layout(spec: Spec, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of each sprite: fixed slots with a little jitter."""
    if len(spec.objects) == 2:
        side, jitter = PAIRED, 1
        slots = [(17, 32), (47, 32)] if spec.relation == "above" else [(32, 17), (32, 47)]
    else:
        side, jitter = (BIG, 3) if spec.size == "big" else (SMALL, 4)
        slots = [(32, 32)]
    boxes = []
    for name, slot in zip(spec.objects, slots, strict=True):
        height, width = sprite(name, side).shape[:2]
        y, x = (c + int(rng.integers(-jitter, jitter + 1)) for c in slot)
        boxes.append((y - height // 2, x - width // 2, height, width))
    return boxes


def paint(spec: Spec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Picture float32 (64, 64, 3) in 0..1, coverage (objects, 64, 64), boxes of the sprites."""
    picture = backdrop(spec.colour, spec.texture) + rng.normal(0, 0.012, 3).astype(np.float32)
    coverage = np.zeros((len(spec.objects), SIDE, SIDE), np.float32)
    boxes = tuple(_layout(spec, rng))
    for i, (name, (y, x, height, width)) in enumerate(zip(spec.objects, boxes, strict=True)):
        rgba = sprite(name, max(height, width))
        box = np.s_[y : y + height, x : x + width]
        picture[box] = picture[box] * (1 - rgba[..., 3:]) + rgba[..., :3]
        coverage[i][box] = rgba[..., 3]
    return picture.clip(0, 1), coverage, boxes


def compose(seed: int, split: str = "train", spec: Spec | None = None) -> Scene:
    """The scene of `seed`, of a random specification of `split` or of the one given."""
    rng = _generator(seed, split)
    spec = spec or draw(rng, split)
    order = ORDERS[rng.integers(len(ORDERS))]
    picture, coverage, boxes = paint(spec, rng)
    caption, roles = describe(spec, order)
    shapes = coverage >= 0.5
    masks = dict(zip(spec.objects, shapes, strict=True))
    if spec.size:
        masks[spec.size] = shapes[0]
    masks[spec.texture] = masks[spec.colour] = ~shapes.any(0)
    return Scene((picture * 255).round().astype(np.uint8), caption, roles, masks, spec, boxes)
