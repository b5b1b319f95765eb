"""The error left is that of the clean prediction over that of knowing nothing of the picture."""

import numpy as np
import pytest

from stepscope.scores import error_left as scores
from stepscope.scores.error_left import error_left, write_error_left
from stepscope.store.error_left import read_curve
from support import synthetic


def samples(left, count=5, seed=0, mean=0.0):
    """Samples whose prediction is a mixture of the final latent and of the mean of all of them."""
    finals = np.random.default_rng(seed).normal(mean, 1, size=(count, 3, 8, 8))
    finals = finals.astype("f4")
    middle = finals.mean((0, 2, 3))[:, None, None]
    kept = np.sqrt(left)[:, None, None, None]
    return [(final + kept * (middle - final), final) for final in finals]


@pytest.mark.parametrize("left", [[1.0, 0.25, 0.0], [4.0, 0.5, 0.01]])
@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_planted_share_is_found(left, mean):
    found = error_left(samples(np.array(left), mean=mean))
    np.testing.assert_allclose(found, left, atol=1e-3)


def test_one_sample_has_a_mean_of_its_own_cells():
    np.testing.assert_allclose(error_left(samples(np.array([1, 0.5]), count=1)), [1, 0.5], 1e-5)


def test_the_median_is_over_samples_of_all_batches():
    first, second = samples(np.array([1.0, 0.9])), samples(np.array([1.0, 0.1]))
    mixed = [*first[:2], *second[2:]]  # the same final latents
    np.testing.assert_allclose(error_left(mixed), [1, 0.1], rtol=1e-5)


def test_pictures_without_any_difference_are_refused():
    same = np.full((3, 8, 8), 2.0, dtype="f4")
    with pytest.raises(ValueError, match=r"^error_left: all final latents are their mean"):
        error_left([(same[None], same)] * 2)


def test_the_curve_is_of_all_traces_and_has_their_steps(tmp_path, monkeypatch):
    trees = {"a": synthetic.trace(samples=2), "b": synthetic.trace(samples=3, seed=1)}
    monkeypatch.setattr(scores, "open_trace", trees.__getitem__)
    path = str(tmp_path / "curve.json")
    write_error_left(path, ["a", "b"])
    curve = read_curve(path)
    assert curve["log_snr"].tolist() == [-3, -1, 1, 3]
    assert curve["step"].tolist() == [1, 2, 3, 4]
    # the error of synthetic traces falls to 4 / 9 a step, from noise as large as the picture
    found = curve["error_left"]
    np.testing.assert_allclose(found[1:] / found[:-1], 4 / 9, rtol=0.02)
    assert found[0] == pytest.approx(1, abs=0.25)
    write_error_left(path, ["b"])
    assert not np.allclose(read_curve(path)["error_left"], found)
