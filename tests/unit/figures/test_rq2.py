"""The figure of words marks the reigns of the top word."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.legend import Legend

from stepscope.figures import rq2
from stepscope.table_registry import TABLES
from support.drawings import PROMPTS, UNIT, crossed, drawn, sample, texts, times


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


def test_reigns_begin_where_the_top_word_changes():
    mean = pd.DataFrame(
        {0: [3, 3, 1, 1, 1], 1: [1, 1, 2, 2, 0], 2: [0, 0, 0, 0, 4]}, index=range(1, 6)
    )
    assert rq2.reigns(mean)[["step", "word_index", "length"]].to_numpy().tolist() == [
        [1, 0, 2],
        [3, 1, 2],
        [5, 2, 1],
    ]


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
            ["word information\nmean", "DF-CAM, word map", "cat [subject]"],
        ),
        ("information", "df_rise", ["relevance\nmean and range", "DF-RISE map", "cat [subject]"]),
        ("", "cross_attention", ["relevance\nmean and range", "cross-attention map"]),
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
    lines = [line.get_color() for line in legend.get_lines()]
    assert len(set(lines)) == len(WORDS)


def test_columns_that_the_figures_read_are_the_tables():
    assert set(rq2.RELEVANCE) <= set(TABLES["rq2_relevance"].columns)
