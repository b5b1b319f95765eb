"""Times of two things measured in turn in one process, so that a busy machine slows both."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
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


def stored_step(pipeline: object) -> tuple[Denoiser, Step]:
    """A denoiser and the second step of a sample."""
    trace = trace_prompts(pipeline, **settings())
    denoiser = Denoiser(pipeline, sampling=SAMPLING, scheduler=SCHEDULER, guidance=4.0)
    return denoiser, steps_of(trace, 0, prompt_id="benchmark")[1]


def seconds(functions: dict[str, Callable], repeats: int = 4) -> dict[str, float]:
    """Best time of each function, in seconds, over interleaved repeats after one warm-up."""
    best = dict.fromkeys(functions, float("inf"))
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def load() -> object:
    """The shipped pipeline."""
    return pipelines.load({"folder": str(FOLDER)})
