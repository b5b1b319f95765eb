"""Playing the games: the network's step from every state, and what becomes of it."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step, runs
from stepscope.models import judges
from stepscope.scores.game_scores import SCORES, compared
from stepscope.scores.game_states import Setting, States, rankings, states_of
from stepscope.scores.substrates import SUBSTRATES, parts_of


class Play(NamedTuple):
    """A step, the maps (M, h, w) that are played at it, and the games with their substrates."""

    step: Step
    maps: np.ndarray
    settings: Sequence[Setting]


@torch.inference_mode()
def play_steps(
    denoiser: Denoiser,
    played: Iterable[Play],
    scores: Sequence[str],
    features_of: judges.Features | None = None,
    *,
    moves: int | None = None,
    batch: int = 64,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """Curves (setting, map, score, move) f8 of each play, by the names of scores.

    A move hides or shows an equal share of the pixels; `moves` None is one a row of the latent. At
    each of the moves + 1 states the denoiser and one scheduler step run without history, and the
    result is compared with that of the untouched latent. States that are equal are computed once,
    and those of several steps go through the model together. `features_of` pictures are what the
    scores of features compare.
    """
    waiting: deque[States] = deque()

    def rows() -> Iterator[tuple[Step, Tensor]]:
        for step, maps, settings in played:
            parts = parts_of(denoiser, step, seed)
            kinds = {kind: SUBSTRATES[kind](parts).to(step.latent) for _, kind in settings}
            ranks = rankings(maps, step, seed)
            waiting.append(states_of(step.latent, ranks, settings, kinds, moves or maps.shape[-2]))
            for latent in waiting[-1].distinct:
                yield step, latent

    scored = scores_of_states(denoiser, rows(), list(scores), features_of, batch)
    for first in scored:
        states = waiting.popleft()
        values = torch.stack([first, *islice(scored, len(states.distinct) - 1)])
        yield values[states.places].transpose(-1, -2).numpy()


def play_step(
    denoiser: Denoiser,
    play: Play,
    scores: Sequence[str],
    features_of: judges.Features | None = None,
    **options: Any,
) -> np.ndarray:
    """Curves of one step alone (see `play_steps`)."""
    (curves,) = play_steps(denoiser, [play], scores, features_of, **options)
    return curves


def scores_of_states(
    denoiser: Denoiser,
    rows: Iterator[tuple[Step, Tensor]],
    scores: list[str],
    features_of: judges.Features | None,
    batch: int,
) -> Iterator[Tensor]:
    """Scores (score,) of each state against the first one of its step."""
    reference: Mapping[str, Tensor] = {}
    of_step = None
    while together := list(islice(rows, batch)):
        found = results(denoiser, together, scores, features_of)
        for step, piece in runs([step for step, _ in together], len(together)):
            of_piece = {name: values[piece] for name, values in found.items()}
            if step is not of_step:
                of_step = step
                reference = {name: values[:1] for name, values in of_piece.items()}
            yield from compared(scores, of_piece, reference).T


def results(
    denoiser: Denoiser,
    states: Sequence[tuple[Step, Tensor]],
    scores: Iterable[str],
    features_of: judges.Features | None,
) -> dict[str, Tensor]:
    """What scores compare of B latents (C, h, w) after one step, by `Score.of`, (B, ...) each."""
    needed = {SCORES[name].of for name in scores}
    steps = [step for step, _ in states]
    latents = torch.stack([latent for _, latent in states]).to(denoiser.device)
    output = denoiser.guided(denoiser.outputs(latents, steps))
    found = {"latent": denoiser.advance(latents, output, steps)}
    if needed & {"picture", "features"}:
        found["picture"] = denoiser.decode(found["latent"])
    if "features" in needed:
        assert features_of is not None, "scores of features need a judge"
        found["features"] = features_of(found["picture"])
    return found
