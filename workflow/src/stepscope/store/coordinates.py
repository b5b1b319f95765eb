"""Coordinates that everything made from a trace shares: samples, steps and words."""

import numpy as np
import xarray as xr

SHARED = ("prompt_id", "seed", "timestep", "log_snr")


def coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Coordinates by name: who a sample is, when a step was, and the prompts' words."""
    shared = {name: tree[name].variable for name in (*SHARED, "sample", "step")}
    return shared | word_coordinates(tree)


def word_coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Text and role of each sample's words, (sample, word), empty beyond a prompt's last word."""
    prompts = tree.attrs["words"]
    shape = len(prompts), max(map(len, prompts))
    text, role = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
    for sample, words in enumerate(prompts):
        for word in words:
            text[sample, word["index"]] = word["text"]
            role[sample, word["index"]] = word["role"]
    axes = ("sample", "word")
    return {"word_text": xr.Variable(axes, text), "word_role": xr.Variable(axes, role)}


def sample_and_step_numbers(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Numbers of samples (from 0) and steps (from 1), integers, by the axis that they label."""
    return {name: tree[name].to_numpy() for name in ("sample", "step")}
