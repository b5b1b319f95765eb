"""States of the deletion and insertion games: a latent whose pixels turn in the order of a map."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.step import Step
from stepscope.methods import baselines
from stepscope.methods import similarity as similarities

ENDS = 3  # states that do not depend on a map: untouched, all deleted, nothing inserted


@dataclass(frozen=True)
class States:
    """Every state of a step's games: `distinct` ones (K, C, h, w), and the `places` among these.

    `places` (3 + 2 M (moves - 1),) i64 are those of the ends, then of the inner moves of deletion
    and of insertion, for M `maps`.
    """

    distinct: Tensor
    places: Tensor
    maps: int


def states_of(
    step: Step, maps: np.ndarray, deletion: str, insertion: str, moves: int, seed: int
) -> States:
    """States of the games on M maps (M, h, w) of a step, by the substrates' names."""
    latent = step.latent
    order = [ranking(map_, tie_breaker(step, seed)) for map_ in maps]
    ranks = torch.from_numpy(np.stack(order))
    hidden, blurred = substrate(deletion, latent), substrate(insertion, latent)
    inner = [states(ranks, latent, hidden, moves), states(ranks, blurred, latent, moves)]
    ends = torch.stack([latent, hidden, blurred])
    every = torch.cat([ends, *(of_game.flatten(0, 1) for of_game in inner)])
    distinct, places = torch.unique(every, dim=0, return_inverse=True)
    return States(distinct, places, len(maps))


def ranking(map_: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rank (h, w) i8 of each pixel, 0 the most salient by the signed map; ties in a drawn order."""
    order = np.lexsort((generator.random(map_.size), -map_.ravel()))
    ranks = np.empty(map_.size, dtype=np.int64)
    ranks[order] = np.arange(map_.size)
    return ranks.reshape(map_.shape)


def substrate(kind: str, latent: Tensor) -> Tensor:
    """What replaces the latent (C, h, w): zeros, or its blur.

    The authors' blur is 11 x 11 with sigma 5 at latent side 64; both scale with the side.
    """
    if kind == "zero":
        return torch.zeros_like(latent)
    side = min(latent.shape[-2:])
    size = max(3, 2 * round((11 * side / 64 - 1) / 2) + 1)
    offsets = torch.arange(size, device=latent.device) - size // 2
    weights = torch.exp(-(offsets**2) / (2 * (5 * side / 64) ** 2))
    return similarities.blurred(latent.float(), weights / weights.sum(), "reflect").to(latent.dtype)


def states(ranks: Tensor, before: Tensor, after: Tensor, moves: int) -> Tensor:
    """Latents (M, moves - 1, C, h, w) of the inner moves of M rankings (M, h, w).

    A move turns the next most salient pixels, an equal share up to rounding, all channels at once,
    from `before` to `after`.
    """
    turned = (torch.arange(1, moves) * ranks[0].numel() + moves // 2) // moves
    return torch.where((ranks[:, None] < turned.view(-1, 1, 1))[:, :, None], after, before)


def tie_breaker(step: Step, seed: int) -> np.random.Generator:
    """Generator of the order of ties, the same for every map of a step."""
    return baselines.generator("ties", seed, step.prompt_id, step.seed, step.number)
