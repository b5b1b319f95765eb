"""Similarities are those of independent libraries."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from scipy.spatial.distance import cosine
from skimage.metrics import structural_similarity
from sklearn.metrics import mean_squared_error
from torchmetrics.functional.image import structural_similarity_index_measure

from stepscope.methods import similarity

SIZE = 11  # scikit-image's and torchmetrics' window for sigma 1.5


def pair(channels=4):
    """A prediction (C, 24, 20) and two others (2, C, 24, 20) that are like it in part."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(channels, 24, 20, generator=generator)
    noise = torch.randn(2, channels, 24, 20, generator=generator)
    return a, torch.tensor([0.9, 0.3]).view(2, 1, 1, 1) * a + 0.5 * noise + 0.1


def ours(kind, a, b):
    return similarity.similarity(kind, a, b, similarity.gaussian_window(SIZE)).numpy()


def local(images):
    """Local means under scipy's correlation with the same weights, mirrored at the border."""
    weights = similarity.gaussian_window(SIZE).double().numpy()
    for axis in (-2, -1):
        images = correlate1d(images, weights, axis=axis, mode="mirror")
    return images


def moments(a, b):
    """Local means, deviations and covariance in float64, by scipy."""
    a, b = np.broadcast_arrays(a.double().numpy(), b.double().numpy())
    means = local(a), local(b)
    deviations = [np.sqrt(local(x * x) - m**2) for x, m in zip((a, b), means, strict=True)]
    return *means, *deviations, local(a * b) - means[0] * means[1]


def by_moments(kind, a, b):
    """A term of SSIM (Wang et al. 2004) of the moments that scipy gives."""
    mean_a, mean_b, sd_a, sd_b, covariance = moments(a, b)
    c1, c2 = 0.01**2, 0.03**2
    terms = {
        "luminance": (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1),
        "contrast": (2 * sd_a * sd_b + c2) / (sd_a**2 + sd_b**2 + c2),
        "structure": (covariance + c2 / 2) / (sd_a * sd_b + c2 / 2),
    }
    return terms[kind].mean(1)


@pytest.mark.parametrize("kind", ["luminance", "contrast", "structure"])
def test_terms_are_those_of_scipys_local_moments(kind):
    a, b = pair()
    np.testing.assert_allclose(ours(kind, a, b), by_moments(kind, a, b), atol=1e-5)


def test_structure_is_the_correlation_under_the_window():
    a, b = pair(channels=1)
    weights = similarity.gaussian_window(SIZE).numpy()
    weights = np.outer(weights, weights).ravel()
    window = np.s_[3 : 3 + SIZE, 5 : 5 + SIZE]
    found = similarity.similarity(
        "structure", a, b, similarity.gaussian_window(SIZE), span=1e-4
    ).numpy()
    for row in range(2):
        values = [x.numpy()[window].ravel() for x in (a[0], b[row, 0])]
        (va, cov), (_, vb) = np.cov(*values, aweights=weights, ddof=0)
        assert found[row, 3 + SIZE // 2, 5 + SIZE // 2] == pytest.approx(
            cov / np.sqrt(va * vb), abs=1e-5
        )


def test_ssim_is_that_of_scikit_image_and_torchmetrics():
    a, b = pair()
    found, inner = ours("ssim", a, b), np.s_[5:-5, 5:-5]  # the libraries pad as they like
    for row in range(2):
        _, expected = structural_similarity(
            a.numpy(),
            b[row].numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        np.testing.assert_allclose(found[row][inner], expected.mean(0)[inner], atol=1e-5)
    _, every = structural_similarity_index_measure(
        b, a.expand(2, -1, -1, -1), sigma=1.5, data_range=1.0, return_full_image=True
    )
    np.testing.assert_allclose(found[:, *inner], every.numpy().mean(1)[:, *inner], atol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "mse"])
def test_pixels_are_compared_as_scipy_and_scikit_learn_do(kind):
    a, b = pair()
    found = ours(kind, a, b)
    for y, x in ((0, 0), (11, 7), (23, 19)):
        one, other = a[:, y, x].numpy(), b[1, :, y, x].numpy()
        expected = {"cosine": 1 - cosine(one, other), "mse": -mean_squared_error(one, other)}
        assert found[1, y, x] == pytest.approx(expected[kind], abs=1e-5)


def test_every_similarity_is_compared_with_a_library():
    tested = {"luminance", "contrast", "structure", "ssim", "cosine", "mse"}
    assert tested | {"features"} == set(similarity.KINDS)  # those in test_features.py


@pytest.mark.parametrize(("side", "size"), [(64, 15), (32, 15), (16, 7), (12, 5)])
def test_the_window_fits_the_latent(side, size):
    assert similarity.window_size(side, side + 8) == size
    assert float(similarity.gaussian_window(size).sum()) == pytest.approx(1)


def test_a_window_of_few_effective_pixels_is_refused():
    with pytest.raises(ValueError, match=r"^window: 3 x 3 .* effective pixels, fewer than 9\.$"):
        similarity.gaussian_window(3)


@pytest.mark.parametrize("kind", ["structure", "luminance", "contrast", "ssim", "cosine"])
def test_a_prediction_is_most_similar_to_itself(kind):
    a, _ = pair()
    np.testing.assert_allclose(ours(kind, a, a[None]), 1, atol=1e-5)


def test_official_doubles_the_covariance_and_pads_with_zeros():
    a, _ = pair()
    official = ours("official", a, a[None])
    assert official[0, 8, 8] == pytest.approx(2, abs=0.02)
