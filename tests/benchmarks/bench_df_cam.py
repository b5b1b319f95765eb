"""DF-CAM for all layers, to cost at most 1.3 forward and backward passes of the same steps."""

from stepscope.methods.df_cam import df_cam, df_cam_word
from support import timing

BATCH = 8  # steps, as the config's default


def main() -> None:
    """Print milliseconds a step and ratios."""
    denoiser, steps = timing.stored_steps(timing.load(), BATCH)
    seconds = timing.seconds(
        {
            "forward and backward": timing.passes(denoiser, steps),
            "df_cam": lambda: df_cam(denoiser, steps),
            "df_cam, raw sum": lambda: df_cam(denoiser, steps, target="raw_sum"),
            "df_cam_word": lambda: df_cam_word(denoiser, steps),
        }
    )
    for name, time in seconds.items():
        ratio = time / seconds["forward and backward"]
        bound = " (at most 1.30)" if name in ("df_cam", "df_cam, raw sum") else ""
        print(
            f"{name}: {1000 * time / BATCH:.0f} ms a step, {ratio:.2f} guided forward and "
            f"backward passes of {BATCH} steps{bound}"
        )


if __name__ == "__main__":
    main()
