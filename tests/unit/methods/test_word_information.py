"""Word information: half a squared difference, in the places and steps where a word acts."""

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import ConstantDenoiser, CopyingDenoiser, GatedDenoiser
from stepscope.methods.word_information import word_information
from support.replayed import corner, replay


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd2", "tiny_xl"])
def test_it_is_half_the_squared_difference_of_predicted_noise(kind):
    denoiser, steps = replay(kind)
    step = steps[1]
    latents = step.latent[None]
    maps = word_information(denoiser, step)
    assert maps.shape == (len(step.words), 16, 16)
    noise = [
        denoiser.noise(latents, denoiser.outputs(latents, step, conditioning)[:, 1], step)
        for conditioning in (step.conditioning, denoiser.without(step, step.words[2]))
    ]
    expected = ((noise[0] - noise[1]) ** 2).sum(1)[0] / 2
    np.testing.assert_allclose(maps[2], expected.detach(), rtol=2e-3, atol=1e-7)


def test_a_gate_in_space_and_time_is_found_exactly():
    denoiser, steps = replay()
    region = corner()
    gated = GatedDenoiser(denoiser, "cat", steps=(2, 3), region=region)
    index = next(word.index for word in steps[0].words if word.text == "cat")
    inside = region.numpy() > 0
    for step in steps:
        map_ = word_information(gated, step)[index]
        assert map_[~inside].max() < 1e-10
        assert (map_[inside].mean() > 1e-6) == (step.number in (2, 3))


@pytest.mark.parametrize("planted", [ConstantDenoiser, CopyingDenoiser])
def test_a_model_without_text_gives_words_nothing(planted):
    denoiser, steps = replay()
    assert (word_information(planted(denoiser), steps[1]) == 0).all()


def test_a_repeated_word_counts_by_its_place():
    denoiser, steps = replay(prompt="a cat above a cat")
    with torch.inference_mode():
        maps = word_information(denoiser, steps[1])
    assert not np.allclose(maps[1], maps[4])
