"""Tables: columns, format, reading back, and merging of parts."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stepscope.store import tables
from support.workflow import ROOT

GUIDE = ROOT / "config" / "README.md"
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


def test_pandas_reads_words_back_as_the_guide_says(tmp_path):
    path = str(tmp_path / "a.tsv")
    tables.write(path, FRAME)
    (line,) = re.findall(r"^pd\.read_table\(path.*$", GUIDE.read_text(encoding="utf-8"), re.M)
    frame = eval(line, {"pd": pd, "path": path})
    assert frame["word"][:2].tolist() == ["nan", "null"]
    assert frame["relevance"].isna().tolist() == [False, True, False]
    assert pd.read_table(path)["word"].isna().all()  # which the guide warns of


def test_merged_parts_keep_one_header_and_all_rows(tmp_path):
    parts = [str(tmp_path / f"{i}.tsv") for i in range(3)]
    for part, rows in zip(parts, (FRAME, FRAME.iloc[:0], FRAME.iloc[1:]), strict=True):
        tables.write(part, rows)
    whole = str(tmp_path / "whole.tsv")
    tables.merge(whole, parts)
    pd.testing.assert_frame_equal(
        tables.read(whole), pd.concat([FRAME, FRAME.iloc[1:]], ignore_index=True), rtol=1e-7
    )


def test_a_block_has_whole_batches_and_those_of_a_unit_follow_each_other(tmp_path, monkeypatch):
    places = [f"{sampling}/{batch}/{method}" for method in "ab" for sampling in ("u", "v")
              for batch in "012"]  # fmt: skip
    parts = []
    for place in places:
        part = tmp_path / "parts" / "results" / "parts" / "rq1_auc" / "m" / "d" / f"{place}.tsv"
        part.parent.mkdir(parents=True, exist_ok=True)
        tables.write(str(part), FRAME.assign(place=place))
        parts.append(str(part))
    size = Path(parts[0]).stat().st_size
    for most, blocks in ((size, 6), (4 * size, 4), (100 * size, 2)):
        monkeypatch.setattr(tables, "BLOCK", most)
        found = [list(block["place"].unique()) for block in tables.blocks(parts, ["place"])]
        assert len(found) == blocks
        assert [place[0] for of in found for place in of] == ["u"] * 6 + ["v"] * 6
        assert all(sorted(of) == sorted({f"{p[:4]}{m}" for p in of for m in "ab"}) for of in found)
    whole = pd.concat([tables.read(part) for part in sorted(parts)[:6]], ignore_index=True)
    block = next(tables.blocks(sorted(parts)[:6]))
    texts = ["model", "word"]
    assert all(block[name].cat.categories.is_monotonic_increasing for name in texts)
    pd.testing.assert_frame_equal(block.astype(dict.fromkeys(texts, str)), whole)
    a_field_less(Path(parts[-1]))
    with pytest.raises(ValueError, match=r"v/2/b\.tsv: row 2 has"):
        list(tables.blocks(parts))


def test_rows_that_are_not_asked_for_are_never_held(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 1)
    path = str(tmp_path / "a.tsv")
    tables.write(path, FRAME)
    kept = ["nan", ""]
    frame = tables.read_large(path, ["word", "relevance"], lambda rows: rows["word"].isin(kept))
    assert frame["word"].cat.categories.tolist() == sorted(kept)
    assert frame["word"].tolist() == ["nan", ""]
    assert frame["relevance"].tolist() == pytest.approx([1 / 3, 2])


def test_parts_of_different_columns_are_refused_by_name(tmp_path):
    first, second = str(tmp_path / "1.tsv"), str(tmp_path / "2.tsv")
    tables.write(first, FRAME)
    tables.write(second, FRAME.drop(columns="word"))
    with pytest.raises(ValueError, match=r"2\.tsv: its columns are not those of"):
        tables.merge(str(tmp_path / "whole.tsv"), [first, second])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def cut_at_a_tab(path: Path) -> None:
    path.write_text(path.read_text().rpartition("\t")[0])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def a_field_more(path: Path) -> None:
    path.write_text(path.read_text().replace("null", "nu\tll"))


def a_field_less(path: Path) -> None:
    path.write_text(path.read_text().replace("null\t", ""))


def an_open_quote(path: Path) -> None:
    path.write_text(path.read_text().replace("null", '"null'))


def other_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"null", b"\xff\xfe"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "the last line is cut"),
        (cut_at_a_tab, "the last line is cut"),
        (emptied, "the last line is cut"),
        (a_field_more, "row 2 has 5 fields, not 4"),
        (a_field_less, "row 2 has 3 fields, not 4"),
        (an_open_quote, "unexpected end of data"),
        (other_bytes, "'utf-8' codec can't decode"),
    ],
)
@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_part_is_refused_by_name(tmp_path, damage, says, damaged):
    parts = [tmp_path / "0.tsv", tmp_path / "1.tsv"]
    for part in parts:
        tables.write(str(part), FRAME)
    damage(parts[damaged])
    with pytest.raises(ValueError, match=rf"{damaged}\.tsv: {says}.* Delete the file"):
        tables.merge(str(tmp_path / "whole.tsv"), [str(part) for part in parts])


def test_a_header_that_is_no_text_is_refused_by_name(tmp_path):
    part = tmp_path / "0.tsv"
    tables.write(str(part), FRAME)
    part.write_bytes(part.read_bytes().replace(b"word", b"w\xffrd", 1))
    with pytest.raises(ValueError, match=r"0\.tsv: 'utf-8' codec can't decode .* Delete the file"):
        tables.merge(str(tmp_path / "whole.tsv"), [str(part)])


@pytest.mark.parametrize("damage", [cut, cut_at_a_tab, emptied])
def test_a_cut_table_is_refused_when_it_is_read(tmp_path, damage):
    path = tmp_path / "a.tsv"
    tables.write(str(path), FRAME)
    damage(path)
    with pytest.raises(ValueError, match=r"a\.tsv: the last line is cut"):
        tables.read(str(path))


def test_text_with_tabs_quotes_and_line_breaks_is_merged_as_it_is(tmp_path):
    odd = FRAME.assign(word=['a "b"', "a\tb", "a\nb"])
    path, whole = str(tmp_path / "a.tsv"), str(tmp_path / "whole.tsv")
    tables.write(path, odd)
    tables.merge(whole, [path, path])
    assert tables.read(whole)["word"].tolist() == [*odd["word"]] * 2


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="rq3_roles: column role is missing"):
        tables.ordered(FRAME.assign(dataset="d", sampling="s", prompt_id="p", seed=0), "rq3_roles")
