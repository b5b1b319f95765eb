"""Scaling to 0..1: over everything or along an axis, without NaN, in the dtype of the values."""

import numpy as np
import pytest

from stepscope.methods.scaling import minmax


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_values_share_their_extremes(dtype):
    values = np.array([[1, 3], [2, np.nan]], dtype=dtype)
    scaled = minmax(values)
    assert scaled.dtype == dtype
    np.testing.assert_array_equal(scaled, [[0, 1], [0.5, np.nan]])


def test_each_row_has_its_own_extremes_and_equal_values_have_none():
    values = np.array([[0, 1, 4], [5, 5, 5], [-2, np.nan, 0], [np.nan] * 3])
    expected = [[0, 0.25, 1], [np.nan] * 3, [0, np.nan, 1], [np.nan] * 3]
    np.testing.assert_array_equal(minmax(values, axis=-1), expected)


def test_a_constant_map_is_nan_everywhere():
    assert np.isnan(minmax(np.full((2, 3), 7, dtype=np.float32))).all()
