"""Relevance of words and roles with known answers."""

import numpy as np
import pandas as pd
import pytest

from stepscope.scores import word_relevance
from stepscope.store import tables
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, maps, trace

SIDE = 8


def test_relevance_sums_maps_and_scales_within_a_step():
    tree = trace(samples=1, steps=2)
    words = np.ones((1, 2, 4, SIDE, SIDE)) * np.array([0, 1, 2, 4])[None, None, :, None, None]
    words[0, 1] = 5  # all words alike
    frame = word_relevance.relevance_table({"relevance": maps(tree, words)}, tree, KEYS)
    assert tuple(frame.columns) == TABLES["rq2_relevance"].columns
    first = frame[frame["step"] == 1].sort_values("word_index")
    np.testing.assert_allclose(first["relevance"], [0, 64, 128, 256])
    np.testing.assert_allclose(first["relevance_minmax"], [0, 0.25, 0.5, 1])
    assert frame[frame["step"] == 2]["relevance_minmax"].isna().all()
    np.testing.assert_allclose(tables.share(frame).groupby(frame["step"]).sum(), 1)


def test_without_word_maps_the_relevance_table_is_empty_but_complete():
    tree = trace()
    mapped = {"mine": maps(tree, np.ones((2, 4, SIDE, SIDE)))}
    frame = word_relevance.relevance_table(mapped, tree, KEYS)
    assert tuple(frame.columns) == TABLES["rq2_relevance"].columns
    assert word_relevance.by_role(frame).empty


def test_roles_are_averaged_over_log_snr_not_over_steps():
    rows = [
        {**KEYS, "prompt_id": "p", "seed": 0, "step": k, "timestep": 0.0, "log_snr": when,
         "word": word, "word_index": i, "role": role, "method": "relevance",
         "relevance": value * scale, "relevance_minmax": 0.0}
        for k, (when, scale, cat) in enumerate([(0.0, 1, 0.0), (1.0, 50, 1.0), (4.0, 3, 1.0)], 1)
        for i, (word, role, value) in enumerate([("cat", "subject", cat), ("a", "", 1 - cat)])
    ]  # fmt: skip
    frame = word_relevance.by_role(pd.DataFrame(rows))
    assert tuple(frame.columns) == TABLES["rq3_roles"].columns
    assert frame["role"].tolist() == ["subject"]
    assert frame["relevance"].tolist() == pytest.approx([(0.5 * 1 + 1 * 3) / 4])


def test_a_curve_is_averaged_over_part_of_its_log_snr_with_its_ends_interpolated():
    log_snr = shares = np.array([0.0, 1.0, 4.0])  # the identity
    for low, high in ((0, 4), (0.5, 2), (1, 4), (2, 3)):
        mean = word_relevance.averaged(log_snr, shares, low, high)
        assert mean == pytest.approx((low + high) / 2)
    assert word_relevance.averaged(log_snr, shares) == pytest.approx(2)
    assert word_relevance.averaged(log_snr[1:2], shares[1:2]) == 1
