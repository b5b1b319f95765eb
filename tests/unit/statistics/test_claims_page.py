"""Claims as Markdown: what is counted and written; the README has that of its tables."""

import json

import numpy as np
import pandas as pd
import pytest

from stepscope.statistics import claims_page
from stepscope.store import tables
from stepscope.table_columns import CLAIMS
from support.workflow import ROOT

PUBLISHED = sorted((ROOT / "resources" / "verdicts").glob("*.tsv"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ABOUT = {"study": "s", "confidence": 0.9, "machine": "a | b", "jobs": 2, "cpu_minutes": 41.6}
ROWS = [  # claim, statistic, n, estimate, ci_low, ci_high, verdict, reason
    ("R1a", "first | of all", 24, 0.51234, 0.1, 0.9, "supported", ""),
    ("R1a", "second", 24, -0.5, -0.9, -0.1, "contradicted", ""),
    ("R1b", "area", 3, 1.0, -2.0, 4.0, "undecided", ""),
    ("R1b", "area, at step 6", 3, 1.0, -2.0, 4.0, "undecided", ""),
    ("R1c", "other", 0, np.nan, np.nan, np.nan, "not_testable", "there is one"),
    ("R2a", "order", 0, np.nan, np.nan, np.nan, "not_testable", "needs seeds"),
    ("R2a", "course", 9, 0.1, 0.0, 0.2, "undecided", ""),
    ("R2a", "another order", 0, np.nan, np.nan, np.nan, "not_testable", "needs seeds"),
    ("R2a", "a third", 1, np.nan, np.nan, np.nan, "not_testable", "needs words"),
]


def claims(datasets=("d",)):
    names = ["claim", "statistic", "n", "estimate", "ci_low", "ci_high", "verdict", "reason"]
    rows = pd.DataFrame(ROWS, columns=names).assign(statement=lambda of: "says " + of["claim"])
    frame = pd.concat([rows.assign(model="m", dataset=dataset) for dataset in datasets])
    return frame.reindex(columns=CLAIMS)


def test_findings_are_counted_by_claim_and_written_with_their_numbers():
    text = claims_page.rendered(claims(), ABOUT)
    assert (
        "**Study `s`.** Its 2 jobs with a benchmark took at least 42 CPU minutes (a | b)." in text
    )
    assert "| R1a | says R1a | 1 | 1 |  |  |" in text
    assert "| R1b | says R1b |  |  | 1 |  |" in text
    assert "| R1a | first \\| of all | 0.512 [0.1, 0.9] | 24 | supported |" in text
    assert "| R1c | other |  | 0 | not testable: there is one |" in text
    assert (
        "| R2a | course | 0.1 [0, 0.2] | 9 | undecided |\n"
        "| R2a | 2 statistics |  | 0 | not testable: needs seeds |\n"
        "| R2a | a third |  | 1 | not testable: needs words |\n"
    ) in text
    assert "estimate [90% interval]" in text
    assert "All 8 findings; 1 of single steps are in" in text
    assert "at step 6" not in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_each_dataset_has_its_own():
    text = claims_page.rendered(claims(("d", "e")), ABOUT)
    assert text.index("Model `m`, dataset `d`:") < text.index("Model `m`, dataset `e`:")
    assert text.count("<details>") == 2


def test_minutes_are_those_of_the_last_run_of_each_job(tmp_path):
    for name, seconds in {"a/0": [600, 60], "b": [120], "c": [None]}.items():
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps({"cpu_time": one}) + "\n" for one in seconds))
    found = claims_page.circumstances(str(tmp_path))
    assert (found["jobs"], found["cpu_minutes"]) == (3, 3.0)
    assert found["machine"]
    nothing = claims_page.circumstances(str(tmp_path / "none"))
    assert claims_page.rendered(claims(), ABOUT | nothing).startswith("**Study `s`.**\n")


def test_publishing_renews_a_studys_section_and_leaves_all_else(tmp_path):
    source, page = tmp_path / "claims.tsv", tmp_path / "README.md"
    tables.write(str(source), claims())
    page.write_text("before\n<!-- verdicts: s -->\nold\n<!-- /verdicts -->\nafter\n")
    for about in (ABOUT, ABOUT | {"study": "t"}, ABOUT):
        copy, told = tmp_path / "copy.tsv", tmp_path / "about.json"
        claims_page.publish(
            str(copy), str(told), str(page), claims=str(source), page=str(page), **about
        )
        assert copy.read_bytes() == source.read_bytes()
        assert json.loads(told.read_text()) == about
    text = page.read_text()
    assert text.startswith("before\n<!-- verdicts: s -->\n**Study `s`.**")
    assert text.endswith("<!-- /verdicts -->\nafter\n")
    found = dict(claims_page.sections(text))
    assert list(found) == ["s", "t"]
    assert found["s"] == claims_page.rendered(claims(), ABOUT)
    page.write_text("no section\n")
    with pytest.raises(ValueError, match=r"README\.md: there is no section between <!-- verdicts:"):
        claims_page.publish("", "", "", claims=str(source), page=str(page), **ABOUT)


def test_the_readmes_sections_are_those_of_the_published_tables():
    found = dict(claims_page.sections(README))
    assert found
    assert sorted(found) == [path.stem for path in PUBLISHED]
    for path in PUBLISHED:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        again = "run `snakemake publish_verdicts` for the study, do not edit by hand"
        assert found[path.stem] == claims_page.rendered(tables.read(str(path)), about), again
