"""Areas under the games' curves: known ones, few moves, and what they are normalised by."""

import numpy as np
import pytest

from stepscope.scores import areas
from stepscope.scores.game_states import GAMES


def test_auc_of_known_curves():
    line = np.linspace(0, 1, 17)
    assert areas.auc(line) == pytest.approx(0.5)
    assert areas.auc(np.ones(17)) == pytest.approx(1)
    assert areas.auc(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.75)
    np.testing.assert_allclose(areas.auc(np.stack([line, line**0])), [0.5, 1])


@pytest.mark.parametrize("power", [2, 3, 4])
def test_the_area_of_few_moves_is_nearer_than_the_trapezoidal_rules(power):
    curve, area = np.linspace(0, 1, 9) ** power, 1 / (power + 1)
    assert areas.auc_of_few(curve) == pytest.approx(area, rel=2e-3)
    assert abs(areas.auc_of_few(curve) - area) < abs(areas.auc(curve) - area) / 4


def test_the_area_of_few_moves_is_exact_for_lines_and_none_of_what_is_missing():
    line, lacking = np.linspace(0, 1, 6), np.array([0, np.nan, 0, 0, 0, 0])
    found = areas.auc_of_few(np.stack([1 - line, line**0, lacking]))
    np.testing.assert_allclose(found, [0.5, 1, np.nan])
    uneven = np.array([0, 0.1, 0.5, 0.6, 1])
    assert areas.auc_of_few(uneven, uneven) == pytest.approx(0.5)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("ends", [(0.0, 300.0), (1.0, 0.2)], ids=["distance", "cosine"])
def test_normalised_curves_lead_from_the_untouched_to_the_changed_state(game, ends):
    shares = np.array([1, 0.9, 0.25, -0.1, 0])  # of a deletion; insertion goes the other way
    untouched, changed = ends
    shares = shares if game == "deletion" else shares[::-1]
    curve = changed + shares * (untouched - changed)
    np.testing.assert_allclose(areas.normalised(curve, game), shares, atol=1e-12)
    for area in (areas.auc, areas.auc_of_few):  # an area is normalised as its curve is
        np.testing.assert_allclose(
            area(areas.normalised(curve, game)), (area(curve) - changed) / (untouched - changed)
        )


def test_a_game_whose_ends_are_equal_has_no_normalised_area():
    curves = np.stack([np.linspace(0, 1, 5), np.zeros(5)])
    found = areas.auc(areas.normalised(curves, "deletion"))
    np.testing.assert_allclose(found, [0.5, np.nan])
