"""Word information at its batch against the bare network; to cost at most 1.05 of its rows."""

import torch

from stepscope.methods.word_information import word_information
from support import timing

BATCH = 8  # steps, as the config's default


def main() -> None:
    """Print milliseconds a step and the ratio."""
    denoiser, steps = timing.stored_steps(timing.load(), BATCH)
    rows = [step for step in steps for _ in range(1 + len(step.words))]
    latents = torch.stack([step.latent for step in rows]).to(denoiser.device)
    text = torch.stack([step.conditioning["prompt_embeds"][1] for step in rows])
    timesteps = torch.tensor([step.timestep for step in rows])

    @torch.inference_mode()
    def bare() -> None:
        denoiser.network(latents, timesteps, encoder_hidden_states=text)

    seconds = timing.seconds(
        {"bare": bare, "information": lambda: word_information(denoiser, steps)}
    )
    for name, time in seconds.items():
        print(
            f"{name}: {1000 * time / BATCH:.0f} ms a step, {len(rows) / time:.0f} rows/s, "
            f"{time / seconds['bare']:.3f} of the bare call of as many rows (at most 1.05)"
        )


if __name__ == "__main__":
    main()
