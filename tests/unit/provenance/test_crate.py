import json
import re
from dataclasses import replace

import pytest

from stepscope.provenance import crate, report
from stepscope.provenance.observed import Made, Revision

TEXT = "0" * 64
RUN = crate.Study(
    config={
        "study": "s <b>",
        "models": {"my model": {"folder": "m"}},
        "datasets": {"a/b": {"prompts": "p.tsv"}},
        "samplings": {"uniform": {}},
    },
    models={"my model": {"digest": "abc", "folder": "m"}},
    datasets={"a/b": {"digest": "def", "size": "2 prompts, 4 samples"}},
    own={"my_methods:gradient": "123"},
    began=1_700_000_000.4,
    ended=1_700_003_600.9,
    version="0.1.0",
)
SEEN = crate.Seen(
    revision=Revision("f" * 40, True, "cafe"),
    results=[
        Made("tables/claims.tsv", 3, TEXT),
        Made("figures/a b.png", 4, TEXT),
        Made("maps/", None, None),
    ],
    kept=[Made(f"provenance/{name}", 1, TEXT) for name in crate.KEPT],
    software={"snakemake": "9.27.1"},
    traced_with={"torch": ["2.14.1"], "Python": ["3.11.2", "3.11.9"], "device": ["cpu"]},
    usage={"jobs": 3, "seconds": 9.5, "cpu_seconds": 8.5, "memory_mb": 700.0},
    machine={"processor": "a processor", "memory": "8 GB"},
    written=1_700_003_700.0,
)


def described(study=RUN, seen=SEEN) -> dict[str, dict]:
    """Entities of a crate by their identifiers, each of which it has once."""
    graph = crate.document(study, seen)["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    return entities


def links(value) -> list[str]:
    """Identifiers that a property's value refers to."""
    values = value if isinstance(value, list) else [value]
    return [each["@id"] for each in values if isinstance(each, dict)]


def test_a_crate_says_what_ran_on_what_and_what_came_of_it():
    entities = described()
    root, run = entities["./"], entities["#run"]
    workflow = entities["provenance/Snakefile"]
    assert root["mainEntity"] == run["instrument"] == {"@id": "provenance/Snakefile"}
    assert "ComputationalWorkflow" in workflow["@type"]
    assert workflow["version"] == "0.1.0+ffffffffffff"
    assert links(run["object"]) == [
        "provenance/config.yaml",
        "#model-my%20model",
        "#dataset-a%2Fb",
        "#code-my_methods%3Agradient",
    ]
    assert [entities[each]["identifier"] for each in links(run["object"])[1:]] == [
        "abc",
        "def",
        "123",
    ]
    assert links(run["result"]) == ["tables/claims.tsv", "figures/a%20b.png", "maps/"]
    assert set(links(run["result"])) < set(links(root["hasPart"]))
    assert entities["figures/a%20b.png"] | {"contentSize": "4"} == {
        **{"@id": "figures/a%20b.png", "@type": "File", "name": "figures/a b.png"},
        **{"encodingFormat": "image/png", "contentSize": "4", "sha256": TEXT},
    }
    assert entities["maps/"]["@type"] == "Dataset"
    assert (run["startTime"], run["endTime"]) == (
        "2023-11-14T22:13:20+00:00",
        "2023-11-14T23:13:20+00:00",
    )
    assert "https://w3id.org/ro/wfrun/workflow/0.5" in links(root["conformsTo"])
    author = entities[links(root["author"])[0]]
    assert author["name"] == "Stepscope developers"


def test_whatever_a_crate_refers_to_is_in_it():
    entities = described()
    named = {
        each for entity in entities.values() for value in entity.values() for each in links(value)
    }
    outside = {each for each in named - entities.keys() if "schema.org" not in each}
    assert outside == {"https://w3id.org/ro/crate/1.1"}  # the specification itself


@pytest.mark.parametrize(
    ("revision", "version", "says"),
    [
        (Revision("f" * 40, False, "cafe"), "0.1.0+ffffffffffff.changed", "not committed"),
        (Revision("f" * 40, True, "cafe"), "0.1.0+ffffffffffff", "as committed"),
        (Revision(None, None, "cafe"), "0.1.0+cafe", "not from a git repository"),
    ],
)
def test_the_code_is_named_by_its_commit_and_without_git_by_its_digest(revision, version, says):
    workflow = described(seen=replace(SEEN, revision=revision))["provenance/Snakefile"]
    assert workflow["version"] == version
    assert says in workflow["description"]
    assert "cafe" in workflow["description"]


def test_a_run_whose_times_and_jobs_nobody_noted_says_none():
    study, seen = replace(RUN, began=None, ended=None), replace(SEEN, usage={}, traced_with={})
    entities = described(study, seen)
    assert not {"startTime", "endTime"} & entities["#run"].keys()
    assert entities["#run"]["resourceUsage"] == []
    assert report.facts(entities)["ended"] == "unknown"


def test_a_report_begins_with_the_crate_and_names_are_no_markup(tmp_path):
    with pytest.raises(ValueError, match="run `snakemake provenance` first"):
        report.page(str(tmp_path))
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(crate.document(RUN, SEEN)))
    page = report.page(str(tmp_path))
    assert "<td>Stepscope study s &lt;b&gt;</td>" in page
    rows = dict(re.findall("<th>(.*?)</th><td>(.*?)</td>", page))
    assert rows["made from"] == "model my model (abc), dataset a/b (def), my_methods:gradient (123)"
    assert rows["software"] == "torch 2.14.1, Python 3.11.2, Python 3.11.9"
    assert "device of the traces: cpu" in rows["machine"]
    assert "CPU seconds, summed over jobs: 8.5" in rows["used"]
