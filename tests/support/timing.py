"""Times of two things measured in turn in one process, so that a busy machine slows both."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from stepscope import allocator
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.gradients import frozen
from stepscope.models import pipelines
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of

FOLDER = Path(__file__).parents[2] / "resources" / "models" / "pipeline"
SAMPLING = {"kind": "uniform", "steps": 4}
SCHEDULER = {"name": "dpmsolver++", "order": 1}
PROMPTS = ["a big fox on a blue background", "on a striped red background, a small star"]


def settings(count: int = 1) -> dict:
    """Arguments of ``tracing.generate`` for some samples."""
    return {
        "prompts": [PROMPTS[i % 2] for i in range(count)],
        "seeds": list(range(count)),
        "sampling": SAMPLING,
        "guidance": 4.0,
        "negative_prompt": "",
        "height": None,
        "width": None,
        "scheduler": SCHEDULER,
        "roles": [{}] * count,
    }


def stored_steps(pipeline: object, count: int) -> tuple[Denoiser, list[Step]]:
    """A denoiser and steps of two samples, as the methods get them in their order."""
    sampling = SAMPLING | {"steps": count}
    trace = trace_prompts(pipeline, **settings(2) | {"sampling": sampling})
    denoiser = Denoiser(pipeline, sampling=sampling, scheduler=SCHEDULER, guidance=4.0)
    every = [step for sample in range(2) for step in steps_of(trace, sample, prompt_id="benchmark")]
    return denoiser, every[count // 2 : count // 2 + count]


def stored_step(pipeline: object) -> tuple[Denoiser, Step]:
    """A denoiser and the second step of a sample."""
    trace = trace_prompts(pipeline, **settings())
    denoiser = Denoiser(pipeline, sampling=SAMPLING, scheduler=SCHEDULER, guidance=4.0)
    return denoiser, steps_of(trace, 0, prompt_id="benchmark")[1]


def passes(denoiser: Denoiser, steps: list[Step]) -> Callable[[], None]:
    """A guided forward and backward pass of steps together, the weights frozen as in methods."""
    latents = torch.stack([step.latent for step in steps]).to(denoiser.device)

    def run() -> None:
        with frozen(denoiser.network), torch.enable_grad():
            outputs = denoiser.outputs(latents.clone().requires_grad_(), steps)
            denoiser.guided(outputs).sum().backward()

    return run


def seconds(functions: dict[str, Callable], repeats: int = 5) -> dict[str, float]:
    """Median time of each function, in seconds, over interleaved repeats after one warm-up.

    On a CPU it is the process's own time, which other work beside it disturbs less. Pages of large
    buffers are kept, as in jobs.
    """
    allocator.keep_pages()
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(clock() - start)
    return {name: statistics.median(of_name[1:]) for name, of_name in times.items()}


def load() -> object:
    """The shipped pipeline."""
    return pipelines.load({"folder": str(FOLDER)})
