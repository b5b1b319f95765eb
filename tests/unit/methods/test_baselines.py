"""What is drawn at random is a sample's own: of its prompt, its seed and its step."""

from types import SimpleNamespace

import numpy as np
import pytest

from stepscope.methods import baselines
from stepscope.methods.df_rise import draw_masks
from stepscope.scores.game_states import rankings
from stepscope.store.traces import latent_size, sample_and_step_counts
from support import synthetic


def step(prompt_id="cat", seed=7, number=3):
    return SimpleNamespace(prompt_id=prompt_id, seed=seed, number=number)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed, step: draw_masks(seed, step, 4, 20, 0.5, (8, 8)),
        lambda seed, step: rankings(np.ones((1, 8, 8)), step, seed),
        lambda seed, step: baselines.random(seed, step.prompt_id, step.seed, (9, 8, 8))[
            step.number
        ],
    ],
    ids=["masks", "ties", "random map"],
)
def test_no_two_samples_share_what_is_drawn_for_them(draw):
    own = draw(0, step()).astype(float)
    assert (own == draw(0, step())).all()
    others = [step("dog"), step(seed=8), step(number=4), step("cat/7", 3, 3), step("cat", 73, 3)]
    for other in [draw(0, other) for other in others] + [draw(1, step())]:
        assert abs(np.corrcoef(own.ravel(), other.ravel())[0, 1]) < 0.45


def test_every_baseline_is_a_map_of_each_step():
    tree = synthetic.trace()
    samples, steps = sample_and_step_counts(tree)
    pictures = np.zeros((samples, 32, 32, 3), dtype=np.uint8)
    pictures[:, :, 16:] = 255
    maps = baselines.maps(tree, 0, pictures)
    assert set(maps) == set(baselines.NAMES)
    assert all(map_.shape == (samples, steps, *latent_size(tree)) for map_ in maps.values())
    np.testing.assert_array_equal(
        maps["edge"][0, 0], baselines.edge(pictures[0], latent_size(tree))
    )
    assert (maps["edge"] == maps["edge"][:, :1]).all()
