"""Results of single steps, put together into arrays over all samples and steps of a trace."""

from typing import Any

import numpy as np
import xarray as xr

from stepscope.methods.results import Result
from stepscope.store.coordinates import sample_and_step_numbers
from stepscope.store.traces import latent_size, sample_and_step_counts, word_counts


class Gathered:
    """Arrays that fill up step by step; all steps have the same."""

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree
        self.size = latent_size(tree)
        self.words = max(word_counts(tree))
        self.values: dict[str, np.ndarray] = {}
        self.layers: dict[str, tuple[str, ...]] = {}
        self.forms: dict[str, str] = {}
        self.of_words: set[str] = set()

    def put(self, sample: int, number: int, results: dict[str, Result]) -> None:
        """Place one step's checked maps; ValueError if they are others than another step's."""
        forms = {name: result.form for name, result in results.items()}
        if (first := self.forms or forms) != forms:
            differing = sorted(dict(first.items() ^ forms.items()))
            raise ValueError(f"{', '.join(differing)}: the steps of a method give the same maps.")
        self.forms = forms
        for name, (maps, layers, of_words) in results.items():
            if layers:
                self.layers[name] = layers
            if of_words:
                self.of_words.add(name)
            if name not in self.values:
                several = maps.ndim == 3 + bool(layers)
                axes = (*[self.words] * several, *maps.shape[several:])
                if of_words:
                    axes = (self.words,) * maps.ndim
                shape = (*sample_and_step_counts(self.tree), *axes)
                self.values[name] = np.full(shape, np.nan, dtype=np.float32)
            part: Any = (sample, number - 1, *map(slice, maps.shape))
            self.values[name][part] = maps

    def arrays(self) -> dict[str, xr.DataArray]:
        """DataArrays with named axes; the trace's coordinates are added where they are stored."""
        arrays = {}
        for name, values in self.values.items():
            layered = ["layer"] * (name in self.layers)
            several = ["word"] * (values.ndim == 5 + len(layered)) + layered
            axes: tuple[str, ...] = ("word", "other_word")[: values.ndim - 2]
            if name not in self.of_words:
                axes = (*several, "y", "x") if values.ndim > 2 else ()
            coords = sample_and_step_numbers(self.tree)
            if name in self.layers:
                coords["layer"] = np.array(self.layers[name], dtype=object)
            arrays[name] = xr.DataArray(values, coords, ("sample", "step", *axes))
        return arrays
