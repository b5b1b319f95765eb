"""Games of fewer moves against 64 of them, by both rules; and against the bare models' time."""

import numpy as np
import torch
from numpy.typing import NDArray

from stepscope.methods import baselines
from stepscope.models import judges
from stepscope.scores import areas, game_states, playing
from stepscope.scores.game_scores import SCORES
from support import timing

FINE, MOVES = 64, (32, 16, 8, 4)
STEPS, MAPS = 4, 2  # of two samples; random maps
BATCH = 32
SETTINGS = [(game, "signal") for game in game_states.GAMES]


def errors(found: NDArray[np.float64], fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square (game, score) of areas' errors, in percent of the mean area."""
    return 100 * np.sqrt(((found - fine) ** 2).mean((0, 1))) / fine.mean((0, 1))


def main() -> None:
    """Print errors by number of moves and rule, milliseconds a state, and their ratio."""
    denoiser, steps = timing.stored_steps(timing.load(), STEPS)
    clip = judges.load_clip({"folder": str(timing.FOLDER.with_name("clip"))})[0]
    features_of = judges.clip_features(clip)
    maps = [
        baselines.random(0, "benchmark", number, (MAPS, *step.latent.shape[-2:]))
        for number, step in enumerate(steps)
    ]

    def play(moves: int) -> NDArray[np.float64]:
        played = [playing.Play(*of, SETTINGS) for of in zip(steps, maps, strict=True)]
        every = playing.play_steps(
            denoiser, played, list(SCORES), features_of, moves=moves, batch=BATCH
        )
        return np.stack([*every]).swapaxes(1, 2)  # (step, map, game, score, move)

    curves = play(FINE)
    fine = areas.auc_of_few(curves)
    names = [f"{game} {score}" for game in game_states.GAMES for score in SCORES]
    print("error of an area, % of the mean  " + "  ".join(names))
    for moves in MOVES:
        for rule in (areas.auc, areas.auc_of_few):
            found = errors(rule(curves[..., :: FINE // moves]), fine)
            cells = zip(found.flat, names, strict=True)
            print(
                f"{moves:>3} moves, {rule.__name__:<22}"
                + "  ".join(f"{error:{len(name)}.2f}" for error, name in cells)
            )

    moves = 8
    count = STEPS * (2 + 2 * MAPS * (moves - 1))
    latents = torch.stack([steps[0].latent] * BATCH)

    @torch.inference_mode()
    def bare() -> None:
        output = denoiser.guided(denoiser.outputs(latents, steps[0]))
        features_of(denoiser.decode(denoiser.advance(latents, output, steps[0])))

    seconds = timing.seconds({"bare": bare, "games": lambda: play(moves)})
    bare_each, each = seconds["bare"] / BATCH, seconds["games"] / count
    print(f"{1000 * each:.1f} ms a state, {each / bare_each:.3f} of the bare models (at most 1.05)")


if __name__ == "__main__":
    main()
