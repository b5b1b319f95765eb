"""The landing page of Snakemake's report: what the study's crate says, in one table."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepscope.provenance.crate import MACHINE, METADATA, RUN

Entities = Mapping[str, Mapping[str, Any]]


def page(results: str) -> str:
    """The table as reStructuredText, of the study whose results are in a folder.

    A ValueError says how the crate is made that it is read from.
    """
    path = Path(results, METADATA)
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `snakemake provenance` first.")
    graph = json.loads(path.read_text("utf-8"))["@graph"]
    return table(facts({entity["@id"]: entity for entity in graph}))


def facts(entities: Entities) -> dict[str, str]:
    """What a reader wants to know first, by name, from the entities of a crate by identifier."""
    root, run, machine = entities["./"], entities[RUN], entities[MACHINE]
    workflow = entities[root["mainEntity"]["@id"]]
    given = [entities[link["@id"]] for link in run["object"]]
    named = [f"{each['name']} ({each['identifier']})" for each in given if "identifier" in each]
    versions = [
        f"{each['name']} {each['softwareVersion']}"
        for each in _linked(entities, workflow["softwareRequirements"])
    ]
    return {
        "study": root["name"],
        "code": f"{workflow['name']} {workflow['version']}. {workflow['description']}",
        "made from": ", ".join(named),
        "begun": run.get("startTime", "unknown"),
        "ended": run.get("endTime", "unknown"),
        "used": _values(entities, run["resourceUsage"]),
        "software": ", ".join(versions),
        "machine": _values(entities, machine["additionalProperty"]),
        "licences": entities[root["license"]["@id"]]["description"],
    }


def _linked(entities: Entities, links: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
    return [entities[link["@id"]] for link in links]


def _values(entities: Entities, links: Sequence[Mapping[str, str]]) -> str:
    return "; ".join(f"{each['name']}: {each['value']}" for each in _linked(entities, links))


def table(rows: Mapping[str, str]) -> str:
    """Names and values as HTML in reStructuredText.

    Snakemake 9.27 puts docutils' pseudo-XML of a text into the page, in which markup is lost and
    HTML is not.
    """
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f".. raw:: html\n\n   <table>{cells}</table>\n"
