"""Areas under ROC curves over pairs, and what their intervals over noises are worth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from stepscope.statistics import earliest, inference
from stepscope.statistics.summaries import summary
from stepscope.table_registry import TABLES
from support.synthetic import KEYS

NOISES, PAIRS = 24, 3
NOISE = np.repeat(np.arange(NOISES), PAIRS)
OPTIONS = {"draws": 300, "confidence": 0.95, "seed": 0}


def drawn(rng, shift):
    """Distances and flips of pairs; those of one noise are alike in both."""
    rate = rng.beta(2, 3, NOISES)[NOISE]
    flipped = rng.random(len(NOISE)) < rate
    distance = rng.normal(size=len(NOISE)) + rng.normal(size=NOISES)[NOISE] + shift * flipped
    return distance, flipped


def test_the_mean_of_a_noises_values_is_the_area_of_the_library():
    rng = np.random.default_rng(0)
    for shift in (-1, 0, 2):
        distance, flipped = drawn(rng, shift)
        both = np.stack([distance, distance.round()])  # with pairs that are as far apart
        values = earliest.areas(both, flipped, NOISE)
        assert values.shape == (2, NOISES)
        expected = [roc_auc_score(flipped, row) for row in both]
        np.testing.assert_allclose(values.mean(-1), expected, rtol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_intervals_hold_the_area_though_pairs_of_a_noise_are_alike(shift):
    rng = np.random.default_rng(1)
    values = np.concatenate([earliest.areas(*drawn(rng, shift), NOISE)[None] for _ in range(400)])
    low, high = inference.bootstrap(values, **OPTIONS)
    truth = stats.norm.cdf(shift / 2)  # of two normal variables with variance 2
    assert values.mean() == pytest.approx(truth, abs=0.01)
    assert 0.9 <= np.mean((low <= truth) & (truth <= high)) <= 0.99


def table(flips):
    """rq3_earliest of a family whose first `flips` pairs flip and are further apart from step 3."""
    rows = [
        {"step": step, "timestep": 10.0 - step, "log_snr": step - 4.0, "prompt_id": f"p{noise}",
         "seed": 0, "pair": pair, "family": "tint", "reader": "clip", "from": "teal", "to": "teal",
         "flipped": int(PAIRS * noise + pair < flips), "state": 1.0,
         "clean": 1.0 + (step > 2) * (PAIRS * noise + pair < flips)}
        for step in range(1, 6) for noise in range(NOISES) for pair in range(PAIRS)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**KEYS)[list(TABLES["rq3_earliest"].columns)]


def test_a_summary_has_areas_first_steps_and_what_cannot_be_tested():
    found = summary("rq3_earliest", [table(20)], **OPTIONS)
    areas = found[(found["compared"] == earliest.AREA) & (found["quantity"] == "clean")]
    assert areas.set_index("step")["estimate"].to_dict() == {1: 0.5, 2: 0.5, 3: 1, 4: 1, 5: 1}
    first = found.set_index("quantity").loc["log_snr_clean"]
    assert (first["step"], first["estimate"], first["noises"]) == (3, -1, NOISES)
    never = found.set_index("quantity").loc["log_snr_state"]
    assert never["compared"] == "never above chance: by states"
    assert np.isnan(never["estimate"])
    share = found[found["quantity"] == "flipped"]
    assert share["estimate"].item() == pytest.approx(20 / 72)
    for flips in (earliest.FEWEST - 1, len(NOISE) - earliest.FEWEST + 1):
        found = summary("rq3_earliest", [table(flips)], **OPTIONS)
        assert (found["compared"] == earliest.AREA).sum() == 0
        reason = f"not testable: {flips} of 72 pairs flip, and 8 of either kind are needed"
        assert (found["compared"] == reason).sum() == 2
