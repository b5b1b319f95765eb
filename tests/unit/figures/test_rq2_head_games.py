"""Figure of the heads' game: curves and areas by method, of the prompt and of its words."""

from stepscope.figures import rq2_head_games
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn, times, without_rows

METHODS = ["random", "attention_heads", "attention_heads_mass", "relevance", "alone"]


def game_table(rng):
    """A game of two steps, in which each method loses the effect as fast as it comes late here."""
    frame = crossed(
        **{
            "prompt_id": ["a", "b", "c"],
            "seed": [0],
            "step": [3, 8],
            "role": ["prompt", "subject"],
        },
        **{"method": METHODS, "weakened": [0, 0.25, 0.5, 0.75, 1]},
    )
    frame = frame.merge(times(), on="step").assign(**UNIT, sampling="uniform")
    power = 1 / (1 + frame["method"].map(METHODS.index)) + rng.uniform(0, 0.05, len(frame))
    frame["lost"] = frame["changed"] = frame["weakened"] ** power
    words = frame["role"].map({"prompt": "", "subject": "cat"})
    return frame.assign(word=words, word_index=frame["role"].map({"subject": 1.0}))


def test_curves_and_areas_are_drawn_of_the_prompt_and_of_its_words(rng):
    figure = rq2_head_games.head_games(game_table(rng), **BOOTSTRAP)
    text = drawn(figure)
    for part in (
        *("the whole prompt", "words: subject", "n = 3 prompts, 1 noise", "steps 3, 8"),
        *("random orders", "each head's own effect", "attention, all heads: average precision"),
        *("attention, all heads: amount", "relevance by head", "share of heads weakened", "95% CI"),
    ):
        assert part in text
    (panel,) = figure.subfigs
    curves, *_, areas = panel.axes
    ends = [line.get_ydata()[[0, -1]].tolist() for line in curves.lines]
    assert ends == [[0, 1]] * len(ends)
    means = [line.get_xdata()[0] for line in areas.lines if line.get_marker() == "o"]
    order = [line.get_ydata()[0] for line in areas.lines if line.get_marker() == "o"]
    # the table's order is that of the areas, from the smallest on
    assert sorted(range(len(METHODS)), key=order.__getitem__) == sorted(
        range(len(METHODS)), key=means.__getitem__
    )


def test_a_study_that_plays_no_words_shows_the_prompt_alone(rng):
    table = game_table(rng)
    figure = rq2_head_games.head_games(table[table["role"] == "prompt"], **BOOTSTRAP)
    assert "the whole prompt" in drawn(figure)
    assert [axes.axison for axes in figure.subfigs[0].axes] == [True, False, True, False]


def test_a_study_that_plays_no_game_says_so():
    figure = rq2_head_games.head_games(without_rows("rq2_head_games"), **BOOTSTRAP)
    assert "nothing for this figure" in drawn(figure)
