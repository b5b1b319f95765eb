"""Traced generation against the plain pipeline call, both without the decoding that would hide it.

It is to cost at most 1.15 times that.
"""

import torch

from stepscope.diffusion import samplings
from stepscope.tracing.call import trace_prompts
from support import timing

COUNT = 4


def main() -> None:
    """Print both times and the ratio."""
    pipeline = timing.load()
    sampling = {"kind": "uniform", "steps": 10}
    own = pipeline.scheduler
    pipeline.scheduler = samplings.make_scheduler(timing.SCHEDULER, own, sampling)
    arguments = timing.settings(COUNT) | {"sampling": sampling}

    def bare() -> None:
        pipeline(
            prompt=arguments["prompts"],
            negative_prompt=[""] * COUNT,
            guidance_scale=4.0,
            num_inference_steps=10,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(COUNT)],
            output_type="latent",
        )

    seconds = timing.seconds(
        {"plain": bare, "traced": lambda: trace_prompts(pipeline, **arguments)}
    )
    for name, time in seconds.items():
        ratio = time / seconds["plain"]
        print(f"{name}: {COUNT / time:.2f} samples/s, {ratio:.2f} of plain (at most 1.15)")


if __name__ == "__main__":
    main()
