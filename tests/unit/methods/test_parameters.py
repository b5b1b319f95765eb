"""What a study may give a method is what the method takes, though it is read from its text."""

import math

import pytest

from stepscope.methods import similarity
from stepscope.methods.df_cam import df_cam
from stepscope.methods.df_rise import df_rise
from stepscope.methods.integrated_gradients import gradient_times_input, integrated_gradients
from stepscope.methods.lime import lime
from stepscope.methods.occlusion import occlusion
from stepscope.store.coordinates import coordinates
from stepscope.study.method_checks import LABELS, check_methods, smallest_latent
from support import synthetic
from support.package import source

VALUES = [math.nan, math.inf, -math.inf, -1, 0, 1, 2, 0.5, 4.0, 10**400, "papr", [], ["papr"]]
PARAMETERS = [
    *((df_rise, name) for name in ("masks", "keep", "similarity", "quantity", "score", "block")),
    (df_rise, "variants"),
    (df_rise, "error"),
    (df_rise, "design"),
    (df_cam, "target"),
    *((lime, name) for name in ("masks", "segments", "width", "alpha", "score", "block")),
    *((occlusion, name) for name in ("positions", "similarity", "quantity", "block")),
    *((integrated_gradients, name) for name in ("points", "target")),
    (gradient_times_input, "target"),
]


def entry_of(method) -> dict:
    return {"function": f"{method.__module__}:{method.__name__}"}


def passes_parsing(method, name, value) -> bool:
    try:
        check_methods({"m": entry_of(method) | {name: value}}, source, "c.yaml")
    except ValueError:
        return False
    return True


def is_taken(method, name, value) -> bool:
    """Whether a method gets as far as its denoiser, which is None and has no attributes."""
    with pytest.raises((AttributeError, ValueError, TypeError, OverflowError)) as caught:
        method(None, None, **{name: value})
    return caught.errisinstance(AttributeError)


@pytest.mark.parametrize(
    ("method", "name"), PARAMETERS, ids=lambda part: getattr(part, "__name__", part)
)
def test_what_a_method_refuses_is_refused_when_the_study_is_parsed(method, name):
    passing = [value for value in VALUES if passes_parsing(method, name, value)]
    taken = [value for value in VALUES if is_taken(method, name, value)]
    assert [value for value in passing if value not in taken] == []
    # parsing is stricter in types alone
    plain = [value for value in taken if isinstance(value, int | str) or value == 0.5]
    assert [value for value in plain if value not in passing] == []
    assert len(passing) < len(VALUES)


@pytest.mark.parametrize(
    ("method", "name", "allowed"),
    [
        (df_rise, "similarity", similarity.KINDS),
        (df_rise, "quantity", ("noise", "clean", "next", "prompt")),
        (df_rise, "score", ("pixel", "mean", "region")),
        (df_rise, "design", ("independent", "paired", "orthogonal", None)),
        (df_cam, "target", ("prompt", "region", "norm", "raw_sum")),
    ],
)
def test_every_name_that_a_method_knows_may_be_asked_for(method, name, allowed):
    assert all(passes_parsing(method, name, value) for value in allowed)
    assert all(is_taken(method, name, value) for value in allowed)


@pytest.mark.parametrize("method", [df_rise, lime, occlusion])
def test_a_method_says_how_small_a_latent_may_be(method):
    least = smallest_latent("m", entry_of(method), source, "c.yaml")
    assert similarity.gaussian_window(similarity.window_size(least, 64)) is not None
    with pytest.raises(ValueError, match="effective pixels"):
        similarity.gaussian_window(similarity.window_size(least - 1, 64))
    assert smallest_latent("m", entry_of(df_cam), source, "c.yaml") == 1


def test_no_method_has_the_name_of_an_axis_or_coordinate():
    labels = coordinates(synthetic.trace())
    axes = {axis for label in labels.values() for axis in label.dims}
    assert {*labels, *axes, "layer", "other_word", "y", "x"} == set(LABELS)
