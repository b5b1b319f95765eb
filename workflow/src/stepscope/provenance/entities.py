"""Single entities of a crate, as flat JSON-LD: plain values in, plain values out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stepscope.provenance.observed import FOLDERS, Made

Entity = dict[str, Any]
BASE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
DEVELOPERS, LICENCES, ENGINE = "#stepscope-developers", "#licences", "#snakemake"
MIT = "https://spdx.org/licenses/MIT"
FORMATS = {
    ".tsv": "text/tab-separated-values",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".txt": "text/plain",
}
LICENCE = (
    "The code is under the MIT licence. The shipped models, the artwork of the composed scenes and "
    "pictures made with them are under CC BY-SA 4.0 (OpenMoji). Other models and datasets have "
    "licences of their own, which the results made with them inherit."
)
USED = {
    "jobs": "measured jobs",
    "seconds": "seconds, summed over jobs",
    "cpu_seconds": "CPU seconds, summed over jobs",
    "memory_mb": "largest resident memory of a job, in MB",
}


def given(kind: str, entries: Mapping[str, Mapping[str, Any]]) -> list[Entity]:
    """Models or datasets by name: their `digest` as identifier, what else is known in words."""
    return [
        {
            "@id": f"#{kind}-{quote(name, safe='')}",
            "@type": "CreativeWork",
            "name": f"{kind} {name}",
            "identifier": entry["digest"],
            "description": "; ".join(f"{key}: {entry[key]}" for key in entry if key != "digest"),
        }
        for name, entry in entries.items()
    ]


def own_code(digests: Mapping[str, str]) -> list[Entity]:
    """Functions and classes of one's own that the study names, with the digests of their code."""
    return [
        {
            "@id": f"#code-{quote(reference, safe='')}",
            "@type": "SoftwareSourceCode",
            "name": reference,
            "identifier": digest,
            "description": "Code of the study's own, with all that it imports below its folder.",
        }
        for reference, digest in digests.items()
    ]


def libraries(versions: Mapping[str, Sequence[str]]) -> list[Entity]:
    """What the traces were made with, an entity a version."""
    homes = {"Python": "https://docs.python.org/release/{version}/"}
    pages = {
        name: homes.get(name, f"https://pypi.org/project/{name}/{{version}}/") for name in versions
    }
    return [
        {
            "@id": pages[name].format(version=version),
            "@type": "SoftwareApplication",
            "name": name,
            "url": pages[name].format(version=version),
            "softwareVersion": version,
        }
        for name, found in versions.items()
        for version in found
    ]


def data(made: Made) -> Entity:
    """A file by its path, size and digest; of a folder what it holds."""
    entity: Entity = {"@id": quote(made.path), "@type": "File", "name": made.path}
    if made.sha256 is None:
        holds = FOLDERS[made.path.partition("/")[0]]
        return entity | {"@type": "Dataset", "description": holds}
    form = FORMATS.get(Path(made.path).suffix)
    entity |= {"encodingFormat": form} if form else {}
    return entity | {"contentSize": str(made.size), "sha256": made.sha256}


def used(usage: Mapping[str, float]) -> list[Entity]:
    """What the measured jobs used together; each one's own is in benchmarks/."""
    return [value(f"#usage-{key}", USED[key], number) for key, number in usage.items()]


def value(key: str, name: str, number: object) -> Entity:
    """A name with its value."""
    return {"@id": key, "@type": "PropertyValue", "name": name, "value": number}


def shared(engine: str) -> list[Entity]:
    """What all crates name: who, under which licences, by which engine, under which profiles."""
    return [
        {"@id": DEVELOPERS, "@type": "Organization", "name": "Stepscope developers"},
        {"@id": LICENCES, "@type": "CreativeWork", "name": "licences", "description": LICENCE},
        {"@id": MIT, "@type": "CreativeWork", "name": "MIT License", "description": "of the code"},
        {
            "@id": ENGINE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": "https://snakemake.github.io/",
            "url": "https://snakemake.github.io/",
            "version": engine,
        },
        *(
            {"@id": uri, "@type": "CreativeWork", "name": name, "version": version}
            for uri, (name, version) in PROFILES.items()
        ),
    ]


def links(entities: Iterable[Any]) -> list[Entity]:
    """References to entities, or to what has these identifiers."""
    return [{"@id": each["@id"] if isinstance(each, dict) else each} for each in entities]


def time(seconds: float) -> str:
    """Seconds since 1970 as a time in UTC, as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
