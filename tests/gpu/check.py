"""Tracing, methods and memory on a graphics card, at the geometry of Stable Diffusion 1.

float16, 512 px, random weights. `--tiny` runs the same on a tiny model, on the CPU if there is no
card, and leaves out what only a card has.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import bench_sd1  # its model is the one to look at
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.df_cam import df_cam
from stepscope.methods.df_rise import df_rise
from stepscope.methods.relevance import relevance
from stepscope.models import devices, memory, pipelines
from stepscope.tracing.call import trace
from stepscope.tracing.trace import Trace, steps_of
from support import timing, tiny

PROMPT, STEPS, GUIDANCE = bench_sd1.PROMPT, 10, 7.5
BATCH, MASKS, TOO_MANY = 8, 100, 4096
Row = tuple[str, str, str]  # what was looked at, what it gave, what it is to be


def main() -> None:
    """Print the table; the process fails if traces and plain calls differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    card = torch.cuda.is_available()
    if not (card or arguments.tiny):
        raise SystemExit("There is no graphics card; --tiny tries the script without one.")
    pipeline = tiny.tiny_sd1() if arguments.tiny else bench_sd1.build()
    pipeline.to(devices.device(), torch.float16 if card else torch.float32)
    name = torch.cuda.get_device_name() if card else "CPU"
    print(f"{name}, PyTorch {torch.__version__}, {'tiny' if arguments.tiny else '512 px'}")
    print(f"{'':44} {'measured':>24}  to be")
    wrong = False
    for what, value, bound in rows(pipeline, card):
        print(f"{what:44} {value:>24}  {bound}", flush=True)
        wrong |= bound == "True" and value != bound
    raise SystemExit(wrong)


def rows(pipeline: DiffusionPipeline, card: bool) -> Iterator[Row]:
    """Lines of the table, each as soon as it is measured."""
    yield from tracing(pipeline)
    _, traced = with_trace(pipeline)
    denoiser = Denoiser(pipeline, sampling={"kind": "uniform", "steps": STEPS}, guidance=GUIDANCE)
    steps = steps_of(traced, 0, prompt_id="check")[:BATCH]
    yield from methods(denoiser, steps)
    yield from fitting(denoiser, steps[0], card)
    if card:
        yield from offload(pipeline)


def plain(pipeline: DiffusionPipeline) -> Tensor:
    """Final latents of a call."""
    return pipeline(
        prompt=PROMPT,
        guidance_scale=GUIDANCE,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
        output_type="latent",
    ).images


def with_trace(pipeline: DiffusionPipeline) -> tuple[Tensor, Trace]:
    """The same with tracing."""
    with trace(pipeline) as tracer:
        latents = plain(pipeline)
    return latents, tracer.result()


def tracing(pipeline: DiffusionPipeline) -> Iterator[Row]:
    """Tracing changes no bit and costs next to nothing."""
    expected = plain(pipeline)
    latents, traced = with_trace(pipeline)
    same = torch.equal(latents, expected) and torch.equal(
        traced.latents[0, -1].to(expected), expected[0]
    )
    yield "traced = plain, bit by bit", str(same), "True"
    seconds = timing.seconds(
        {"plain": lambda: plain(pipeline), "traced": lambda: with_trace(pipeline)}
    )
    ratio = seconds["traced"] / seconds["plain"]
    yield f"tracing / plain, {STEPS} steps", f"{ratio:.3f}", "at most 1.02"


def methods(denoiser: Denoiser, steps: list[Step]) -> Iterator[Row]:
    """Masks and steps a second against the bare network at the same batch."""
    step, block = steps[1], MASKS // 2
    network, device = denoiser.network, denoiser.device
    latents = step.latent.to(device, network.dtype).expand(2 * block, *step.latent.shape)
    text = step.conditioning["prompt_embeds"].to(device).repeat_interleave(block, 0)

    @torch.inference_mode()
    def bare() -> None:
        for _ in range(MASKS // block):
            network(latents, step.timestep, encoder_hidden_states=text)

    functions: dict[str, Callable[[], Any]] = {
        "bare": bare,
        "df_rise": lambda: df_rise(denoiser, step, masks=MASKS, block=block),
        "passes": timing.passes(denoiser, steps),
        "df_cam": lambda: df_cam(denoiser, steps),
        "relevance": lambda: relevance(denoiser, steps),
    }
    seconds = timing.seconds(functions, repeats=3)
    share = seconds["bare"] / seconds["df_rise"]
    rate = f"{MASKS / seconds['df_rise']:.1f} masks/s, {share:.2f}"
    yield "DF-RISE, of the bare network", rate, "at least 0.95"
    for name, bound in (("df_cam", 1.3), ("relevance", 2.5)):
        ratio = seconds[name] / seconds["passes"]
        rate = f"{len(steps) / seconds[name]:.1f} steps/s, {ratio:.2f}"
        yield f"{name}, {len(steps)} steps, / guided passes", rate, f"at most {bound}"


def fitting(denoiser: Denoiser, step: Step, card: bool) -> Iterator[Row]:
    """The batch that `auto` takes; what does not fit is halved, with the same results."""
    latents = step.latent.to(denoiser.device)[None]

    @torch.inference_mode()
    def call(count: int) -> Tensor:
        return denoiser.outputs(latents.expand(count, *latents.shape[1:]), step)

    size = memory.fitting_size(lambda: call(1), denoiser.device)
    yield "forward_batch: auto, denoiser rows", str(size), f"1 to {memory.MOST}"
    if card:
        whole = call(BATCH)
        # so little that thousands of rows cannot fit beside the weights
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info()
        used = (total - free) / total
        torch.cuda.set_per_process_memory_fraction(min(1.0, used + 0.1))
        rows_together = call(TOO_MANY)
        torch.cuda.set_per_process_memory_fraction(1.0)
        error = (rows_together[:BATCH].float() - whole.float()).abs().max().item()
        limit = denoiser.fitting_calls.limit
        yield f"{TOO_MANY} rows in a tenth of the memory", f"{limit} at once", "halved"
        yield "largest difference of a halved batch", f"{error:.1e}", "rounding"


def offload(pipeline: DiffusionPipeline) -> Iterator[Row]:
    """A model that waits in main memory takes less of the card, and draws the same."""
    expected = plain(pipeline)
    pipeline.to("cpu")
    torch.cuda.empty_cache()
    pipelines.save_memory(pipeline, {"offload": "model"})
    with memory.Peak(devices.device()) as peak:
        latents = plain(pipeline)
    weights = [part.numel() * part.element_size() for part in pipeline.unet.parameters()]
    yield "offload: model = plain, bit by bit", str(torch.equal(latents, expected)), "True"
    ratio = peak.bytes / sum(weights)
    yield "peak / weights of the U-Net", f"{ratio:.2f}", "one part at a time"


if __name__ == "__main__":
    main()
