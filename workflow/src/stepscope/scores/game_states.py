"""States of the deletion and insertion games: a latent whose pixels turn in the order of a map."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.step import Step
from stepscope.methods import baselines

GAMES = ("deletion", "insertion")
RANDOM = "random"  # a map of which several orders are played, and their curves averaged
Setting: TypeAlias = tuple[str, str]  # a game and its substrate


@dataclass(frozen=True)
class States:
    """Every state of a step's games: `distinct` ones (K, C, h, w), the untouched latent first.

    `places` (setting, map, move) i64 are those of each game's states among them.
    """

    distinct: Tensor
    places: Tensor


def settings_of(games: Mapping[str, Any], *, every: bool = True) -> list[Setting]:
    """Games with their substrates, by the config's entry; without `every` with the first alone."""
    return [
        (game, substrate)
        for game in GAMES
        for substrate in listed(games[game])[: None if every else 1]
    ]


def key_of(step: Step) -> dict[str, Any]:
    """Key columns of a step."""
    names = ("prompt_id", "seed", "timestep", "log_snr")
    return {"step": step.number} | {name: getattr(step, name) for name in names}


def listed(substrates: str | Sequence[str]) -> list[str]:
    """The substrates of a game, of which the config may name one without a list."""
    return [substrates] if isinstance(substrates, str) else list(substrates)


def state_count(settings: Sequence[Setting], names: Collection[str], moves: int, draws: int) -> int:
    """Number of distinct states of a step's games with the maps of these names, at most.

    Where both games have one substrate, hiding in an order is showing in its reverse, so that a
    pair of `random_orders` takes no more states than one.
    """
    substrates = {substrate for _, substrate in settings}
    shared = len(settings) - len(substrates)
    drawn = draws if RANDOM in names else 1
    orders = len(settings) * (len(names) - 1 + drawn) - 2 * shared * (drawn // 2)
    return 1 + len(substrates) + orders * (moves - 1)


def states_of(
    latent: Tensor,
    ranks: np.ndarray,
    settings: Sequence[Setting],
    substrates: Mapping[str, Tensor],
    moves: int,
) -> States:
    """States of the games of M rankings (M, h, w) on a latent (C, h, w), by substrates' names."""
    order, every = torch.from_numpy(ranks), []
    for game, substrate in settings:
        ends = latent, substrates[substrate]
        every.append(states(order, *(ends if game == "deletion" else ends[::-1]), moves))
    stacked = torch.stack(every)
    distinct, places = torch.unique(stacked.flatten(0, 2), dim=0, return_inverse=True)
    places = places.view(stacked.shape[:3])
    untouched = int(places[0, 0, 0 if settings[0][0] == "deletion" else -1])
    swapped = torch.arange(len(distinct))
    swapped[[0, untouched]] = swapped[[untouched, 0]]
    return States(distinct[swapped], swapped[places])


def states(ranks: Tensor, before: Tensor, after: Tensor, moves: int) -> Tensor:
    """Latents (M, moves + 1, C, h, w) of the moves of M rankings (M, h, w), from none on.

    A move turns the next most salient pixels, an equal share up to rounding, all channels at once,
    from `before` to `after`.
    """
    turned = (torch.arange(moves + 1) * ranks[0].numel() + moves // 2) // moves
    return torch.where((ranks[:, None] < turned.view(-1, 1, 1))[:, :, None], after, before)


def rankings(maps: np.ndarray, step: Step, seed: int) -> np.ndarray:
    """Rank (M, h, w) i8 of the pixels of each map of a step; ties in one drawn order."""
    names = ("ties", seed, step.prompt_id, step.seed, step.number)
    return np.stack([ranking(map_, baselines.generator(*names)) for map_ in maps])


def ranking(map_: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rank (h, w) i8 of each pixel, 0 the most salient by the signed map; ties in a drawn order."""
    order = np.lexsort((generator.random(map_.size), -map_.ravel()))
    ranks = np.empty(map_.size, dtype=np.int64)
    ranks[order] = np.arange(map_.size)
    return ranks.reshape(map_.shape)


def random_orders(map_: np.ndarray, draws: int, step: Step, seed: int) -> Iterator[np.ndarray]:
    """Random maps (h, w): one that was drawn, its reverse, another, its reverse, and so on.

    Each alone is uniformly random; a pair's curves err in opposite directions, and cost no more
    than one where both games have one substrate.
    """
    for number in range(draws):
        if number % 2:
            yield -map_
            names = ("random", seed, step.prompt_id, step.seed, step.number, number)
            map_ = baselines.generator(*names).random(map_.shape, dtype=np.float32)
        else:
            yield map_
