"""Shapley and Banzhaf values of a prompt's words: what each adds to a step, with the others."""

import zlib
from collections.abc import Sequence
from typing import Annotated, Any, get_args

import numpy as np
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import coalitions, removals
from stepscope.methods.method import OfWords, method
from stepscope.models.words import Word


def calls_of(words: int, parameters: dict[str, Any]) -> float:
    """Guided calls of one step, half a one a coalition; half the words are taken to have a role."""
    players = (words + 1) // 2 + 1 if parameters["words"] == "roles" else words
    if players <= coalitions.MOST:
        return 2**players / 2
    return 2 * parameters["draws"] * players


@method(
    calls=calls_of,
    target="projection of the step's conditional output on what the prompt adds",
    features="words, left out of the prompt in all combinations",
    held_fixed="time step, latent",
)
@torch.inference_mode()
def word_values(
    denoiser: Denoiser,
    step: Step,
    *,
    words: removals.Chosen = "roles",
    draws: Annotated[int, {"minimum": 2}] = 32,
    seed: Annotated[int, {"minimum": 0}] = 0,
) -> dict[str, np.ndarray | OfWords | float]:
    """Maps (word, h, w) of Shapley values, "banzhaf" ones, interactions and errors.

    The worth of a coalition of words is the projection of e(these words) - e() on e_c - e() over
    the latter's squared norm, so that the prompt's is 1; e(...) is the conditional output for the
    prompt encoded again without the others, and e() that for the empty prompt. A map has each
    cell's part of it: the value of a word is its map's sum. With `roles` the players are the words
    with a role, and all others together are one more, "rest", whose values are numbers of the
    step: words' and rest's Shapley values sum to 1, or to 0 where the text changes nothing.

    Exact up to 10 players, otherwise from `draws` pairs of permutations (see `coalitions.sampled`)
    with standard errors "error" and "banzhaf_error". "interaction" is Shapley's, of the exact
    alone, "banzhaf_interaction" Banzhaf's. ValueError: too few draws, other words.
    """
    if draws < 2 or seed < 0 or words not in get_args(removals.Chosen):
        raise ValueError(f"words {words}, draws {draws}, seed {seed}: no way to draw coalitions.")
    chosen = removals.chosen_words(step, words)
    own = {word.index for word in chosen}
    others = [word for word in step.words if word.index not in own]
    players: list[list[Word]] = [[word] for word in chosen] + ([others] if others else [])
    worth = _Worth(denoiser, step, players)
    if len(players) <= coalitions.MOST:
        kept = coalitions.every(len(players))
        values = coalitions.exact(kept, worth(kept))
    else:
        name = f"{step.prompt_id}:{step.seed}:{step.number}:{seed}"
        values = coalitions.sampled(worth, len(players), draws, zlib.crc32(name.encode()))
    index, count = [word.index for word in chosen], len(step.words)
    rest = [of[-1].sum() if others else 0.0 for of in (values.shapley, values.banzhaf)]
    return {
        "": _placed(values.shapley, index, count),
        "banzhaf": _placed(values.banzhaf, index, count),
        "error": OfWords(_placed(values.shapley_error, index, count)),
        "banzhaf_error": OfWords(_placed(values.banzhaf_error, index, count)),
        "interaction": OfWords(_of_pairs(values.shapley_interaction, index, count)),
        "banzhaf_interaction": OfWords(_of_pairs(values.banzhaf_interaction, index, count)),
        "rest": float(rest[0]),
        "banzhaf_rest": float(rest[1]),
    }


class _Worth:
    """Worth (coalition, h, w) float64 of coalitions of a step's players; each is computed once."""

    def __init__(self, denoiser: Denoiser, step: Step, players: Sequence[Sequence[Word]]) -> None:
        self.denoiser, self.step, self.players = denoiser, step, players
        ends = np.array([[False], [True]]).repeat(len(players), 1)
        self.empty, own = self._outputs(ends)
        self.whole = own - self.empty
        both = torch.stack([torch.zeros_like(own), self.whole])
        _, shares = removals.projected(denoiser, step, both, self.whole)
        self.known = dict(zip(map(bytes, ends), shares.cpu().numpy(), strict=True))

    def _outputs(self, kept: np.ndarray) -> torch.Tensor:
        """Raw conditional outputs (coalition, C, h, w); the prompt's own keeps what is stored."""
        removed = [
            [
                word
                for stays, player in zip(row, self.players, strict=True)
                if not stays
                for word in player
            ]
            for row in kept
        ]
        changes = [(self.step, words) for words in removed if words]
        given = iter(removals.without_words(self.denoiser, changes))
        conditionings = [next(given) if words else self.step.conditioning for words in removed]
        return removals.outputs_of(self.denoiser, [self.step] * len(kept), conditionings)

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        names = list(map(bytes, kept))
        new = {name: row for name, row in zip(names, kept, strict=True) if name not in self.known}
        rows = list(new.items())
        for start in range(0, len(rows), removals.ROWS):
            part = rows[start : start + removals.ROWS]
            outputs = self._outputs(np.stack([row for _, row in part]))
            _, shares = removals.projected(
                self.denoiser, self.step, outputs - self.empty, self.whole
            )
            self.known |= dict(zip((name for name, _ in part), shares.cpu().numpy(), strict=True))
        return np.stack([self.known[name] for name in names])


def _placed(values: np.ndarray, index: Sequence[int], count: int) -> np.ndarray:
    """Values (player, ...) of words in the places that these have in the prompt; NaN for others."""
    found = np.full((count, *values.shape[1:]), np.nan)
    found[list(index)] = values[: len(index)]
    return found


def _of_pairs(values: np.ndarray, index: Sequence[int], count: int) -> np.ndarray:
    """Interactions (word, word) of those of players."""
    found = np.full((count, count), np.nan)
    found[np.ix_(index, index)] = values[: len(index), : len(index)]
    return found
