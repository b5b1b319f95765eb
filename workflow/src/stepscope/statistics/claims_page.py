"""A finished study's claims as Markdown, for a paper or a page, and their place on a page."""

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stepscope.store import tables

VERDICTS = ("supported", "contradicted", "undecided", "not_testable")
SINGLE = r", at step \d+$"  # how statistics of single steps end


def rendered(claims: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """Markdown of claims.tsv: how many findings have which verdict by claim, and each finding.

    `about` has `study`, `confidence` and what `circumstances` gives. Findings of single steps are
    counted, and left to the table.
    """
    parts = [_headline(about)]
    units = claims.groupby(["model", "dataset"], sort=False)
    for names, rows in units:
        is_single = rows["statistic"].str.contains(SINGLE)
        shown, left = rows[~is_single], int(is_single.sum())
        parts += [f"Model `{names[0]}`, dataset `{names[1]}`:"] if len(units) > 1 else []
        parts += [_by_claim(shown), _findings(shown, left, about)]
    return "\n\n".join(parts) + "\n"


def _headline(about: Mapping[str, Any]) -> str:
    """What was run, on what, and how long it took."""
    named = f"**Study `{about['study']}`.**"
    if not about["jobs"]:
        return named
    where = f" ({about['machine']})" if about["machine"] else ""
    took = f"{about['jobs']} jobs with a benchmark took at least {about['cpu_minutes']:.0f}"
    return f"{named} Its {took} CPU minutes{where}."


def _by_claim(rows: pd.DataFrame) -> str:
    """A table with a line a claim: its statement, and how many findings have which verdict."""
    lines = []
    for claim, of_claim in rows.groupby("claim", sort=False):
        counts = of_claim["verdict"].value_counts()
        found = (str(counts.get(name, "")) for name in VERDICTS)
        lines.append((str(claim), of_claim["statement"].iloc[0], *found))
    return _table(("claim", "statement", *map(_words, VERDICTS)), lines)


def _findings(rows: pd.DataFrame, left: int, about: Mapping[str, Any]) -> str:
    """Every finding in a part that unfolds; those of a claim that lack the same are one line."""
    lines = []
    for claim, of_claim in rows.groupby("claim", sort=False):
        tested = of_claim["verdict"] != "not_testable"
        for row in of_claim[tested].itertuples():
            lines.append((claim, row.statistic, _interval(row), f"{row.n:.0f}", _verdict(row)))
        for _, lacking in of_claim[~tested].groupby("reason", sort=False):
            one, many = next(lacking.itertuples()), len(lacking)
            text = one.statistic if many == 1 else f"{many} statistics"
            lines.append((claim, text, "", f"{one.n:.0f}", _verdict(one)))
    interval = f"estimate [{about['confidence']:.0%} interval]"
    table = _table(("claim", "statistic", interval, "n", "verdict"), lines)
    also = f"; {left} of single steps are in `claims.tsv`" if left else ""
    summary = f"<summary>All {len(rows)} findings{also}</summary>"
    return f"<details>\n{summary}\n\n{table}\n\n</details>"


def _interval(row: Any) -> str:
    if not np.isfinite(row.estimate):
        return ""
    return f"{row.estimate:.3g} [{row.ci_low:.3g}, {row.ci_high:.3g}]"


def _verdict(row: Any) -> str:
    return _words(row.verdict) + (f": {row.reason}" if row.reason else "")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; a bar in a cell is written so that it ends none."""
    rows = [tuple(header), *map(tuple, lines)]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def circumstances(benchmarks: str) -> dict[str, Any]:
    """What `machine` says, the number of jobs with a benchmark in a folder, and their CPU minutes.

    Of a job that was repeated the last time counts. Snakemake looks at a job every half minute and
    does not see the end of it, so that minutes are at least these.
    """
    took = [_seconds(path) for path in sorted(Path(benchmarks).glob("**/*.jsonl"))]
    return {"machine": machine(), "jobs": len(took), "cpu_minutes": round(sum(took) / 60, 1)}


def _seconds(path: Path) -> float:
    """CPU seconds of a job by its benchmark; 0 of one that ended before it was looked at."""
    *_, last = path.read_text(encoding="utf-8").splitlines()
    return float(json.loads(last)["cpu_time"] or 0)


def machine() -> str:
    """Name of the processor at hand and the widest vector instructions that numpy finds on it."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return ", ".join(filter(None, [_processor(), *found[-1:]]))


def _processor() -> str:
    """What the system calls the processor, or else its architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return names[0].strip() if names else platform.machine()


def sections(page: str) -> Iterator[tuple[str, str]]:
    """(study, text) of each section of a page between its comments."""
    yield from re.findall(
        r"<!-- verdicts: (\S+) -->\n(.*?)<!-- /verdicts -->", page, re.MULTILINE | re.DOTALL
    )


def renewed(page: str, study: str, text: str) -> str:
    """A page with another text in the section of a study, which is added below the others' if new.

    A page without any section raises ValueError.
    """
    found = dict(sections(page))
    section = f"<!-- verdicts: {study} -->\n{text}<!-- /verdicts -->"
    if study in found:
        before = f"<!-- verdicts: {study} -->\n{found[study]}<!-- /verdicts -->"
        return page.replace(before, section)
    if not found:
        raise ValueError(
            "README.md: there is no section between <!-- verdicts: a study --> and "
            "<!-- /verdicts -->; verdicts are published in a clone of the repository."
        )
    head, mark, tail = page.rpartition("<!-- /verdicts -->")
    return f"{head}{mark}\n\n{section}{tail}"


def publish(
    claims_path: str, about_path: str, page_path: str, *, claims: str, page: str, **about: Any
) -> None:
    """Write a copy of a study's claims.tsv, what `rendered` is told of it, and the renewed page."""
    text = rendered(tables.read(claims), about)
    whole = renewed(Path(page).read_text(encoding="utf-8"), about["study"], text)
    Path(claims_path).write_bytes(Path(claims).read_bytes())
    Path(about_path).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    Path(page_path).write_text(whole, encoding="utf-8")
