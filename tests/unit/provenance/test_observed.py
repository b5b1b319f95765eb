import json
import subprocess

import pytest

from stepscope.provenance import observed
from support.workflow import ROOT

FILES = {
    "Snakefile": 'include: "rules/a.smk"\n',
    "rules/a.smk": "rule a:\n",
    "scripts/a.py": "a = 1\n",
    "src/stepscope/__init__.py": "",
    "src/stepscope/a.py": "A = 1  # one\n",
    "README.md": "words\n",
}


@pytest.fixture
def workflow(tmp_path):
    """A small workflow's folder."""
    for name, text in FILES.items():
        path = tmp_path / "workflow" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "workflow"


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


def test_a_commit_is_named_and_whether_files_are_its_own(workflow):
    git(workflow.parent, "init", "--quiet")
    assert observed.revision(workflow)[:2] == (None, None)  # in another one's repository
    git(workflow.parent, "add", "--all")
    git(workflow.parent, "commit", "--message", "first")
    (workflow.parent / "notes.txt").touch()  # is no code
    commit, clean, digest = observed.revision(workflow)
    assert (len(commit), clean) == (40, True)
    (workflow / "src" / "stepscope" / "new.py").write_text("B = 1\n")
    assert observed.revision(workflow)[:2] == (commit, False)
    assert observed.revision(workflow).digest != digest


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("src/stepscope/a.py", "A = 1\n", False),  # a comment
        ("README.md", "other words\n", False),
        ("src/stepscope/a.py", "A = 2\n", True),
        ("src/stepscope/joblog.py", "LINE = 1\n", True),  # which no rule's digest has
        ("scripts/a.py", "a = 2\n", True),
        ("rules/a.smk", "rule b:\n", True),
        ("Snakefile", "", True),
    ],
)
def test_a_digest_is_of_what_the_rules_use(workflow, name, text, counts):
    before = observed.code_digest(workflow)
    (workflow / name).write_text(text)
    assert (observed.code_digest(workflow) != before) == counts


def test_the_digest_leaves_out_nothing_that_runs():
    folder = ROOT / "workflow"
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds - observed.SOURCES <= {".md", ".pyc", ".typed"}


def test_results_are_found_with_their_digests(tmp_path):
    for name in ("tables/a.tsv", "tables/parts/a/0.tsv", "tables/.b.tsv", "films/m/d/s/a.webp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("abc")
    (tmp_path / "maps" / "m").mkdir(parents=True)
    (tmp_path / "masks").mkdir()  # empty
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert observed.made(tmp_path) == [
        ("films/m/d/s/a.webp", 3, abc),
        ("tables/a.tsv", 3, abc),
        ("maps/", None, None),
    ]


def test_use_is_summed_over_benchmarks_and_versions_are_those_of_all_traces(tmp_path):
    assert (observed.usage(tmp_path), observed.traced_with(tmp_path)) == ({}, {})
    runs = [
        {"s": 2.0, "cpu_time": 1.5, "max_rss": 300.0},
        {"s": 0.5, "cpu_time": "NA", "max_rss": None},
    ]
    for number, run in enumerate(runs):
        path = tmp_path / "benchmarks" / "generate" / f"{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run) + "\n")
    expected = {"jobs": 2, "seconds": 2.5, "cpu_seconds": 1.5, "memory_mb": 300.0}
    assert observed.usage(tmp_path) == expected
    for batch, version in enumerate(("2.14.1", "2.15.0")):
        store = tmp_path / "traces" / "m" / "d" / "s" / f"{batch}.zarr"
        store.mkdir(parents=True)
        attributes = {"versions": {"torch": version}, "python": "3.11.2", "device": "cpu"}
        (store / "zarr.json").write_text(json.dumps({"attributes": attributes}))
    assert observed.traced_with(tmp_path) == {
        "Python": ["3.11.2"],
        "device": ["cpu"],
        "torch": ["2.14.1", "2.15.0"],
    }


def test_a_machine_and_its_software_are_described():
    machine = observed.machine()
    assert all(machine.values())
    assert machine["memory"].endswith(" GB")
    assert observed.software()["snakemake"].startswith("9.")
