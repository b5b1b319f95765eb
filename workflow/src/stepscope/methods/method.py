"""What a method is: its description, its layers, its entry in a config."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stepscope.plugins import resolve


@dataclass(frozen=True)
class Layers:
    """Maps (layer, y, x) with the layers' names; NaN where a layer says nothing."""

    names: tuple[str, ...]
    maps: np.ndarray


def method(
    *,
    calls: Callable[[int, dict], float],
    target: str,
    features: str,
    held_fixed: str,
    halves: Sequence[str] = (),
) -> Callable:
    """Decorate a method with what it attributes, to what, and its cost.

    ``halves`` are the values of its parameter ``target`` for which it compares both guidance
    halves, "" for a method without that parameter; a study without guidance is refused early.
    ``calls(words, parameters)`` is the number of guided denoiser calls of one step; half a guided
    call is one of the conditional half, and a backward pass counts as two forward ones.
    """

    def decorate(function: Callable) -> Callable:
        function.calls = calls
        function.about = {"target": target, "features": features, "held_fixed": held_fixed}
        return function

    return decorate


def parameters_of(entry: dict) -> tuple[Callable, dict]:
    """A config entry's function, and its parameters with the function's own defaults filled in."""
    function = resolve(entry["function"])
    given = {
        key: value
        for key, value in entry.items()
        if key not in ("function", "samplings", "steps", "samples")
    }
    bound = inspect.signature(function).bind(None, None, **given)
    bound.apply_defaults()
    return function, dict(list(bound.arguments.items())[2:])
