"""Relevance, to cost at most 2.5 forward and backward passes of the same steps."""

from stepscope.methods.relevance import relevance
from support import timing

BATCH = 8  # steps, as the config's default


def main() -> None:
    """Print milliseconds a step and ratios."""
    denoiser, steps = timing.stored_steps(timing.load(), BATCH)
    seconds = timing.seconds(
        {
            "forward and backward": timing.passes(denoiser, steps),
            "relevance": lambda: relevance(denoiser, steps),
        }
    )
    for name, time in seconds.items():
        ratio = time / seconds["forward and backward"]
        bound = " (at most 2.50)" if name == "relevance" else ""
        print(
            f"{name}: {1000 * time / BATCH:.0f} ms a step, {ratio:.2f} guided forward and "
            f"backward passes of {BATCH} steps{bound}"
        )


if __name__ == "__main__":
    main()
