"""The figure of words marks the reigns of the top word."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle

from stepscope.figures import rq2, rq2_agreement
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, PROMPTS, UNIT, crossed, drawn, sample, texts, times


def relevance_table(rng, prompts=3):
    tables = []
    for number in range(prompts):
        words = PROMPTS[number % 4].replace(",", "").split()
        keys = crossed(seed=[0, 1, 2], step=range(1, 21), word_index=range(len(words))).merge(
            times(), on="step"
        )
        role = keys["word_index"].map(
            dict(
                enumerate(
                    {
                        "cat": "subject",
                        "apple": "subject",
                        "dog": "subject",
                        "background": "background",
                        "above": "relation",
                        "car": "object",
                        "blue": "attribute",
                        "red": "attribute",
                        "big": "attribute",
                        "small": "attribute",
                    }.get(w)
                    for w in words
                )
            )
        )
        peak = rng.uniform(-5, 3, len(words))
        height = np.where(role != "", 3, 0.7)
        relevance = (
            height
            * (0.3 + np.exp(-((keys["log_snr"] - peak[keys["word_index"]]) ** 2) / 4))
            * np.exp(rng.normal(0, 0.08, len(keys)))
        )
        tables.append(
            keys.assign(
                **UNIT,
                sampling="uniform",
                prompt_id=f"p{number:02}",
                method="relevance",
                role=role,
                word=keys["word_index"].map(dict(enumerate(words))),
                relevance=relevance,
                relevance_minmax=0.0,
            )
        )
    return pd.concat(tables)


def test_words_marks_repeats_roles_and_seeds(rng):
    samples = [sample(rng, 0, words=12, steps=range(1, 21))]
    figure = rq2.words(samples, relevance_table(rng, 1), "relevance", "df_cam_word")
    text = drawn(figure)
    for part in ("a (2)", "cat [subject]", "n = 3 seeds", "DF-CAM, word map", "log-SNR"):
        assert part in text


def test_a_step_without_relevance_has_no_top_word(rng):
    table = relevance_table(rng, prompts=1)
    table.loc[table["step"] <= 2, "relevance"] = 0
    figure = rq2.words(
        [sample(rng, 0, words=12, steps=range(1, 21))], table, "relevance", "df_cam_word"
    )
    text = drawn(figure)
    assert "step 3" in text
    assert "step 1\n" not in text


@pytest.mark.parametrize(
    ("left_out", "map_method", "expected"),
    [
        (
            "relevance",
            "df_cam_word",
            ["word information\nn = 1 seed", "DF-CAM, word map", "cat [subject]"],
        ),
        ("information", "df_rise", ["relevance\nn = 1 seed", "DF-RISE map", "cat [subject]"]),
        ("", "cross_attention", ["relevance\nn = 1 seed", "cross-attention map"]),
        ("relevance|information", "df_rise", ["No method says what its words matter", PROMPTS[0]]),
    ],
)
def test_words_are_drawn_by_the_methods_that_a_study_has(rng, left_out, map_method, expected):
    table = relevance_table(rng, prompts=1).query("seed == 0")
    table = pd.concat([table, table.assign(method="information")])
    table = table[~table["method"].isin(left_out.split("|"))]
    words = None if map_method == "df_rise" else 12  # its map is one of all words
    samples = [sample(rng, 0, words=words, steps=(1, 2))]
    shown = texts(rq2.words(samples, table, "relevance", map_method))
    for part in expected:
        assert part in shown


WORDS = {
    "_underscore": "_underscore",
    "$5": "$5",
    "\\alpha_{%d}": "\\alpha_{%d}",
    "кошка": "кошка",
    "猫": "word 5",
    "बिल्ली": "word 6",
    "🦆": "word 7",
}


def test_words_are_in_the_legend_as_they_are_written(rng):
    table = relevance_table(rng, prompts=1).query("seed == 0 and step <= 3")
    table = table.assign(word=table["word_index"].map(dict(enumerate(WORDS))), role="subject")
    figure = rq2.words([sample(rng, 0, words=7, steps=(1,))], table, "relevance", "df_cam_word")
    (legend,) = figure.findobj(Legend)
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == [f"{word} [subject]" for word in WORDS.values()]
    assert not any(text.get_parse_math() for text in legend.get_texts())
    lines = legend.get_lines()
    assert len({line.get_color() for line in lines}) == 1  # a role has one colour
    assert len({str(line._dash_pattern) for line in lines}) == len(WORDS)


def test_a_role_is_drawn_alike_in_every_prompt():
    first, second = (
        rq2._names(pd.DataFrame({"word_index": range(4), "word": list("abcd"), "role": roles}))
        for roles in (
            ["attribute", "subject", "attribute", "background"],
            ["attribute", "background", "attribute", "subject"],
        )
    )
    for here, there in ((0, 2), (1, 3), (2, 0), (3, 1)):
        assert first[here].colour == second[there].colour
        assert first[here].dash == second[there].dash
    assert first[0].dash != first[2].dash
    assert len({word.colour for word in first.values()}) == 3


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_band_says_of_how_many_seeds_it_is_and_a_lead_by_a_hair_is_no_switch(rng, seeds):
    table = relevance_table(rng, prompts=1).query(f"seed < {seeds} and word_index < 3")
    late = table["step"] > 10
    top = np.where(late, table["word_index"] == 2, table["word_index"] == 1)
    table["relevance"] = 1 + 3.0 * top + 3.02 * (table["word_index"] == 0) * (table["step"] == 5)
    table.loc[(table["step"] == 5) & (table["word_index"] == 1), "relevance"] = 4.0
    figure = rq2.words(
        [sample(rng, 0, words=3, steps=range(1, 21))], table, "relevance", "df_cam_word"
    )
    shown = drawn(figure)
    band = {1: "n = 1 seed, no band", 2: "band: the n = 2 seeds", 3: "range, n = 3 seeds"}
    assert band[seeds] in shown
    shades = [patch for patch in figure.findobj(Rectangle) if patch.get_alpha() == 0.12]
    assert len(shades) == 1  # step 1 is no switch, nor is an article that leads by 0.5 %
    when = times().set_index("step")["log_snr"]
    assert shades[0].get_x() == pytest.approx(when[10])
    assert shades[0].get_width() == pytest.approx(when[11] - when[10])
    assert "step 1\n" in shown
    assert "step 11" in shown


def test_agreement_is_below_the_diagonal_and_what_is_of_the_prompt_above(rng):
    table = crossed(prompt_id=[f"p{i}" for i in range(6)], seed=[0, 1], over=["words", "cells"])
    table = table.assign(**UNIT, sampling="uniform", method="relevance", other="word_removal")
    table["agreement"] = 0.75 + 0.01 * rng.normal(size=len(table))
    table["beyond_prompts"] = 0.0
    text = texts(rq2_agreement.agreement(table, **BOOTSTRAP))
    for part in (
        ".75",
        "-.00" if "-.00" in text else ".00",
        "over words of a step",
        "over cells",
        "n = 6 prompts",
    ):
        assert part in text
    assert "over steps of a word" not in text  # nothing is compared there
    assert "nothing" in texts(rq2_agreement.agreement(table.iloc[:0], **BOOTSTRAP))


def test_columns_that_the_figures_read_are_the_tables():
    assert set(rq2_agreement.COLUMNS) <= set(TABLES["rq2_agreement"].columns)
    assert set(rq2.RELEVANCE) <= set(TABLES["rq2_relevance"].columns)
