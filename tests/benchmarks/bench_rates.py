"""Rows a second that the network does in each method, as a share of the best batched rate.

Prints the table of README.md. A row is one latent that the network is given, a guided call has two.
Methods are called with full lists of steps, as their jobs call them, with the default study's
parameters. Where they need gradients, the share is of the rate of a bare guided forward and
backward pass of the same steps.
"""

import platform
from collections.abc import Callable

import numpy as np
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.methods.df_rise import df_rise
from stepscope.methods.relevance import relevance
from stepscope.methods.word_information import word_information
from stepscope.models import judges
from stepscope.scores.games import play_steps
from support import timing

BATCHES = 2, 8, 32, 100  # rows of the bare network
STEPS, MASKS = 8, 120  # steps together as the config's default, and DF-RISE's masks
PASSES = f"forward and backward, {2 * STEPS} rows"
CLIP = timing.FOLDER.parent / "clip"


def counted(denoiser: Denoiser, function: Callable[[], object]) -> int:
    """Rows that the network is given while a function runs."""
    rows: list[int] = []
    hook = denoiser.network.register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    function()
    hook.remove()
    return sum(rows)


def bare(denoiser: Denoiser, step: Step, rows: int) -> Callable[[], None]:
    """The network alone with so many rows."""
    latents = step.latent.expand(rows, *step.latent.shape)
    text = step.conditioning["prompt_embeds"][1].expand(rows, -1, -1)

    @torch.inference_mode()
    def run() -> None:
        denoiser.network(latents, step.timestep, encoder_hidden_states=text)

    return run


def main() -> None:
    """Print the table."""
    denoiser, steps = timing.stored_steps(timing.load(), STEPS)
    random = np.random.default_rng(0)
    played = [(step, random.random((1, *step.latent.shape[-2:]))) for step in steps[:4]]
    features = judges.clip_features(judges.load_clip({"folder": str(CLIP)})[0])
    forward = {
        "DF-RISE": lambda: df_rise(denoiser, steps[0], masks=MASKS, variants=["paper", "official"]),
        "word information": lambda: word_information(denoiser, steps),
        "games, with decoding and judging": lambda: list(play_steps(denoiser, played, features)),
    }
    backward = {
        "DF-CAM, all layers": lambda: df_cam(denoiser, steps),
        "DF-CAM per word": lambda: df_cam_word(denoiser, steps),
        "relevance": lambda: relevance(denoiser, steps),
    }
    networks = {f"network, {rows} rows": bare(denoiser, steps[0], rows) for rows in BATCHES}
    networks[PASSES] = timing.passes(denoiser, steps)
    rows = {name: counted(denoiser, run) for name, run in (networks | forward | backward).items()}
    print_table(rows, timing.seconds(networks | forward | backward), set(backward))


def print_table(rows: dict[str, int], seconds: dict[str, float], backward: set[str]) -> None:
    """Rows, rows a second and shares as a table of markdown."""
    rates = {name: rows[name] / time for name, time in seconds.items()}
    best = max(rate for name, rate in rates.items() if name.startswith("network"))
    print(f"{platform.machine()}, one thread; the best rate is {best:.0f} rows a second\n")
    print("| what calls the network | its rows | rows a second | share |")
    print("|---|---|---|---|")
    passes = rates[PASSES]
    for name, rate in rates.items():
        of, unit = (passes, " of the bare passes") if name in backward else (best, "")
        print(f"| {name} | {rows[name]} | {rate:.0f} | {rate / of:.0%}{unit} |")


if __name__ == "__main__":
    main()
