"""What is drawn at random is a sample's own: of its prompt, its seed and its step."""

from types import SimpleNamespace

import numpy as np
import pytest

from stepscope.methods import baselines
from stepscope.methods.df_rise import draw_masks
from stepscope.scores.game_states import rankings


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
