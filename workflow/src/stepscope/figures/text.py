"""Text in figures: what the user wrote, as it stands, and what the figure's font can show of it."""

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import xarray as xr
from matplotlib.font_manager import FontProperties, findfont, get_font

STYLE = Path(__file__).with_name("style.mplstyle")


@functools.cache
def characters() -> frozenset[int]:
    """Code points that the style's fonts have a glyph for, in regular and in bold."""
    known: set[int] = set()
    with mpl.rc_context(fname=STYLE):
        for family in mpl.rcParams["font.family"]:
            paths = [findfont(FontProperties(family=family, weight=w)) for w in ("normal", "bold")]
            regular, bold = (get_font(path).get_charmap().keys() for path in paths)
            known |= regular & bold
    return frozenset(known)


def legible(text: str) -> bool:
    """Whether the figure's font has every character of a text; one that it lacks is a box."""
    return {ord(character) for character in "".join(text.split())} <= characters()


def prompt_or_id(prompt: str, prompt_id: str) -> str:
    """Quote a prompt, or name it by its id where the figure's font cannot show it."""
    note = "its prompt has characters that this figure's font lacks"
    return f"“{prompt}”" if legible(prompt) else f"{prompt_id} ({note})"


def caption(sample: xr.Dataset, samples: Sequence[xr.Dataset]) -> str:
    """Write a sample's prompt, with its model and dataset where there are several."""
    unit = unit_of(sample)
    prefix = f"{unit}: " if {unit_of(other) for other in samples} - {unit} else ""
    return prefix + prompt_or_id(sample.attrs["prompt"], sample.attrs["prompt_id"])


def unit_of(pictures: xr.Dataset) -> str:
    """Name the model and the dataset of prompts that pictures come from."""
    return f"{pictures.attrs['model']} · {pictures.attrs['dataset']}"


def wrapped(text: str, width: int) -> str:
    """Break text into lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))


def counted(means: pd.DataFrame) -> str:
    """Write the size of samples in words: "n = 24 prompts, 2 noises", as a range where it differs.

    `means` has the columns n and noises of `plotting.intervals`.
    """
    return f"n = {_number(means['n'], 'prompt')}, {_number(means['noises'], 'noise')}"


def _number(counts: pd.Series, unit: str) -> str:
    """Write how many there are of something, or from how many to how many."""
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    number = f"{low}" if low == high else f"{low} to {high}"
    return f"{number} {unit}" if high == 1 else f"{number} {unit}s"
