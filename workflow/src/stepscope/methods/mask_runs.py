"""What masks found, in a run of any number: it may be extended, and put together from parts.

Scores of many masks take much memory, so they are kept until there is a whole chunk of them. Chunks
are estimated by themselves and averaged, each with its number of masks as its weight. The masks
that follow the last whole chunk are estimated with it: none is of so few that they say little, and
a run of less than two is estimated as a whole.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from stepscope.methods.effects import main_effects
from stepscope.methods.masks import ORDER, Design

CHUNK = 512  # masks that keep half of the pixels


class Scores(NamedTuple):
    """What a block of masks found: all that maps are made of.

    `kept` (B, h, w) bool. `scores`, (B, h, w) float32 or (B, 1, 1) float64 each, are those of the
    comparisons that are estimated; of the others `sums` (comparison, h, w)
    float64 has the sum of mask x score.
    """

    kept: np.ndarray
    scores: tuple[np.ndarray, ...]
    sums: np.ndarray


class Estimate(NamedTuple):
    """Effects and their standard errors (comparison, h, w) float64 by so many masks, and sums."""

    masks: int
    effects: np.ndarray
    errors: np.ndarray
    sums: np.ndarray


class Run(NamedTuple):
    """Masks of a run in the order of their numbers: whole chunks, and the blocks that follow."""

    closed: tuple[Estimate, ...] = ()
    open: tuple[Scores, ...] = ()


def chunk_of(keep: float) -> int:
    """Masks of a chunk, whole sets of them; the more the fewer pixels they keep, or hide."""
    return ORDER * math.ceil(CHUNK / ORDER * 0.25 / (keep * (1 - keep)))


def merged(blocks: Iterable[Scores]) -> Scores:
    """All blocks in the order given; in index order, every run gives the same bits."""
    kept, scores, sums = zip(*blocks, strict=True)
    of_comparisons = tuple(map(np.concatenate, zip(*scores, strict=True)))
    return Scores(np.concatenate(kept), of_comparisons, sum(sums[1:], sums[0]))


def extended(run: Run, block: Scores, keep: float, design: Design) -> Run:
    """The run with the block of masks that follows it; no block is of two chunks."""
    blocks, chunk = (*run.open, block), chunk_of(keep)
    if _count(blocks) < 2 * chunk:
        return run._replace(open=blocks)
    ends = np.cumsum([len(each.kept) for each in blocks]).tolist()
    first = ends.index(chunk) + 1
    return Run((*run.closed, estimated(blocks[:first], keep, design)), blocks[first:])


def joined(first: Run, second: Run, keep: float, design: Design) -> Run:
    """The run of both, the second of the masks that follow the first.

    It is bit by bit the run made at once, if blocks begin at the same masks. A second part of two
    chunks or more begins with a chunk: otherwise a ValueError.
    """
    if second.closed and first != Run():
        if _count(first.open) != (chunk := chunk_of(keep)):
            raise ValueError(f"masks: a part of a run begins at a multiple of {chunk} masks.")
        first = Run((*first.closed, estimated(first.open, keep, design)))
    run = first._replace(closed=(*first.closed, *second.closed))
    for block in second.open:
        run = extended(run, block, keep, design)
    return run


def tried(kept: np.ndarray) -> bool:
    """Whether masks (B, h, w) keep and hide each pixel at least once."""
    return bool((kept.any(0) & ~kept.all(0)).all())


def estimated(blocks: Sequence[Scores], keep: float, design: Design) -> Estimate:
    """Effects by the masks of some blocks; a pixel that they do not try is a ValueError."""
    kept, scores, sums = merged(blocks)
    if not tried(kept):
        raise ValueError("masks: a pixel was never kept, or never hidden; draw more masks.")
    found = [main_effects(kept, each, keep=keep, design=design) for each in scores]
    effects, errors = (np.stack(each) for each in zip(*found, strict=True))
    return Estimate(len(kept), effects, errors, sums)


def averaged(parts: Sequence[Estimate]) -> Estimate:
    """The estimate by the masks of all parts; of one alone, itself."""
    if len(parts) == 1:
        return parts[0]
    masks = sum(part.masks for part in parts)
    shares = [part.masks / masks for part in parts]
    pairs = list(zip(shares, parts, strict=True))
    effects = sum(share * part.effects for share, part in pairs)
    errors = np.sqrt(sum(np.square(share * part.errors) for share, part in pairs))
    sums = sum(part.sums for part in parts)
    return Estimate(masks, np.asarray(effects), errors, np.asarray(sums))


def of_all(run: Run, keep: float, design: Design) -> Estimate:
    """The estimate by all masks of a run."""
    return averaged([*run.closed, estimated(run.open, keep, design)])


def mean_error(run: Run, keep: float, design: Design) -> float:
    """Mean standard error of the first comparison; infinite while masks have not tried all pixels.

    The others are not estimated.
    """
    found = merged(run.open)
    if not tried(found.kept):
        return math.inf
    last = estimated([found._replace(scores=found.scores[:1])], keep, design)
    closed = [
        part._replace(effects=part.effects[:1], errors=part.errors[:1]) for part in run.closed
    ]
    return float(averaged([*closed, last]).errors.mean())


def _count(blocks: Iterable[Scores]) -> int:
    return sum(len(block.kept) for block in blocks)
