"""What a method costs at one step, by its entry in a study."""

from collections.abc import Callable
from typing import Any

import numpy as np

from stepscope.methods.method import parameters_of


def method_cost(
    entry: dict[str, Any], by_head: bool = False
) -> tuple[Callable[[int], float], bool]:
    """Guided calls of a method at one step, by the number of words, and whether it has a model.

    One that does not say makes 1; one that reads attention `by_head` from the trace makes none.
    """
    function, parameters = parameters_of(entry)
    cost = getattr(function, "calls", None)
    if by_head and getattr(function, "stored", lambda _: False)(parameters):
        return (lambda words: 0), False
    calls = (lambda words: cost(words, parameters)) if cost else (lambda words: np.float64(1))
    return calls, getattr(function, "replays", True)
