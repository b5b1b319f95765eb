"""What a user wrote is shown as it stands, or named where the figure's font cannot show it."""

import pandas as pd
import pytest
from matplotlib.text import Text

from stepscope.figures import rq1, text
from support.drawings import drawn, sample

NOTE = "p00 (its prompt has characters that this figure's font lacks)"


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("$5 cat and a $10 dog", "“$5 cat and a $10 dog”"),
        ("$$", "“$$”"),
        ("a_b^c \\frac{x} 100% {0} <i>&lt;", "“a_b^c \\frac{x} 100% {0} <i>&lt;”"),
        ("un café über Ёлка\tβ", "“un café über Ёлка\tβ”"),
        ("一只猫", NOTE),
        ("एक लाल बिल्ली", NOTE),
        ("แมว", NOTE),
        ("a cat 🐈", NOTE),
        ("a cat and \u732b", NOTE),
    ],
)
def test_a_prompt_is_quoted_or_named_by_its_id(prompt, shown):
    assert text.prompt_or_id(prompt, "p00") == shown


def test_figures_take_no_prompt_for_markup(rng):
    prompts = ["$$", "$5 cat and a $10 dog", "\\frac $x_{%s}", "$_", "猫"]
    pictures = [sample(rng, 0, steps=(2,)).assign_attrs(prompt=prompt) for prompt in prompts]
    figure = rq1.maps_over_time(pictures, "df_rise")
    shown = drawn(figure).replace("\n", " ")
    for prompt in prompts:
        assert f"{text.prompt_or_id(prompt, 'p00')} (seed 0)" in shown
    titles = [part for part in figure.findobj(Text) if "seed" in part.get_text()]
    assert len(titles) == len(prompts)
    assert not any(part.get_parse_math() for part in titles)


def test_the_fonts_characters_are_those_that_are_drawn(rng):
    known = text.characters()
    assert {ord(letter) for letter in "az09éßЖ“”·→½"} <= known
    assert not {ord(letter) for letter in "猫犬한きअก🐈"} & known
    assert len(known) > 4000


def test_a_sample_size_is_counted_in_words():
    samples = {
        "n = 3 prompts, 2 noises": ([3, 3], [2, 2]),
        "n = 2 to 5 prompts, 1 to 2 noises": ([2, 5], [1, 2]),
        "n = 1 prompt, 1 noise": ([1], [1]),
        "n = 0 prompts, 0 noises": ([], []),
    }
    for words, (n, noises) in samples.items():
        assert text.counted(pd.DataFrame({"n": n, "noises": noises})) == words
