"""What a method is: its description, its layers, its entry in a config."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np

from stepscope.plugins import resolve

# keys of an entry that are no parameters
PLACEMENT = ("function", "samplings", "steps", "samples", "forward_batch", "games", "denoiser")
HEAD = ".head"  # between the name of an attention layer and its head's number, in names of layers
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True)
class Layers:
    """Maps (layer, y, x), or (word, layer, y, x), with the names of layers or of their heads.

    NaN where a layer says nothing.
    """

    names: tuple[str, ...]
    maps: np.ndarray


@dataclass(frozen=True)
class OfWords:
    """Numbers of a prompt's words (word,), or of pairs of them (word, word); NaN: there is none."""

    values: np.ndarray


class Method(Protocol[Parameters, Result]):
    """A function of a denoiser, a step and parameters that says its cost and what it attributes.

    See `method` for `calls`, `together`, `replays` and `stored`; `about` has "target", "features"
    and "held_fixed". A plain function is a method too: its cost is then unknown.
    """

    __name__: str
    calls: Callable[[int, dict[str, Any]], float]
    together: bool
    replays: bool
    stored: Callable[[dict[str, Any]], bool]
    about: dict[str, str]

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """The maps of one step, or a list of those of several."""


def method(
    *,
    smallest: int = 1,
    calls: Callable[[int, dict[str, Any]], float],
    target: str,
    features: str,
    held_fixed: str,
    halves: bool | Mapping[str, Sequence[str]] = False,
    fixes: Mapping[str, Mapping[Any, Mapping[str, Any]]] = MappingProxyType({}),
    together: bool = False,
    replays: bool = True,
    stored: Callable[[dict[str, Any]], bool] = lambda parameters: False,
) -> Callable[[Callable[Parameters, Result]], Method[Parameters, Result]]:
    """Decorate a method with what it attributes, to what, and its cost.

    `smallest` is the shorter side, in cells, of the smallest latent that it can explain; a study
    with smaller ones is refused early.
    `halves` says whether it compares both guidance halves, or for which values of its parameters it
    does, such as {"target": ("prompt",)}: a study without guidance is then refused early. Checks
    read it from the source, so it is a literal. So are the values of other parameters that a value
    of one `fixes`, such as {"design": {"paired": {"keep": 0.5}}}; a study with others is refused.
    `calls(words, parameters)` is the number of guided denoiser calls of one step; half a guided
    call is one of the conditional half, and a backward pass counts as two forward ones.
    A method that works on several steps `together` takes a list of them and returns a list with
    each step's maps; decorated, it takes a single step, too, and then returns that one's. One that
    only reads the trace and `replays` nothing gets None for the denoiser, and no model is loaded.
    So does one whose parameters ask for no more than is `stored` in a trace that keeps attention by
    head; its steps then have that (`step.by_head`).
    """

    def decorate(function: Callable[Parameters, Result]) -> Method[Parameters, Result]:
        callable_ = one_or_several(function) if together else function
        described = cast(Method[Parameters, Result], callable_)  # once it has its attributes
        described.calls = calls
        described.together, described.replays, described.stored = together, replays, stored
        described.about = {"target": target, "features": features, "held_fixed": held_fixed}
        return described

    return decorate


def one_or_several(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of lists of steps, which for a single step returns its maps alone."""

    @functools.wraps(function)
    def explained(denoiser: Any, step: Any, **parameters: Any) -> Any:
        if isinstance(step, Sequence):
            return function(denoiser, step, **parameters)
        (result,) = function(denoiser, [step], **parameters)
        return result

    return explained


def parameters_of(entry: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A config entry's function, and its parameters with the function's own defaults filled in."""
    function = cast(Callable[..., Any], resolve(entry["function"]))
    stated = {key: value for key, value in entry.items() if key not in PLACEMENT}
    bound = inspect.signature(function).bind(None, None, **stated)
    bound.apply_defaults()
    _denoiser, _step, *parameters = bound.arguments.items()
    return function, dict(parameters)
