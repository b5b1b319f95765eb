"""Composed scenes whose truth is known: picture, caption, roles and an exact mask per word."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from stepscope.embedded import captions, details
from stepscope.embedded.spec import Spec
from stepscope.embedded.sprites import sprite
from stepscope.embedded.vocabulary import DETAILS, FAMILIES, OBJECTS, PALETTE, held_out

SIDE = details.SIDE
BIG, SMALL, PAIRED = 42, 26, 29  # longer side of a sprite in pixels
JITTERS = {"big": 3, "small": 4, None: 1}  # pixels by which sprites move
TINGE = 0.012  # standard deviation of a shift of the background's colour, of values in 0..1
PERIOD = 16  # pixels of the textures: four latent cells


def concepts(spec: Spec, family: str) -> tuple[str, ...]:
    """Concepts of a family that a scene shows; none where the family does not apply."""
    if family == "object":
        return spec.objects
    concept = getattr(spec, family)
    return () if concept is None else (concept,)


@dataclass(frozen=True)
class Scene:
    """A composed scene; `masks` has no entry for the relation, which covers no pixels.

    Details lie over objects and background: their masks overlap those.
    """

    picture: np.ndarray  # (64, 64, 3) uint8
    caption: str
    roles: dict[str, str]
    masks: dict[str, np.ndarray]  # word -> (64, 64) bool
    spec: Spec
    named: frozenset[str]  # optional families that the caption names
    boxes: tuple[tuple[int, int, int, int], ...]  # y, x, height, width of each sprite

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, the subject first."""
        return self.spec.objects


def random_spec(rng: np.random.Generator) -> Spec:
    """A specification drawn from all that there are, held out or not."""

    def one_of(family: str) -> str:
        return FAMILIES[family][rng.integers(len(FAMILIES[family]))]

    pair = rng.random() < 0.5
    first, second = (OBJECTS[i] for i in rng.choice(len(OBJECTS), 2, replace=False))
    shown = {family: one_of(family) for family in ("colour", "texture", *DETAILS)}
    if pair:
        return Spec((first, second), relation=one_of("relation"), **shown)
    return Spec((first,), size=one_of("size"), **shown)


def _generator(seed: int, split: str) -> np.random.Generator:
    return np.random.default_rng([("train", "test").index(split), seed])


def draw(rng: np.random.Generator, split: str) -> Spec:
    """A random specification of the split: `test` holds only held-out combinations."""
    while True:
        spec = random_spec(rng)
        if held_out(spec) == (split == "test"):
            return spec


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


def moves(spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """By how many pixels each sprite is off its usual place, int (objects, 2): down, right."""
    jitter = JITTERS[spec.size]
    return rng.integers(-jitter, jitter + 1, (len(spec.objects), 2))


def _layout(spec: Spec, moved: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of each sprite: fixed slots, and by how much it is off them."""
    if len(spec.objects) == 2:
        side = PAIRED
        slots = [(17, 32), (47, 32)] if spec.relation == "above" else [(32, 17), (32, 47)]
    else:
        side = BIG if spec.size == "big" else SMALL
        slots = [(32, 32)]
    boxes = []
    for name, slot, move in zip(spec.objects, slots, moved, strict=True):
        height, width = sprite(name, side).shape[:2]
        y, x = (int(place + by) for place, by in zip(slot, move, strict=True))
        boxes.append((y - height // 2, x - width // 2, height, width))
    return boxes


def paint(
    spec: Spec, moved: np.ndarray, tinge: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Objects on their backdrop, float32 (64, 64, 3) in 0..1, without grain and details.

    `moved` as from `moves`; `tinge` shifts the backdrop's colour. Also coverage (objects, 64, 64)
    and boxes of the sprites.
    """
    picture = backdrop(spec.colour, spec.texture) + np.asarray(tinge, np.float32)
    coverage = np.zeros((len(spec.objects), SIDE, SIDE), np.float32)
    boxes = tuple(_layout(spec, moved))
    for i, (name, (y, x, height, width)) in enumerate(zip(spec.objects, boxes, strict=True)):
        rgba = sprite(name, max(height, width))
        box = np.s_[y : y + height, x : x + width]
        picture[box] = picture[box] * (1 - rgba[..., 3:]) + rgba[..., :3]
        coverage[i][box] = rgba[..., 3]
    return picture, coverage, boxes


def random_caption(spec: Spec, rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """A word order, the optional families that are named, and the words that this makes."""
    order = captions.ORDERS[rng.integers(len(captions.ORDERS))]
    named = [family for family, share in captions.OPTIONAL.items() if rng.random() < share]
    return captions.caption(spec, order, frozenset(named)), frozenset(named)


def compose(
    seed: int,
    split: str = "train",
    spec: Spec | None = None,
    strength: details.Strength = details.WORLD,
) -> Scene:
    """The scene of `seed`, of a random specification of `split` or of the one given."""
    rng = _generator(seed, split)
    spec = spec or draw(rng, split)
    caption, named = random_caption(spec, rng)
    picture, masks, boxes = rendered(spec, rng, strength)
    return Scene(picture, caption, captions.roles(spec, named), masks, spec, named, boxes)


def rendered(
    spec: Spec, rng: np.random.Generator, strength: details.Strength = details.WORLD
) -> tuple[np.ndarray, dict[str, np.ndarray], tuple]:
    """Picture uint8 (64, 64, 3) of a specification at places, tinge and grain drawn from `rng`.

    Also the exact mask (64, 64) bool of each concept that covers pixels, and the sprites' boxes.
    """
    tinge = rng.normal(0, TINGE, 3)
    picture, coverage, boxes = paint(spec, moves(spec, rng), tinge)
    picture = picture + details.grain(rng, strength.grain)
    picture, covered = details.paint(picture, spec, details.moves(rng), strength)
    shapes = coverage >= 0.5
    masks = dict(zip(spec.objects, shapes, strict=True))
    if spec.size:
        masks[spec.size] = shapes[0]
    masks[spec.texture] = masks[spec.colour] = ~shapes.any(0)
    masks[spec.frame], masks[spec.seal] = covered["frame"] >= 0.5, covered["seal"] >= 0.5
    masks[spec.tint] = masks[spec.mark] = covered["mark"] >= 0.5
    return (picture.clip(0, 1) * 255).round().astype(np.uint8), masks, boxes
