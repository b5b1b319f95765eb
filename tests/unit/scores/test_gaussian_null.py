"""The Gaussian null against dense algebra, and what its spectra alone make it recover."""

import numpy as np
import pytest

from stepscope.scores import gaussian_null
from stepscope.store.moments import read_moments, write_moments

CHANNELS, SIDE = 2, 4
SIZE = CHANNELS * SIDE * SIDE
LOG_SNR = np.array([-8, -4, -1, 1, 4.0])


@pytest.fixture(scope="module")
def finals():
    """Correlated over cells and channels, and not about zero."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=(40, CHANNELS, SIDE, SIDE))
    white[:, 1] += white[:, 0]
    return 3 + white + 2 * np.roll(white, 1, axis=2) + np.roll(white, 1, axis=3)


def dense(spectra):
    """Covariance (size, size) of the flattened latent, from its action on unit vectors."""
    unit = np.fft.fft2(np.eye(SIZE).reshape(SIZE, CHANNELS, SIDE, SIDE), norm="ortho")
    columns = np.fft.ifft2(np.einsum("yxcd,ndyx->ncyx", spectra, unit), norm="ortho")
    np.testing.assert_allclose(columns.imag, 0, atol=1e-12)
    return columns.real.reshape(SIZE, SIZE).T


def test_moments_are_those_of_all_shifts_of_the_latents(finals):
    mean, spectra = gaussian_null.moments(finals)
    np.testing.assert_allclose(mean, finals.mean((0, 2, 3)))
    about = (finals - mean[:, None, None]).reshape(len(finals), CHANNELS, SIDE, SIDE)
    shifted = [np.roll(about, shift, (2, 3)) for shift in np.ndindex(SIDE, SIDE)]
    flat = np.concatenate(shifted).reshape(-1, SIZE)
    np.testing.assert_allclose(dense(spectra), flat.T @ flat / len(flat), atol=1e-12)


def test_white_noise_has_the_identity_everywhere():
    noise = np.random.default_rng(0).normal(size=(4000, CHANNELS, SIDE, SIDE))
    _, spectra = gaussian_null.moments(noise)
    identity = np.broadcast_to(np.eye(CHANNELS), spectra.shape)
    np.testing.assert_allclose(spectra, identity, atol=0.08)


@pytest.mark.parametrize("forward", [False, True])
def test_predictions_are_the_optimal_denoisers(finals, forward):
    mean, spectra = gaussian_null.moments(finals)
    covariance, middle = dense(spectra), np.repeat(mean, SIDE * SIDE)
    noise = np.random.default_rng(1).normal(size=SIZE)

    def optimal(state, ratio):
        gain = covariance @ np.linalg.inv(covariance + ratio**2 * np.eye(SIZE))
        return middle + gain @ (state - middle)

    ratios = np.exp(-LOG_SNR / 2)
    state, clean = np.sqrt(1 + ratios[0] ** 2) * noise, []
    for ratio, following in zip(ratios, [*ratios[1:], 0], strict=True):
        clean.append(optimal(state, ratio))
        state = clean[-1] + following * (state - clean[-1]) / ratio  # Euler's step, DDIM's too
    if forward:
        clean = [optimal(state + ratio * noise, ratio) for ratio in ratios]
    found = gaussian_null.predictions(
        noise.reshape(CHANNELS, SIDE, SIDE), LOG_SNR, mean, spectra, forward=forward
    )
    np.testing.assert_allclose(found.reshape(len(LOG_SNR), SIZE), clean, rtol=1e-8, atol=1e-10)


def test_latents_that_are_all_their_mean_leave_nothing_to_recover():
    mean, spectra = gaussian_null.moments(np.full((3, CHANNELS, SIDE, SIDE), 0.7, dtype="f4"))
    noise = np.random.default_rng(0).normal(size=(CHANNELS, SIDE, SIDE))
    found = gaussian_null.predictions(noise, LOG_SNR, mean, spectra)
    np.testing.assert_allclose(found, np.float32(0.7), rtol=1e-6)


def test_moments_are_read_as_they_were_written_and_a_torn_file_is_named(finals, tmp_path):
    path = tmp_path / "moments.npz"
    written = gaussian_null.moments(finals)
    for _ in range(2):
        write_moments(str(path), *written)
        first = path.read_bytes()
    assert path.read_bytes() == first
    for found, expected in zip(read_moments(str(path)), written, strict=True):
        np.testing.assert_array_equal(found, expected)
    path.write_bytes(first[:200])
    with pytest.raises(ValueError, match=r"moments.npz: this is no file of moments .* Delete"):
        read_moments(str(path))
