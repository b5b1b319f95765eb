"""Activations are pooled row by row, halves apart, whatever goes through the network together."""

import dataclasses

import numpy as np
import pytest
import torch

from stepscope.scores import pooled_activations
from stepscope.scores.probe_courses import COND, LATENT, UNCOND
from support.replayed import replay

PROMPT = "a red cat above the dog"


def found(steps, layers=("mid_block.resnets.1",), kind="tiny_sd1", **options):
    denoiser, _ = replay(kind, **options)
    return pooled_activations.activations(denoiser, steps, list(layers))


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_pixart", "tiny_sd3"])
def test_rows_are_the_same_however_many_go_together(kind, monkeypatch):
    denoiser, steps = replay(kind)
    layers = pooled_activations.layers_of(denoiser.family, None)
    together = pooled_activations.activations(denoiser, steps, layers)
    assert list(together) == [
        (LATENT, ""),
        *((layer, half) for layer in layers for half in (UNCOND, COND)),
    ]
    monkeypatch.setattr(denoiser.fitting_calls, "limit", 3)  # as if four did not fit
    monkeypatch.setattr(pooled_activations, "AT_ONCE", 3)
    apart = pooled_activations.activations(denoiser, steps, layers)
    for place, values in together.items():
        assert values.shape[0] == len(steps)
        np.testing.assert_allclose(apart[place], values, rtol=1e-4, atol=1e-4)
        assert not np.allclose(values[0], values[1], rtol=1e-3)  # each row is its own step's


def test_the_unconditional_half_knows_nothing_of_the_prompt():
    _, (step, *_) = replay(prompt=PROMPT)
    _, (other, *_) = replay(prompt="a blue dog")
    other = dataclasses.replace(other, latent=step.latent)
    both = found([step, other], prompt=PROMPT)
    uncond, cond = (both["mid_block.resnets.1", half] for half in (UNCOND, COND))
    np.testing.assert_allclose(uncond[0], uncond[1], rtol=1e-4, atol=1e-5)
    assert not np.allclose(cond[0], cond[1], rtol=1e-2)


def test_without_guidance_there_is_the_conditional_half_alone():
    _, steps = replay(guidance=1.0)
    assert {half for _, half in found(steps, guidance=1.0)} == {"", COND}


def test_a_call_that_fails_leaves_nothing():
    denoiser, steps = replay("tiny_sd1")
    whole = found(steps)
    failed = []

    def fails_once(_module, _inputs, _output):
        if not failed:
            failed.append(True)
            raise MemoryError

    handle = denoiser.family.layers()["mid_block.resnets.1"].register_forward_hook(fails_once)
    limit = denoiser.fitting_calls.limit
    try:
        again = found(steps)
    finally:
        handle.remove()
        denoiser.fitting_calls.limit = limit
    assert failed
    for place, values in whole.items():
        np.testing.assert_allclose(again[place], values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 4, 16])
def test_means_are_of_the_whole_and_of_a_grid(side):
    maps = torch.arange(2.0 * side * side).reshape(1, 2, side, side)
    values = pooled_activations.pooled(maps)
    assert values.shape == (1, 2 * (1 + pooled_activations.GRID**2))
    np.testing.assert_allclose(values[0, :2], maps.mean((0, 2, 3)))
    of_cells = values[0, 2:].reshape(2, -1).mean(1)
    np.testing.assert_allclose(of_cells, maps.mean((0, 2, 3)))
    assert values[0, 2] == maps[0, 0, : max(1, side // 4), : max(1, side // 4)].mean()


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["mid"], ["mid_block.resnets.0", "mid_block.resnets.1"]),
        (["up_blocks.0.resnets.0"], ["up_blocks.0.resnets.0"]),
    ],
)
def test_layers_are_named_as_those_of_df_cam(layers, expected):
    family = replay("tiny_sd1")[0].family
    assert pooled_activations.layers_of(family, layers) == expected


def test_a_layer_that_the_network_lacks_is_refused():
    with pytest.raises(ValueError, match="layers: 'side' is none of down_blocks"):
        pooled_activations.layers_of(replay("tiny_sd1")[0].family, ["side"])


def test_without_names_the_last_layer_of_each_stage_is_taken():
    family = replay("tiny_sd1")[0].family
    names = pooled_activations.layers_of(family, None)
    assert len(names) == len(family.stages())
    assert [name for name in family.layers() if name in names] == names
