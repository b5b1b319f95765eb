"""A word's map moves with its object, in two composed scenes that differ in its place alone."""

import functools

import numpy as np
import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.embedded.scenes import paint
from stepscope.embedded.spec import Spec
from stepscope.methods.attention import attention
from stepscope.methods.cross_attention import cross_attention
from stepscope.methods.df_cam import df_cam_word
from stepscope.methods.relevance import relevance
from stepscope.methods.word_information import word_information
from stepscope.models import autoencoder
from stepscope.tracing.real_pictures import noised
from stepscope.tracing.trace import steps_of
from support.traced import loaded

SAMPLING = {"kind": "log_snr", "steps": 3, "start": -1, "end": 3}
SETTINGS = {"sampling": SAMPLING, "scheduler": {"name": "dpmsolver++", "order": 1}, "guidance": 4.0}
PROMPT = "a small crown on a plain green background"


@functools.cache
def scenes():
    """The shipped model's denoiser, and the second step of the crown on the left and the right."""
    pipeline = loaded("shipped")
    spec = Spec(("crown",), "green", "plain", size="small")
    pictures = [paint(spec, np.array([[0, move]]))[0] for move in (-16, 16)]
    batch = torch.from_numpy(np.stack(pictures)).movedim(-1, 1) * 2 - 1
    clean = autoencoder.encode(pipeline, batch)
    roles = [{"subject": "crown"}] * 2
    options = {"negative_prompt": "", "height": None, "width": None, "roles": roles}
    trace = noised(pipeline, [PROMPT] * 2, [0, 0], clean, **SETTINGS, **options)
    steps = [steps_of(trace, sample, prompt_id="crown")[1] for sample in (0, 1)]
    return Denoiser(pipeline, **SETTINGS), steps


@pytest.mark.parametrize(
    "method", [cross_attention, attention, relevance, word_information, df_cam_word]
)
def test_a_words_map_moves_when_its_object_moves(method):
    denoiser, steps = scenes()
    left, right = (np.asarray(method(denoiser, step))[2] for step in steps)
    assert steps[0].words[2].text == "crown"
    columns = np.arange(16)
    centres = [(map_.sum(0) * columns).sum() / map_.sum() for map_ in (left, right)]
    # the object moves by 8 of 16 columns, over what a map has of other places
    assert centres[1] - centres[0] > 0.75
