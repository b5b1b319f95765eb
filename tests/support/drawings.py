"""Made-up tables and pictures of samples for the figures, and the text that a figure shows."""

import io

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.text import Text

from stepscope.table_columns import WHOLE
from stepscope.table_registry import TABLES, TEXT

BOOTSTRAP = {"draws": 50, "confidence": 0.95, "seed": 0}
UNIT = {"model": "embedded", "dataset": "scenes"}
SAMPLINGS = {"uniform": 3.4, "early": 2.5, "latter": 2.0}
PROMPTS = [
    "a big cat on a blue background",
    "on a striped red background, a small apple",
    "a dog above a car",
    "a pizza next to a robot on a green dotted background",
]


def without_rows(name):
    """A table of a study whose methods and prompts give it no rows, as it is read from its file."""
    columns = WHOLE[name] if name in WHOLE else TABLES[name].columns
    header = "\t".join(columns) + "\n"
    text = {column: str for column in columns if column in TEXT}
    return pd.read_table(io.StringIO(header), dtype=text)


def times(steps=20, last=3.4, power=1.0):
    """Step numbers and log-SNR of a schedule that ends at `last`."""
    share = np.linspace(0, 1, steps) ** power
    return pd.DataFrame(
        {
            "step": np.arange(1, steps + 1),
            "timestep": 999.0 - 950 * share,
            "log_snr": -5.1 + (last + 5.1) * share,
        }
    )


def crossed(**axes):
    """Make a table of all combinations."""
    return pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)


def schedule(sampling):
    return times(
        last=SAMPLINGS[sampling], power={"uniform": 1, "early": 1.6, "latter": 0.6}[sampling]
    )


def recovery_table(rng, prompts=12):
    tables = []
    for sampling in SAMPLINGS:
        keys = crossed(
            prompt_id=[f"p{i:02}" for i in range(prompts)],
            seed=[0, 1],
            step=range(1, 21),
            prediction=["e_u", "e_c", "guided", "gaussian"],
            region=["object", "background", "border"],
            band=["low", "mid", "high"],
        )
        frame = keys.merge(schedule(sampling), on="step").assign(**UNIT, sampling=sampling)
        centre = frame["band"].map({"low": -2.5, "mid": 0, "high": 1.8}) + frame["region"].map(
            {"object": 0.6, "background": -0.6, "border": 0.9}
        )
        frame["recovered"] = 0.12 * np.exp(-((frame["log_snr"] - centre) ** 2) / 3) + rng.normal(
            0, 0.02, len(frame)
        )
        frame.loc[frame["step"] == 1, "recovered"] = np.nan
        tables.append(frame)
    return pd.concat(tables)


def scene(rng, sharp, size=64):
    """Draw a coloured picture with a disc, blurred into noise as `sharp` falls to 0."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    disc = np.clip((0.3 - np.hypot(y - 0.55, x - 0.45)) * (4 + 60 * sharp), 0, 1)[..., None]
    colour = np.array([60, 110, 220]) * (1 - disc) + np.array([230, 150, 60]) * disc
    return np.clip(
        colour * sharp + 128 * (1 - sharp) + rng.normal(0, 25 * (1 - sharp), (size, size, 3)),
        0,
        255,
    ).astype(np.uint8)


def sample(rng, number, words=None, steps=(2, 8, 15), side=16):
    """One sample's pictures, maps and mask, as `samples.load_samples` reads them."""
    when = times()
    sharpness = 1 / (1 + np.exp(-when["log_snr"].to_numpy()))
    preview = np.stack([[scene(rng, s * k) for k in (0.6, 0.95, 1)] for s in sharpness])
    y, x = np.mgrid[:side, :side] / side
    blob = np.exp(-((y - 0.55) ** 2 + (x - 0.45) ** 2) / 0.03)
    shape = (20, side, side) if words is None else (20, words, side, side)
    maps = blob * rng.uniform(0.2, 1, shape) - 0.25 + rng.normal(0, 0.1, shape)
    maps[~np.isin(when["step"], steps)] = np.nan
    dims = ("step", "map_y", "map_x") if words is None else ("step", "word", "map_y", "map_x")
    mask = scene(rng, 1)[..., 0] > 150
    return xr.Dataset(
        {
            "preview": (("step", "prediction", "y", "x", "rgb"), preview),
            "image": (("y", "x", "rgb"), scene(rng, 1)),
            "map": (dims, maps),
            "mask": (("mask_y", "mask_x"), mask.astype(np.float32)),
        },
        coords={
            "step": when["step"],
            "prediction": ["e_u", "e_c", "guided"],
            "log_snr": ("step", when["log_snr"]),
        },
        attrs={
            **UNIT,
            "sampling": "uniform",
            "prompt_id": f"p{number:02}",
            "seed": 0,
            "prompt": PROMPTS[number % 4],
        },
    )


def texts(figure):
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def drawn(figure):
    """Lay a figure out without writing it, and return its text."""
    figure.draw_without_rendering()
    return texts(figure)
