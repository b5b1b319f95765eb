"""What denoisers that decide nothing show: one thing from the start, or nothing of a prompt."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from stepscope.diffusion.nulls import FixedPicture, GaussianNull
from stepscope.scores import nulls
from stepscope.statistics import null_clocks
from stepscope.table_columns import CLOCKS_NULL, CLOCKS_SUMMARY
from stepscope.table_registry import TABLES
from support.replayed import replay
from support.synthetic import KEYS

OBJECTS = ["cat", "dog", "fish", "bird"]
SAMPLES = 16
NAMES = {key: KEYS[key] for key in ("model", "dataset", "sampling")}
SETTINGS = {"every": 1, "draws": 2, "only_named": ["size"], "keys": NAMES}


class Brightest:
    """Reads the object by the latent's channel of the largest mean; nothing is decoded."""

    concepts = {"object": OBJECTS, "size": ["big", "small"]}  # noqa: RUF012

    def __call__(self, latents):
        means = latents.mean((2, 3)).double().softmax(-1).numpy()
        pairs = means.reshape(-1, 2, 2).sum(2)  # cats and dogs are big
        return {"clip": {"object": means, "size": pairs}}


@pytest.fixture(scope="module")
def found():
    """rq3_nulls of a white null, and of pictures that show the object of their prompt."""
    denoiser, steps = replay()
    rng = np.random.default_rng(0)
    firsts, pictures = [], {}
    for number in range(SAMPLES):
        which = number % 4
        latent = torch.from_numpy(rng.normal(size=(4, 16, 16)).astype("f4"))
        firsts.append(
            replace(
                steps[0],
                prompt_id=f"p{number:02}",
                seed=number,
                prompt=f"a {'big ' * (number % 2)}{OBJECTS[which]}",
                latent=latent,
            )
        )
        pictures[f"p{number:02}", number] = (
            torch.nn.functional.one_hot(torch.tensor(which), 4)
            .float()[:, None, None]
            .expand(4, 16, 16)
        )
    spectra = np.tile(np.eye(4, dtype=complex), (16, 16, 1, 1))
    of = {
        "gaussian_null": GaussianNull(denoiser, np.zeros(4), spectra),
        "fixed_picture": FixedPicture(denoiser, pictures),
    }
    return {
        name: nulls.null_table(one, firsts, Brightest(), **SETTINGS).assign(denoiser=name)
        for name, one in of.items()
    }


def test_a_fixed_picture_is_decided_before_the_first_step(found):
    rows = found["fixed_picture"]
    assert set(TABLES["rq3_nulls"].columns) <= set(rows)
    assert rows["family"].value_counts().to_dict() == {"object": SAMPLES, "size": SAMPLES // 2}
    assert set(rows["shown"]) == {"1111"}
    assert (rows["lower"] == -np.inf).all()
    objects = rows[rows["family"] == "object"]
    assert (objects["named"] == 1).all()
    assert objects["beyond_chance"].mean() == pytest.approx(1 - 3 / 15)  # others' prompts alike


def test_the_null_shows_what_a_prompt_names_by_chance(found):
    rows = found["gaussian_null"]
    objects = rows[rows["family"] == "object"]
    assert objects["concept"].nunique() == 4
    assert abs(objects["beyond_chance"].mean()) < 0.3  # 0.11 is its standard error
    assert (objects["shown"].str[-1] == "1").all()  # it ends in a picture all the same


def test_what_they_decide_stands_beside_the_clocks(found):
    axes = pd.DataFrame({"step": range(1, 5), "log_snr": [-8.0, -4, 0, 4]}).assign(**NAMES)
    of_fixed = found["fixed_picture"].assign(clock="decided", within_steps=-5.0)
    table, summary, own = null_clocks.with_nulls(
        of_fixed,
        pd.DataFrame(columns=CLOCKS_SUMMARY),
        pd.concat(found.values()),
        axes,
        draws=50,
        confidence=0.95,
        seed=0,
    )
    assert table is of_fixed
    assert tuple(own.columns) == CLOCKS_NULL
    fixed = own[own["denoiser"] == "fixed_picture"]
    assert set(fixed["clock"]) == {"visible", "decided"}
    assert set(fixed["censored"]) == {"before"}
    assert fixed["within_steps"].max() == pytest.approx(-8, abs=0.1)
    by = summary.set_index(["compared", "clock", "family"])["estimate"]
    assert by["minus a fixed picture, paired by sample", "decided", "object"] == pytest.approx(3)
    assert by["mean within the steps, of a fixed picture", "decided", "object"] == -8
    medians = summary[summary["compared"] == "median, of the Gaussian null"]
    assert set(medians["clock"]) == {"visible", "decided"}
    assert medians.set_index("family")["n"].to_dict() == {"object": SAMPLES, "size": SAMPLES // 2}
