"""Gradient methods at their batch against a guided forward and backward pass of the same steps.

DF-CAM for all layers is to cost at most 1.3 of it, relevance at most 2.5.
"""

from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.methods.relevance import relevance
from support import timing

BATCH = 8  # steps, as the config's default
BOUNDS = {"df_cam": 1.3, "df_cam, raw sum": 1.3, "relevance": 2.5}


def main() -> None:
    """Print milliseconds a step and ratios."""
    denoiser, steps = timing.stored_steps(timing.load(), BATCH)
    seconds = timing.seconds(
        {
            "forward and backward": timing.passes(denoiser, steps),
            "df_cam": lambda: df_cam(denoiser, steps),
            "df_cam, raw sum": lambda: df_cam(denoiser, steps, target="raw_sum"),
            "df_cam_word": lambda: df_cam_word(denoiser, steps),
            "relevance": lambda: relevance(denoiser, steps),
        }
    )
    for name, time in seconds.items():
        ratio = time / seconds["forward and backward"]
        bound = f" (at most {BOUNDS[name]:.2f})" if name in BOUNDS else ""
        print(
            f"{name}: {1000 * time / BATCH:.0f} ms a step, {ratio:.2f} guided forward and "
            f"backward passes of {BATCH} steps{bound}"
        )


if __name__ == "__main__":
    main()
