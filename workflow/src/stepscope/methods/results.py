"""What a method returned for one step, checked and taken apart into maps by name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscope.methods.method import Layers, OfWords
from stepscope.models.memory import is_out_of_memory

LARGEST = np.finfo(np.float32).max


class Result(NamedTuple):
    """Maps float32 as they are stored: (y, x), or ([word], [layer], y, x) with the layers' names.

    Without axes it is a number of the step; `of_words` (word,) or (word, word) are numbers of its
    words or pairs of words.
    """

    maps: np.ndarray
    layers: tuple[str, ...] = ()
    of_words: bool = False

    @property
    def form(self) -> str:
        """What must not differ between the steps of a method."""
        if self.of_words:
            return f"numbers of {'words' if self.maps.ndim == 1 else 'pairs of words'}"
        if self.layers:
            return f"{'words and ' * (self.maps.ndim == 4)}layers {', '.join(self.layers)}"
        return {0: "a number", 2: "a map", 3: "a map a word"}[self.maps.ndim]


@contextmanager
def told(where: str) -> Iterator[None]:
    """Begin the message of whatever a method raises with `where` it happened; the cause stays."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:
        if is_out_of_memory(error):  # which may be mended by smaller batches
            raise
        raise RuntimeError(f"{where}: {type(error).__name__}: {error}") from error


def checked(result: Any, method: str, size: tuple[int, int], words: int) -> dict[str, Result]:
    """Maps by name of what a method returned for one step, on a latent grid of `size` (h, w).

    A map (y, x), one a word (word, y, x), `Layers` of one or of words, a pair of one and its
    standard error, or a dict of these by variant. Variant "" keeps the method's name, `v` becomes
    `method_v`, a standard error's name ends in "_se". A variant may be a number of the step, which
    is stored beside the maps, and so may be numbers `OfWords`. A ValueError: anything else, numbers
    that are not real and finite in float32 (a layer or a word that is left out is NaN throughout,
    and a standard error may be in places), maps off the grid or not one for each of the prompt's
    `words`.
    """
    variants = result if isinstance(result, dict) else {"": result}
    if not variants:
        raise ValueError("the method returned an empty dict, and so no map.")
    maps: dict[str, Result] = {}
    for variant, value in variants.items():
        if variant and not (
            isinstance(variant, str) and re.fullmatch(r"(?!(.*_)?se$)\w+", variant)
        ):
            raise ValueError(
                f"a variant is called {variant!r}; a name has letters, digits and _ alone, and "
                "does not end with se, which stands for standard errors."
            )
        name = f"{method}_{variant}" if variant else method
        if variant and (isinstance(value, int | float) or getattr(value, "ndim", None) == 0):
            maps[name] = Result(_real(name, value).astype(np.float32))
            if not np.isfinite(maps[name].maps):
                raise ValueError(f"{name} is {value}, not a finite number.")
            continue
        if variant and isinstance(value, OfWords):
            maps[name] = _numbers(name, value, words)
            continue
        value, *errors = value if isinstance(value, tuple) else (value,)
        if len(errors) > 1:
            raise ValueError(f"{name} has {len(errors) + 1} parts; a pair is a map and its error.")
        maps[name] = _result(name, value, size, words)
        for error in errors:
            name = f"{name}_se"
            maps[name] = _result(name, error, size, words, may_lack=True)
            if maps[name].form != maps[name.removesuffix("_se")].form:
                raise ValueError(f"{name} is of another form than the map whose error it is.")
    return maps


def _result(
    name: str, value: Any, size: tuple[int, int], words: int, may_lack: bool = False
) -> Result:
    """One map, or one a word or layer; cells of a standard error `may_lack` a number."""
    layers = value.names if isinstance(value, Layers) else ()
    maps = _real(name, value.maps if isinstance(value, Layers) else value)
    if maps.shape[-2:] != size or maps.ndim not in ((3, 4) if layers else (2, 3)):
        raise ValueError(f"{name} has shape {maps.shape}, but the latent grid is {size}.")
    axes = [(words, "words of the prompt")] * (maps.ndim == 3 + bool(layers))
    axes += [(len(layers), "layers")] * bool(layers)
    for count, (expected, of) in zip(maps.shape, axes, strict=False):
        if count != expected:
            raise ValueError(f"{name} has {count} maps for the {expected} {of}.")
    unsaid = np.isnan(maps)
    if not may_lack:  # a layer or a word says all or nothing
        unsaid = unsaid.all((-2, -1), keepdims=True) if maps.ndim > 2 else np.False_
    wrong = ~np.isfinite(maps) & ~unsaid
    if wrong.any():
        kind = "NaN" if np.isnan(maps[wrong]).all() else "NaN or infinite"
        raise ValueError(f"{wrong.sum()} of the {maps.size} values of {name} are {kind}.")
    largest = np.abs(maps).max(initial=0, where=np.isfinite(maps))
    if largest > LARGEST:
        raise ValueError(f"{name} has the value {largest:.3g}, beyond what float32 can hold.")
    return Result(maps.astype(np.float32), layers)


def _numbers(name: str, value: OfWords, words: int) -> Result:
    """Numbers of words or of pairs of them, NaN where there is none."""
    numbers = _real(name, value.values)
    if numbers.shape not in ((words,), (words, words)):
        raise ValueError(f"{name} has shape {numbers.shape} for the {words} words of the prompt.")
    if not (np.abs(numbers[~np.isnan(numbers)]) <= LARGEST).all():
        raise ValueError(f"{name} has numbers beyond what float32 can hold.")
    return Result(numbers.astype(np.float32), of_words=True)


def _real(name: str, value: Any) -> np.ndarray:
    """Real numbers as float64, from an array or a tensor on any device."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.double() if value.is_floating_point() else value  # numpy has no bfloat16
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} is no map of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        what = array.dtype if array.ndim else type(value).__name__
        raise ValueError(f"{name} is of type {what}, not a map of real numbers.")
    return array.astype(np.float64)
