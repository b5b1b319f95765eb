"""Tables: columns, format, reading back, and merging of parts."""

import numpy as np
import pandas as pd
import pytest

from stepscope.store import tables

FRAME = pd.DataFrame(
    {
        "model": "tiny",
        "word": ["nan", "null", ""],
        "word_index": [0, 1, 2],
        "relevance": [1 / 3, np.nan, 2.0],
    }
)


def test_words_stay_words_and_empty_numbers_are_missing(tmp_path):
    path = str(tmp_path / "a.tsv")
    tables.write(path, FRAME)
    frame = tables.read(path)
    assert frame["word"].tolist() == ["nan", "null", ""]
    assert frame["word_index"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(frame["relevance"], FRAME["relevance"], rtol=1e-7)
    assert tables.read(path, ["word"]).columns.tolist() == ["word"]


def test_merged_parts_keep_one_header_and_all_rows(tmp_path):
    parts = [str(tmp_path / f"{i}.tsv") for i in range(3)]
    for part, rows in zip(parts, (FRAME, FRAME.iloc[:0], FRAME.iloc[1:]), strict=True):
        tables.write(part, rows)
    whole = str(tmp_path / "whole.tsv")
    tables.merge(whole, parts)
    pd.testing.assert_frame_equal(
        tables.read(whole), pd.concat([FRAME, FRAME.iloc[1:]], ignore_index=True), rtol=1e-7
    )


def test_parts_of_different_columns_are_refused_by_name(tmp_path):
    first, second = str(tmp_path / "1.tsv"), str(tmp_path / "2.tsv")
    tables.write(first, FRAME)
    tables.write(second, FRAME.drop(columns="word"))
    with pytest.raises(ValueError, match=r"2\.tsv: its columns are not those of"):
        tables.merge(str(tmp_path / "whole.tsv"), [first, second])


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="rq3_roles: column role is missing"):
        tables.ordered(FRAME.assign(dataset="d", sampling="s", prompt_id="p", seed=0), "rq3_roles")
