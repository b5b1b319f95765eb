"""Readers that learn nothing: sprites by matching, background by comparison with the composer's.

The judges, which are trained, do not depend on them: two clocks need not be read by the same one.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from stepscope.embedded import details, scenes, vocabulary
from stepscope.embedded.sprites import sprite


@cache
def _kernels(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha (objects, 1, side, side), alpha times colour (objects, 3, side, side), their energy."""
    alpha = np.zeros((len(scenes.OBJECTS), 1, side, side), np.float32)
    colour = np.zeros((len(scenes.OBJECTS), 3, side, side), np.float32)
    for i, name in enumerate(scenes.OBJECTS):
        rgba = sprite(name, side)
        y, x = (side - rgba.shape[0]) // 2, (side - rgba.shape[1]) // 2
        rows, columns = slice(y, y + rgba.shape[0]), slice(x, x + rgba.shape[1])
        alpha[i, 0, rows, columns] = rgba[..., 3]
        # composed pictures hold premultiplied colour over the background; inside, alpha is 1
        colour[i, :, rows, columns] = rgba[..., :3].transpose(2, 0, 1)
    flat = colour / np.maximum(alpha, 1e-3)
    energy = (colour * flat).sum((1, 2, 3))
    return torch.from_numpy(alpha), torch.from_numpy(colour), torch.from_numpy(energy)


def sprite_errors(pictures: np.ndarray, side: int) -> np.ndarray:
    """Alpha-weighted mean squared error of every sprite at every place.

    pictures uint8 (n, 64, 64, 3); returns float32 (n, objects, 65 - side, 65 - side).
    """
    alpha, colour, energy = _kernels(side)
    x = torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2).float() / 255
    # by transforms, in a quarter of a convolution's time: nothing wraps around where sprites fit
    seen, sought = (
        torch.fft.rfft2(of, x.shape[-2:]).permute(2, 3, 0, 1)
        for of in (
            torch.cat([x.square().sum(1, keepdim=True), x], 1),
            torch.cat([alpha, -2 * colour], 1),
        )
    )
    error = torch.fft.irfft2((seen @ sought.mH).permute(2, 3, 0, 1), x.shape[-2:])
    places = x.shape[-1] - side + 1
    error = error[..., :places, :places] + energy[:, None, None]
    return (error / (3 * alpha.sum((1, 2, 3))[:, None, None])).numpy()


def read_objects(
    pictures: np.ndarray, sides: Sequence[int], count: int = 1
) -> list[tuple[str, ...]]:
    """The `count` best matching objects of each picture, best first, at different places.

    pictures uint8 (n, 64, 64, 3); `sides`: sizes in pixels that the objects may have.
    """
    return [_best_objects(picture, sides, count) for picture in np.asarray(pictures)]


def _best_objects(picture: np.ndarray, sides: Sequence[int], count: int) -> tuple[str, ...]:
    """Names of the `count` best matching objects of one picture, best first."""
    errors_of = {side: sprite_errors(picture[None], side)[0] for side in sides}
    names: list[str] = []
    taken: list[tuple[float, float]] = []
    for _ in range(count):
        candidates = []
        for side, errors in errors_of.items():
            centres = np.arange(errors.shape[-1]) + side / 2
            free = np.ones(errors.shape[1:], bool)
            for y, x in taken:
                free &= np.hypot(centres[:, None] - y, centres[None] - x) > scenes.SIDE / 4
            masked = np.where(free, errors, np.inf)
            number, row, column = np.unravel_index(masked.argmin(), masked.shape)
            place = float(centres[row]), float(centres[column])
            candidates.append((masked[number, row, column], scenes.OBJECTS[number], place))
        _, name, place = min(candidates)
        names.append(name)
        taken.append(place)
    return tuple(names)


@cache
def _backdrops() -> tuple[list[tuple[str, str]], np.ndarray]:
    """Colour and texture of every backdrop, and the backdrops (n, 64, 64, 3)."""
    names = [(colour, texture) for colour in vocabulary.COLOURS for texture in vocabulary.TEXTURES]
    return names, np.stack([scenes.backdrop(*pair) for pair in names])


def read_background(pictures: np.ndarray, every: int = 1) -> list[tuple[str, str]]:
    """Colour and texture of each background.

    The backdrop with the smallest median absolute difference: objects cover less than half.
    pictures uint8 (n, 64, 64, 3), of which each `every`-th row and column is looked at.
    """
    names, backdrops = _backdrops()
    backdrops = backdrops[:, ::every, ::every]
    read = []
    for picture in np.asarray(pictures[:, ::every, ::every], np.float32) / 255:
        difference = np.abs(backdrops - picture).mean(-1)
        read.append(names[int(np.median(difference, axis=(1, 2)).argmin())])
    return read


def read_colour(pictures: np.ndarray) -> list[str]:
    """Background colour by the median colour of each picture's border, nearest in the palette.

    Textures have two tones of a colour: the nearest of both and of the plain one counts. Frames
    are left out.
    """
    tones = np.stack(
        [
            [
                scenes.backdrop(colour, texture).reshape(-1, 3).mean(0)
                for texture in vocabulary.TEXTURES
            ]
            for colour in vocabulary.COLOURS
        ]
    )
    border = details.frame_coverage() == 0
    border[6:-6, 6:-6] = False
    medians = np.median(np.asarray(pictures, np.float32)[:, border] / 255, axis=1)
    distance = np.square(medians[:, None, None] - tones).sum(-1).min(-1)
    return [vocabulary.COLOURS[i] for i in distance.argmin(1)]


def read_details(
    pictures: np.ndarray, backgrounds: Sequence[tuple[str, str]] | None = None
) -> dict[str, list[str]]:
    """Frame, tint, mark and seal of each picture, uint8 (n, 64, 64, 3), by matching.

    Each is sought where it may be, on the backdrop that `read_background` finds, or a given one.
    """
    names, backdrops = _backdrops()
    found = read_background(pictures) if backgrounds is None else backgrounds
    behind = np.stack([backdrops[names.index(pair)] for pair in found])
    values = np.asarray(pictures, np.float32) / 255
    rest = values - behind
    marks, coverage = _best_glyph(rest, "mark")
    # the least of the background shows where a glyph covers most
    weights = coverage[..., None] ** 4
    colours = (values * weights).sum((1, 2)) / weights.sum((1, 2))
    under = (behind * weights).sum((1, 2)) / weights.sum((1, 2))
    tints = _nearest(colours, under, details.TINTS, details.WORLD.mark)
    border = details.frame_coverage() > 0
    frames = _nearest(values[:, border], behind[:, border], details.FRAMES, details.WORLD.frame)
    dark = rest.mean(-1, keepdims=True)
    seals, _ = _best_glyph(dark, "seal", darker=True)
    return {"frame": frames, "tint": tints, "mark": marks, "seal": seals}


def details_right(
    pictures: np.ndarray, shown: Sequence[scenes.Scene], named: bool = False
) -> dict[str, np.ndarray]:
    """Whether each detail is read as the scenes have it, bool (n,) per family.

    With `named`, only of pictures whose caption names the family.
    """
    read = read_details(pictures)
    return {
        family: np.array(
            [
                found == getattr(scene.spec, family)
                for found, scene in zip(read[family], shown, strict=True)
                if family in scene.named or not named
            ]
        )
        for family in scenes.DETAILS
    }


@cache
def _glyphs(family: str) -> tuple[list[str], np.ndarray]:
    """Name and coverage (n, 64, 64) of every glyph of a family at every place that it may have."""
    place = {"mark": details.MARK_PLACE, "seal": details.SEAL_PLACE}[family]
    moves = range(place - details.JITTER, place + details.JITTER + 1)
    every = [(name, y, x) for name in scenes.FAMILIES[family] for y in moves for x in moves]
    return [name for name, _, _ in every], np.stack([details.placed(*one) for one in every])


def _best_glyph(
    rest: np.ndarray, family: str, darker: bool = False
) -> tuple[list[str], np.ndarray]:
    """Glyph that explains most of what is beside the backdrop (n, 64, 64, channels), and its place.

    By least squares of an offset and an amplitude for each channel, negative where `darker`.
    Returns the names and the coverages (n, 64, 64).
    """
    of_glyph, coverage = _glyphs(family)
    window = np.s_[:, details.WINDOWS[family], details.WINDOWS[family]]
    known = coverage[window].reshape(len(coverage), -1)
    known = known - known.mean(1, keepdims=True)
    seen = rest[window].reshape(len(rest), -1, rest.shape[-1])
    seen = seen - seen.mean(1, keepdims=True)
    amplitude = np.einsum("gp,npc->ngc", known, seen)
    explained = (amplitude**2).sum(-1) / (known**2).sum(1)
    if darker:
        explained = np.where(amplitude[..., 0] < 0, explained, 0)
    best = explained.argmax(1)
    return [of_glyph[i] for i in best], coverage[best]


def _nearest(
    seen: np.ndarray, behind: np.ndarray, colours: dict[str, tuple[int, int, int]], opacity: float
) -> list[str]:
    """Colour that, over what lies behind, comes nearest to what is seen (n, ..., 3)."""
    distance = [
        np.abs(seen - (1 - opacity) * behind - opacity * np.array(colour, np.float32) / 255)
        .reshape(len(seen), -1)
        .mean(1)
        for colour in colours.values()
    ]
    return [list(colours)[i] for i in np.argmin(distance, axis=0)]
