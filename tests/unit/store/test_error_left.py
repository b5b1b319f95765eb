"""Steps that a study names by the share of the error left become the numbers of a trace's steps."""

from pathlib import Path

import pytest

from stepscope.store.error_left import named_steps, write_curve


@pytest.fixture
def curve(tmp_path):
    """A curve that begins above 1, where guidance overshoots, and rises once on its way."""
    path = str(tmp_path / "curve.json")
    left = [3.0, 0.8, 0.85, 0.3, 0.02]
    steps = {"step": [1, 2, 3, 4, 5], "timestep": [5] * 5, "log_snr": [0.5] * 5, "error_left": left}
    write_curve(path, steps)
    return path


@pytest.mark.parametrize(
    ("shares", "steps"),
    [
        ([0.9, 0.5, 0.1], [2, 4, 5]),
        ([0.1, 0.9, 0.5], [2, 4, 5]),  # steps go from noisy to clean
        ([0.81], [2]),  # the first step that leaves no more, whatever comes after it
        ([0.8], [2]),
        ([0.79], [4]),
        ([0.02], [5]),
    ],
)
def test_a_share_is_the_first_step_that_leaves_no_more(curve, shares, steps):
    assert named_steps({"left": shares}, curve) == steps


def test_shares_passed_at_one_step_name_it_once_and_the_log_says_which(curve, capsys):
    assert named_steps({"left": [0.7, 0.3, 0.05]}, curve) == [4, 5]
    assert capsys.readouterr().out.splitlines() == [
        "Error left 0.7: step 4, which leaves 0.3.",
        "Error left 0.3: step 4, which leaves 0.3.",
        "Error left 0.05: step 5, which leaves 0.02.",
    ]


def test_a_share_that_no_step_passes_is_refused_with_the_smallest(curve):
    with pytest.raises(ValueError, match=r"^steps: no step leaves 0\.001 .* 0\.02 \(.*json"):
        named_steps({"left": [0.5, 0.01, 0.001]}, curve)


@pytest.mark.parametrize("steps", [None, [4, 1]])
def test_plain_numbers_need_no_curve(steps):
    assert named_steps(steps, None) == steps


def test_shares_without_a_curve_are_refused():
    with pytest.raises(ValueError, match=r"^steps: shares of the error left need the curve"):
        named_steps({"left": [0.5]}, None)


def test_a_torn_curve_is_named(curve):
    whole = Path(curve).read_text()
    Path(curve).write_text(whole[:-10])
    with pytest.raises(ValueError, match=r"curve\.json is no JSON"):
        named_steps({"left": [0.5]}, curve)
