"""The hint at a name that was probably meant."""

from stepscope.study.suggestions import did_you_mean


def test_the_nearest_name_is_offered_if_any_is_near():
    assert did_you_mean("guidence", ["guidance", "height"]) == ", did you mean guidance"
    assert did_you_mean("x", ["guidance", "height"]) == ""
    assert did_you_mean("x", []) == ""
