"""Steps that are explained together have the maps of each alone, on every family of models."""

import functools

import numpy as np
import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.methods.batches import Explaining, results
from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.methods.method import Layers
from stepscope.methods.relevance import relevance
from stepscope.methods.word_information import word_information
from stepscope.models import memory
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny

PIPELINES = ["tiny_sd1", "tiny_sd2", "tiny_xl", "tiny_pixart", "tiny_sd3"]
OPTIONS = {"sampling": {"kind": "uniform", "steps": 3}, "scheduler": {"name": "euler"}}
METHODS = {
    "relevance": (relevance, {}),
    "df_cam": (df_cam, {}),
    "df_cam, norm": (df_cam, {"target": "norm"}),
    "df_cam, raw sum": (df_cam, {"target": "raw_sum"}),
    "df_cam_word": (df_cam_word, {}),
    "information": (word_information, {}),
}
# both halves of a U-Net and of a transformer; the other methods call all families differently
HALVES = [(kind, name) for kind in ("tiny_sd1", "tiny_sd3") for name in METHODS if "," in name]
CASES = HALVES + [(kind, name) for kind in PIPELINES for name in METHODS if "," not in name]


@functools.cache
def replay(kind):
    """A denoiser, and steps of two prompts with unlike numbers of words, in no order."""
    pipeline = getattr(tiny, kind)().to(torch.float64)  # where rounding hides no mixing of rows
    prompts = ["a red zebra on a ball", "the dog"]
    trace = trace_prompts(
        pipeline,
        prompts,
        [0, 1],
        guidance=4.0,
        negative_prompt="",
        height=None,
        width=None,
        roles=[{}, {}],
        **OPTIONS,
    )
    first, second = (steps_of(trace, sample, prompt_id=prompts[sample]) for sample in range(2))
    denoiser = Denoiser(pipeline, guidance=4.0, **OPTIONS)
    return denoiser, [second[2], first[0], first[1]]


def array(result):
    return result.maps if isinstance(result, Layers) else np.asarray(result)


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_steps_together_have_the_maps_of_each_alone(kind, method):
    denoiser, steps = replay(kind)
    function, parameters = METHODS[method]
    together, again = (function(denoiser, steps, **parameters) for _ in range(2))
    assert len(together) == len(steps)
    assert max(np.nanmax(array(found)) for found in together) > 0
    for step, found, repeated in zip(steps, together, again, strict=True):
        alone = function(denoiser, step, **parameters)
        assert type(found) is type(alone)
        expected = array(alone)
        scale = np.nanmax(np.abs(expected))  # 0 in a flow's pure noise, where words say nothing
        np.testing.assert_allclose(array(found), expected, rtol=0, atol=1e-5 * scale)
        np.testing.assert_array_equal(array(found), array(repeated))


@pytest.mark.parametrize("method", [relevance, df_cam_word])
def test_what_does_not_fit_into_memory_with_gradients_is_halved(method, monkeypatch):
    denoiser, steps = replay("tiny_sd1")
    whole = method(denoiser, steps)
    run, rows = denoiser.family.run, []

    def limited(z, *others):
        if torch.is_grad_enabled():
            rows.append(len(z))
            if len(z) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(z, *others)

    monkeypatch.setattr(denoiser.family, "run", limited)
    fitting = memory.Fitting()
    halved = list(results(Explaining("m", method, denoiser, {}), iter(steps), 3, fitting))
    assert rows == [3, 2, 1]
    assert fitting.limit == 2
    for found, expected in zip(halved, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())
