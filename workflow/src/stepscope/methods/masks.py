"""Random masks of a latent, each by its number: independent, in pairs, or orthogonal."""

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # it imports torch
    from stepscope.diffusion.step import Step

Design = Literal["independent", "paired", "orthogonal"]
EVEN = 0.5  # share of pixels that masks of a pair, and orthogonal ones, keep
TILE = (7, 9)  # as many columns as a Hadamard matrix of order 64 has, but for the constant one
ORDER = 64


def draw_masks(
    seed: int,
    step: "Step",
    start: int,
    count: int,
    keep: float,
    size: tuple[int, int],
    design: Design = "independent",
) -> np.ndarray:
    """Masks start .. start + count - 1, (count, h, w) bool, True = kept.

    Counter based: mask i of a sample's step is the same whatever was drawn before, on any machine.
    No two samples share their masks. Within a mask, pixels are independent of each other. Masks are
    independent, too; or every second one is its predecessor's complement ("paired"); or each 64 of
    them are `orthogonal`.
    """
    name = f"{seed}/{step.prompt_id}/{step.seed}/{step.number}"
    numbers = range(start, start + count)
    if design == "independent":
        return np.stack([_generator(name, i).random(size) < keep for i in numbers])
    if design == "paired":
        firsts = {n: _generator(name, n).random(size) < keep for n in {i // 2 for i in numbers}}
        return np.stack([~firsts[i // 2] if i % 2 else firsts[i // 2] for i in numbers])
    sets = {n: orthogonal(_generator(name, n), size) for n in {i // ORDER for i in numbers}}
    return np.stack([sets[i // ORDER][i % ORDER] for i in numbers])


def orthogonal(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Masks (64, h, w) bool, each as likely as any other, in which pixels near each other balance.

    A pixel follows a column of a Hadamard matrix, at random as it is or negated. Pixels less than 7
    rows and 9 columns apart have different columns, which are orthogonal to each other and sum to
    0: what one does linearly has no part in the difference of means of the other.
    """
    order = generator.permutation(ORDER)
    columns = 1 + generator.permutation(ORDER - 1).reshape(TILE)  # column 0 is constant
    y, x = (np.arange(n) % side for n, side in zip(size, TILE, strict=True))
    # Sylvester's matrix: -1 to the power of the bits that the numbers of row and column share
    shared = order[:, None, None] & columns[y[:, None], x]
    return (np.bitwise_count(shared) % 2 == 1) ^ (generator.random(size) < EVEN)


def _generator(name: str, index: int) -> np.random.Generator:
    """A generator of its own for an index."""
    digest = hashlib.sha256(name.encode()).digest()[:16]
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, index, 0]))
