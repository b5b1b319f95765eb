"""DF-RISE's masks per second against the bare batched U-Net call; to be at least 0.95 of it."""

import torch

from stepscope.methods.df_rise import df_rise
from support import timing

MASKS, BLOCK = 100, 50


def main() -> None:
    """Print both rates, with and without variants, and the ratios."""
    denoiser, step = timing.stored_step(timing.load())
    unet, device = denoiser.network, denoiser.device
    rows = step.latent.to(device).expand(2 * BLOCK, *step.latent.shape)
    text = step.conditioning["prompt_embeds"].to(device).repeat_interleave(BLOCK, 0)

    @torch.inference_mode()
    def bare() -> None:
        for _ in range(MASKS // BLOCK):
            unet(rows, step.timestep, encoder_hidden_states=text)

    seconds = timing.seconds(
        {
            "bare": bare,
            "df_rise": lambda: df_rise(denoiser, step, masks=MASKS, block=BLOCK),
            "with variants": lambda: df_rise(
                denoiser, step, masks=MASKS, block=BLOCK, variants=["paper", "official"]
            ),
        }
    )
    for name, time in seconds.items():
        rate, ratio = MASKS / time, seconds["bare"] / time
        print(f"{name}: {rate:.0f} masks/s, {ratio:.2f} of the bare call (at least 0.95)")


if __name__ == "__main__":
    main()
