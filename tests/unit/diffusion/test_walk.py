"""A walk from a stored noise is the traced generation, whatever the solver's order."""

import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.walk import walk
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny
from support.replayed import SAMPLING, SCHEDULER


@pytest.mark.parametrize("order", [1, 2])
def test_a_walk_ends_where_the_trace_does(order):
    pipeline, scheduler = tiny.tiny_sd1(), SCHEDULER | {"order": order}
    shared = {"sampling": SAMPLING, "scheduler": scheduler, "guidance": 4.0}
    trace = trace_prompts(
        pipeline, ["a red cat", "a dog"], [0, 1], **shared, negative_prompt="", height=None,
        width=None, roles=[{}, {}],
    )  # fmt: skip
    steps = [steps_of(trace, sample) for sample in range(2)]
    found = walk(Denoiser(pipeline, **shared), [of_sample[0] for of_sample in steps])
    expected = torch.stack([of_sample[-1].after for of_sample in steps])
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
