"""Scores of the games, against independent libraries and known answers."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from stepscope.scores import game_scores


@pytest.mark.parametrize("size", [(11, 11), (24, 33), (64, 64)])
def test_ssim_is_that_of_scikit_image(size):
    pictures = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))
    pictures[1] = 0.9 * pictures[0] + 0.05
    found = game_scores.ssim(pictures, pictures[:1])
    reference, *others = pictures.double().numpy()
    expected = [
        structural_similarity(
            reference,
            other,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        for other in (reference, *others)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected[0] == 1 > expected[1] > expected[2]


def test_small_pictures_have_a_smaller_window():
    pictures = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    same, other = game_scores.ssim(pictures, pictures[:1])
    assert same == pytest.approx(1)
    assert abs(other) < 0.9


def test_the_latents_error_is_the_mean_over_its_elements():
    latents = torch.zeros(2, 4, 3, 3)
    latents[1, 0, 1, 1] = 6
    found = game_scores.mean_squared_error(latents, latents[:1])
    assert found.tolist() == [0, 1]
