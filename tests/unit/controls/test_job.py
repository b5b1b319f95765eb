"""Planted truth under the controls: what depends on weights or prompt is lost, the rest is kept."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
import xarray as xr

from stepscope.controls.job import Control, control_maps, together
from stepscope.controls.steps import recorded
from stepscope.diffusion.planted import Wrapped
from stepscope.methods.cross_attention import cross_attention
from stepscope.scores.saliency import rank_correlation
from support.replayed import replay

KINDS = ("weights", "cascade", "prompt", "latent")
BLOCKS = 7  # of the tiny U-Net


class Deaf(Wrapped):
    """Predicts the latent smoothed, whatever the network, which it calls, and the prompt say."""

    def outputs(self, latents, step, conditioning=None, **options):
        halves = self.inner.outputs(latents, step, conditioning, **options)
        smooth = torch.nn.functional.avg_pool2d(latents, 3, 1, 1)
        return torch.zeros_like(halves) + smooth[:, None]


def energy(step, seed=1):
    """A map (h, w) of what a step predicts for its prompt, with some noise by a seed."""
    noise = np.random.default_rng(seed).normal(0, 0.2, (16, 16))
    values = step.outputs[1].square().sum(0).sqrt().numpy()
    return values / values.std() + noise


def found(denoiser, method=energy, kinds=KINDS, seed=0, seeded=False):
    """Maps by control of a step, whose partner is another prompt's."""
    step, other = replay()[1][1], replay(prompt="the ball")[1][1]
    other = replace(other, latent=other.latent.flip(-1))  # both began with the same noise

    def explained(steps):
        (changed,) = steps
        return {"m": np.asarray(method(changed))}

    maps = control_maps(explained, lambda: [(step, other)], denoiser, kinds, seed, seeded)
    return {control: each["m"] for control, each in maps if each}


@cache
def of_the_network():
    return found(replay()[0], seeded=True)


def test_a_map_that_knows_neither_weights_nor_prompt_survives_all_but_another_latent():
    denoiser = Deaf(replay()[0])
    step = recorded(denoiser, replay()[1][1])
    maps = found(denoiser, seeded=True)
    maps.pop(Control("seed"))  # of the network that was traced
    ceiling = rank_correlation(energy(step, seed=0), energy(step))
    assert 0.7 < ceiling < 1
    latent = maps.pop(Control("latent"))
    assert rank_correlation(energy(step, seed=0), latent) < ceiling - 0.1
    assert len(maps) == BLOCKS + 2  # the cascade's, weights, prompt
    for map_ in maps.values():  # with the same noise as the ceiling, and no other difference
        np.testing.assert_array_equal(map_, energy(step))


def test_a_map_of_the_network_does_not_survive_random_weights():
    maps = of_the_network()
    own = energy(replay()[1][1], seed=0)
    ceiling = rank_correlation(own, maps[Control("seed")])
    assert ceiling > 0.7
    assert rank_correlation(own, maps[Control("weights", depth=BLOCKS)]) < ceiling - 0.3


def test_a_cascade_names_every_block_and_ends_where_all_weights_are_random():
    maps = of_the_network()
    cascade = [control for control in maps if control.kind == "cascade"]
    assert [control.block for control in cascade] == list(replay()[0].family.blocks())
    assert [control.depth for control in cascade] == list(range(1, BLOCKS + 1))
    whole = Control("weights", depth=BLOCKS)
    assert maps[cascade[-1]] is maps[whole]  # computed once
    alone = found(replay()[0], kinds=["weights"])
    assert list(alone) == [whole]  # a method without a seed has no map of its own here
    np.testing.assert_array_equal(alone[whole], maps[whole])


def test_the_controls_are_the_same_bits_by_their_seed_and_leave_the_network_as_it_was():
    denoiser, steps = replay()
    before = denoiser.conditional(steps[0].latent[None], steps[0])
    first, again, other = (
        found(denoiser, partial(cross_attention, None), ["weights", "prompt"], seed)
        for seed in (0, 0, 1)
    )
    for control, map_ in first.items():
        np.testing.assert_array_equal(map_, again[control])
        changed = not np.array_equal(map_, other[control])
        assert changed == (control.kind == "weights")  # the partner is given here
    assert first[Control("prompt")].shape == (2, 16, 16)  # the words of the other prompt
    assert torch.equal(denoiser.conditional(steps[0].latent[None], steps[0]), before)


@pytest.mark.parametrize("layer", [False, True])
def test_maps_of_controls_lie_beside_each_other_on_the_places_that_were_asked_for(layer):
    axes = ("sample", "step", *(["layer"] if layer else []), "y", "x")
    every = np.arange(3 * 2 * 2 * 2 * 2, dtype=float).reshape(3, 2, 2, 2, 2)
    values = xr.DataArray(
        every if layer else every[:, :, 0], {"sample": [0, 1, 2], "step": [1, 2]}, axes
    )
    controls = [Control("seed"), Control("cascade", "output", 1)]
    pairs = [(controls[0], {"m": values}), (controls[1], {"m": -values})]
    places = {"sample": np.array([0, 2]), "step": np.array([1])}
    maps = together(pairs, places)["m"]
    assert maps.dims == (*axes[:2], "control", *axes[2:])
    assert maps["kind"].values.tolist() == ["seed", "cascade"]
    assert maps["block"].values.tolist() == ["", "output"]
    assert maps["depth"].values.tolist() == [0, 1]
    expected = values.sel(sample=[0, 2], step=[2])
    np.testing.assert_array_equal(maps.isel(control=0), expected)
    np.testing.assert_array_equal(maps.isel(control=1), -expected)
