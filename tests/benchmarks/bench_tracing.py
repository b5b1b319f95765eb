"""Traced generation against the plain pipeline call, both without the decoding that would hide it.

It is to cost at most 1.02 times that. What the job `generate` adds by storing the trace is said
beside it. `--wide` takes a U-Net of more usual width, with random weights.
"""

import sys
import tempfile
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from stepscope.diffusion import samplings
from stepscope.store import parts
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.generate import sample_attributes, stored_arrays
from support import timing

COUNT, STEPS = 8, 10  # samples of a forward batch, as the config's default
BOUND = 1.02


def wide(text: int) -> UNet2DConditionModel:
    """A U-Net of 128 to 256 channels at 32 x 32 cells, for conditioning of a width."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(128, 256),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text,
        attention_head_dim=8,
    ).eval()


def main() -> None:
    """Print rates and ratios."""
    pipeline, count, steps = timing.load(), COUNT, STEPS
    if "--wide" in sys.argv:
        pipeline.unet, count, steps = wide(pipeline.unet.config.cross_attention_dim), 2, 3
    sampling = {"kind": "uniform", "steps": steps}
    own = pipeline.scheduler
    pipeline.scheduler = samplings.make_scheduler(timing.SCHEDULER, own, sampling)
    arguments = timing.settings(count) | {"sampling": sampling}

    def bare() -> None:
        pipeline(
            prompt=arguments["prompts"],
            negative_prompt=[""] * count,
            guidance_scale=4.0,
            num_inference_steps=steps,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(count)],
            output_type="latent",
        )

    trace = trace_prompts(pipeline, **arguments)
    samples = [({"prompt": prompt, "prompt_id": "p"}, 0) for prompt in arguments["prompts"]]

    def stored() -> None:
        made = stored_arrays(trace, "float16"), sample_attributes(trace, samples)
        with tempfile.TemporaryDirectory() as name:
            store = str(Path(name) / "trace.zarr")
            parts.write_in_parts(store, f"{name}/partial", "key", ["0"], lambda _: made)

    seconds = timing.seconds(
        {
            "plain": bare,
            "traced": lambda: trace_prompts(pipeline, **arguments),
            "storing": stored,
        }
    )
    plain, traced, storing = seconds.values()
    print(f"plain: {count / plain:.2f} samples/s")
    print(
        f"traced: {count / traced:.2f} samples/s, {traced / plain:.3f} of plain (at most {BOUND})"
    )
    print(f"storing a trace of {count} samples in one part: {storing / plain:.3f} of plain more")


if __name__ == "__main__":
    main()
