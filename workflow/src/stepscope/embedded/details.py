"""Small and faint parts of a scene, which are decided late: frame, mark, seal, and grain.

Each lies over what it covers, at a place of its own, so that no object hides it.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from stepscope.embedded.spec import Spec
from stepscope.embedded.vocabulary import FRAMES, MARKS, TINTS

SIDE = 64  # of a scene, in pixels
FRAME_WIDTH = 2  # pixels, as all sizes and places
MARK_SIDE, MARK_PLACE = 9, 3
SEAL_SIDE, SEAL_PLACE = 10, 51
JITTER = 1  # pixels by which marks and seals move
SUPERSAMPLE = 8
# Rows, and columns, where marks and seals may be, with what surrounds them.
WINDOWS = {
    "mark": slice(MARK_PLACE - 2 * JITTER, MARK_PLACE + MARK_SIDE + 2 * JITTER),
    "seal": slice(SEAL_PLACE - 2 * JITTER, SEAL_PLACE + SEAL_SIDE + 2 * JITTER),
}


@dataclass(frozen=True)
class Strength:
    """How clearly details show: shares of a whole, and of values in 0..1."""

    frame: float  # opacity
    mark: float  # opacity
    seal: float  # by how much it darkens
    grain: float  # standard deviation


# Chosen by the distance in latent space between two values of a family, which falls from family to
# family, a thousandfold from the relation of two objects to the seal.
WORLD = Strength(frame=0.3, mark=0.5, seal=0.045, grain=0.02)


def _inside(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether a glyph covers the points (u, v) of its square, both in -1..1, v downwards."""
    radius, arm = np.hypot(u, v), np.maximum(abs(u), abs(v))
    head = (v > -0.95) & (v <= 0.05) & (abs(u) < (v + 0.95) * 0.9)
    folded = abs((u + 1) * 1.5 % 2 - 1) * 1.4 - 0.7
    shapes = {
        "ring": (radius < 0.95) & (radius > 0.5),
        "cross": ((abs(u - v) < 0.5) | (abs(u + v) < 0.5)) & (arm < 0.95),
        "dot": radius < 0.75,
        "square": (arm < 0.85) & (arm >= 0.42),
        "bar": (abs(v) < 0.33) & (abs(u) < 0.95),
        "arrow": ((abs(u) < 0.2) & (v > -0.2) & (v < 0.95)) | head,
        "zigzag": abs(v - folded) < 0.42,
        "triangle": (v < 0.8) & (abs(u) < (v + 0.95) * 0.5),
    }
    return shapes[name]


@cache
def glyph(name: str, side: int) -> np.ndarray:
    """Coverage of each pixel by a mark or seal, float32 (side, side) in 0..1."""
    points = (np.arange(side * SUPERSAMPLE) + 0.5) / (side * SUPERSAMPLE) * 2 - 1
    v, u = np.meshgrid(points, points, indexing="ij")
    fine = _inside(name, u, v).reshape(side, SUPERSAMPLE, side, SUPERSAMPLE)
    return fine.mean((1, 3)).astype(np.float32)


@cache
def frame_coverage() -> np.ndarray:
    """Coverage of each pixel by a frame, float32 (64, 64), 1 on the border and 0 within."""
    coverage = np.ones((SIDE, SIDE), np.float32)
    coverage[FRAME_WIDTH:-FRAME_WIDTH, FRAME_WIDTH:-FRAME_WIDTH] = 0
    return coverage


def emphasis(mark: float, seal: float) -> np.ndarray:
    """`mark` and `seal` for the pixels of their windows, 1 elsewhere, float32 (64, 64)."""
    weights = np.ones((SIDE, SIDE), np.float32)
    for name, weight in (("mark", mark), ("seal", seal)):
        weights[WINDOWS[name], WINDOWS[name]] = weight
    return weights


def placed(name: str, y: int, x: int) -> np.ndarray:
    """Coverage of each pixel of a scene by a glyph whose corner is at (y, x), float32 (64, 64)."""
    side = MARK_SIDE if name in MARKS else SEAL_SIDE
    coverage = np.zeros((SIDE, SIDE), np.float32)
    coverage[y : y + side, x : x + side] = glyph(name, side)
    return coverage


def grain(rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Coloured grain whose amplitude falls as 1/frequency, float32 (64, 64, 3), mean 0.

    Three fifths of each channel are its own, the rest is common to the three.
    """
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(rng.normal(size=(3, SIDE, SIDE)))
    channels = np.fft.irfft2(white / frequency, s=(SIDE, SIDE))
    common = channels.mean(0)
    mixed = 0.8 * np.sqrt(3) * common + 0.6 * (channels - common)
    return (mixed / mixed.std() * deviation).transpose(1, 2, 0).astype(np.float32)


def moves(rng: np.random.Generator) -> np.ndarray:
    """By how many pixels mark and seal are off their usual places, int (2, 2): down, right."""
    return rng.integers(-JITTER, JITTER + 1, (2, 2))


def paint(
    picture: np.ndarray, spec: Spec, moved: np.ndarray, strength: Strength = WORLD
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The picture (64, 64, 3) with its details, and the coverage (64, 64) of frame, mark and seal.

    `moved` as from `moves`. A seal darkens what it covers.
    """
    coverage = {
        "frame": frame_coverage(),
        "mark": placed(spec.mark, *(MARK_PLACE + moved[0])),
        "seal": placed(spec.seal, *(SEAL_PLACE + moved[1])),
    }
    for name, colour, opacity in (
        ("frame", FRAMES[spec.frame], strength.frame),
        ("mark", TINTS[spec.tint], strength.mark),
    ):
        share = opacity * coverage[name][..., None]
        picture = picture * (1 - share) + share * np.array(colour, np.float32) / 255
    return picture - strength.seal * coverage["seal"][..., None], coverage
