"""DF-CAM: one backward pass for all layers, guidance mixed once, and right about planted truth."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from stepscope.diffusion.planted import ConstantDenoiser, CopyingDenoiser, GatedDenoiser, Wrapped
from stepscope.methods import baselines
from stepscope.methods.activations import class_activation, weighed
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.models.families.unet import UNet
from support.replayed import auroc, corner, replay


def summed(result):
    return np.nansum(result.maps, axis=0)


def test_stable_diffusion_has_the_papers_43_layers():
    with torch.device("meta"):
        unet = UNet2DConditionModel()
    names = list(UNet(SimpleNamespace(unet=unet)).layers())
    assert len(names) == 43
    assert names[0] == "down_blocks.0.resnets.0"
    assert names.index("mid_block.resnets.1") < names.index("up_blocks.0.resnets.0")


@pytest.mark.parametrize("target", ["prompt", "norm", "raw_sum"])
@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_pixart", "tiny_sd3"])
def test_one_backward_pass_gives_the_maps_of_one_pass_a_layer(kind, target, monkeypatch):
    denoiser, steps = replay(kind)
    together = df_cam(denoiser, steps[1], target=target)
    everything = denoiser.family.layers()
    for index, (name, layer) in enumerate(everything.items()):
        monkeypatch.setattr(denoiser.family, "layers", lambda one={name: layer}: one)
        alone = df_cam(denoiser, steps[1], target=target)
        assert alone.names == (name,)
        np.testing.assert_allclose(alone.maps[0], together.maps[index], atol=1e-5)


def test_the_raw_sum_is_the_authors_computation_layer_by_layer():
    """Sum of both raw halves, halves of A and dY/dA mixed by guidance, each layer by itself."""
    denoiser, steps = replay()
    found = df_cam(denoiser, steps[1], target="raw_sum")
    for name, map_ in zip(found.names, found.maps, strict=True):
        seen = []
        layer = denoiser.family.layers()[name]
        handle = layer.register_forward_hook(
            lambda module, given, out, seen=seen: seen.append(out[0] if type(out) is tuple else out)
        )
        latents = steps[1].latent[None].clone().requires_grad_()
        y = denoiser.outputs(latents, steps[1]).sum()
        handle.remove()
        (gradient,) = torch.autograd.grad(y, seen, allow_unused=True)
        (a_u, a_c), (g_u, g_c) = seen[0].detach(), gradient
        a, g = a_u + 4 * (a_c - a_u), g_u + 4 * (g_c - g_u)
        cam = (g.mean((1, 2), keepdim=True) * a).sum(0).relu()[None, None]
        cam = torch.nn.functional.interpolate(cam, size=(16, 16), mode="bilinear")[0, 0]
        expected = (cam - cam.min()) / (cam.max() - cam.min())
        np.testing.assert_allclose(map_, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd3"])
@pytest.mark.parametrize("method", [df_cam, df_cam_word])
def test_a_graph_that_begins_at_the_chosen_layers_gives_the_same_maps(kind, method):
    denoiser, steps = replay(kind)
    groups = ["up"] if kind == "tiny_sd1" else ["transformer_blocks.1", "transformer_blocks.2"]
    every = df_cam(denoiser, steps[1])
    chosen = [i for i, name in enumerate(every.names) if weighed_name(name, groups)]
    assert 0 < len(chosen) < len(every.names)
    some = method(denoiser, steps[1], layers=groups)
    if method is df_cam:
        assert some.names == tuple(every.names[i] for i in chosen)
        np.testing.assert_allclose(some.maps, every.maps[chosen], atol=1e-5)
    doubled = method(denoiser, steps[1], layers=groups, weights=[2.0] * len(groups))
    first, second = (m.maps if method is df_cam else m for m in (some, doubled))
    np.testing.assert_allclose(second, 2 * first, rtol=1e-5)
    assert not any(module._forward_hooks for module in denoiser.network.modules())


def weighed_name(name, groups):
    return name.split("_block")[0] in groups or name in groups


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"layers": ["sideways"]}, "layers: 'sideways' is none of down_blocks.0.resnets.0"),
        ({"layers": ["up"], "weights": [1, 2]}, "weights: 2 numbers do not fit 1 layers"),
        ({"weights": [1]}, "weights: 1 numbers do not fit 0 layers"),
    ],
)
def test_layers_that_do_not_exist_are_refused(asked, says):
    denoiser, _ = replay()
    with pytest.raises(ValueError, match=says):
        weighed(denoiser.family, asked.get("layers"), asked.get("weights"))


def test_a_words_attention_is_a_target_of_the_layers_before_it():
    denoiser, steps = replay()
    last = "up_blocks.1.attentions.1"
    assert any(name.startswith(last) for name in reading_layers(denoiser.family))
    maps = df_cam_word(denoiser, steps[1], target="attention")
    assert (maps.max((1, 2)) > 0).all()
    assert not df_cam_word(denoiser, steps[1], target="attention", layers=[last]).any()


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd2", "tiny_xl", "tiny_pixart", "tiny_sd3"])
def test_maps_are_on_the_latent_grid_in_0_to_1_and_repeatable(kind):
    denoiser, steps = replay(kind)
    first, second = (df_cam(denoiser, steps[2]) for _ in range(2))
    assert first.maps.shape == (len(denoiser.family.layers()), 16, 16)
    known = ~np.isnan(first.maps).any((1, 2))
    assert known.sum() > len(known) / 2
    assert (first.maps[known].min((1, 2)) == 0).all()
    assert (first.maps[known].max((1, 2)) == 1).all()
    np.testing.assert_array_equal(first.maps, second.maps)


def test_halves_are_mixed_only_for_the_raw_sum():
    generator = torch.Generator().manual_seed(0)
    a, g = ({"x": torch.randn(2, 3, 4, 4, generator=generator)} for _ in range(2))
    alpha = g["x"].mean((2, 3), keepdim=True)
    plain = class_activation(UNet(None), a, g, (4, 4), None)[0, 0]
    expected = (alpha * a["x"]).sum((0, 1)).relu().numpy()
    np.testing.assert_allclose(plain, expected / expected.max(), atol=1e-6)
    w = 7.5
    mixed_a, mixed_g = (x["x"][0] + w * (x["x"][1] - x["x"][0]) for x in (a, g))
    expected = (mixed_g.mean((1, 2), keepdim=True) * mixed_a).sum(0).relu().numpy()
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(
        class_activation(UNet(None), a, g, (4, 4), w)[0, 0], expected, atol=1e-5
    )


class WritesFeature(Wrapped):
    """The real model, in which a word writes a feature into one layer, in a region (h, w) of it.

    A gate behind the network would not do: weights that are spatial means cannot see it.
    """

    def __init__(self, denoiser, text, layer, region, strength=4.0):
        super().__init__(denoiser)
        self.text, self.layer = text, denoiser.family.layers()[layer]
        self.region, self.strength = region, strength

    def without(self, step, *words):
        there = float(self.text not in [word.text for word in words])
        return super().without(step, *words) | {"written": torch.tensor([0.0, there])}

    def outputs(self, latents, step, conditioning=None, *, prompt_only=False):
        conditioning = dict(self._with_all_words(step) if conditioning is None else conditioning)
        there = conditioning.pop("written").expand(len(latents), 2)
        there = (there if self.guidance > 1 and not prompt_only else there[:, 1:]).T.flatten()
        handle = self.layer.register_forward_hook(
            lambda module, inputs, output: self.write(output, there), prepend=True
        )
        try:
            return super().outputs(latents, step, conditioning, prompt_only=prompt_only)
        finally:
            handle.remove()

    def write(self, output, there):
        signs = torch.ones(output.shape[1]).index_fill_(0, torch.arange(0, output.shape[1], 2), -1)
        return output + self.strength * there.view(-1, 1, 1, 1) * signs.view(-1, 1, 1) * self.region


def test_the_region_where_a_word_writes_a_feature_is_found():
    denoiser, steps = replay(prompt="cat")
    layer = "up_blocks.0.resnets.0"  # 8 x 8
    planted = WritesFeature(denoiser, "cat", layer, corner()[::2, ::2])
    own = list(denoiser.family.layers()).index(layer)
    of_layer = [auroc(df_cam(planted, step).maps[own], corner()) for step in steps]
    of_word = [auroc(df_cam_word(planted, step)[0], corner()) for step in steps]
    chance = [auroc(map_, corner()) for map_ in baselines.random(0, "tiny", 0, (4, 16, 16))]
    assert np.mean(of_layer) > 0.75
    assert np.mean(of_word) > 0.65
    assert max(chance) < 0.6


def test_a_word_has_no_map_in_steps_where_it_does_not_act():
    denoiser, steps = replay()
    gated = GatedDenoiser(denoiser, "cat", steps=(1, 2))
    index = next(word.index for word in steps[0].words if word.text == "cat")
    assert df_cam_word(gated, steps[1])[index].max() > 0
    assert df_cam_word(gated, steps[2])[index].max() == 0


@pytest.mark.parametrize("planted", [ConstantDenoiser, CopyingDenoiser])
def test_a_model_that_looks_at_nothing_has_no_map_and_says_so(planted, caplog):
    denoiser, steps = replay()
    with caplog.at_level(logging.INFO):
        result = df_cam(planted(denoiser), steps[1])
    assert np.isnan(result.maps).all()
    assert "layers left out: down_blocks.0.resnets.0" in caplog.text
    assert (df_cam_word(planted(denoiser), steps[1]) == 0).all()


def test_a_region_target_is_what_the_prompt_adds_there():
    denoiser, steps = replay()
    with pytest.raises(ValueError, match="target: region needs object masks"):
        df_cam(denoiser, steps[1], target="region")
    everywhere = replace(steps[1], mask=torch.ones(16, 16))
    np.testing.assert_allclose(
        summed(df_cam(denoiser, everywhere, target="region")),
        summed(df_cam(denoiser, steps[1])),
        atol=1e-5,
    )


def test_without_guidance_the_prompt_target_is_refused():
    denoiser, steps = replay(guidance=1.0)
    with pytest.raises(ValueError, match="what the prompt adds needs guidance above 1"):
        df_cam(denoiser, steps[1])


def test_hooks_and_frozen_weights_are_restored():
    denoiser, steps = replay()
    weight = denoiser.network.conv_in.weight
    weight.requires_grad_(True)
    df_cam(denoiser, steps[1])
    assert weight.requires_grad
    assert weight.grad is None
    weight.requires_grad_(False)
    assert not any(module._forward_hooks for module in denoiser.network.modules())
