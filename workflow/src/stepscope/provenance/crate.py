"""A finished study as a Workflow Run RO-Crate: one JSON-LD file beside its results, which stay.

The crate is the study's folder. Its profile is Workflow Run Crate 0.5
(https://w3id.org/ro/wfrun/workflow/0.5): one run of one workflow, with what it was given and what
it made. Jobs are counted, not described one by one.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rocrate.rocrate import ROCrate

from stepscope.outputs import written
from stepscope.provenance import entities, observed
from stepscope.provenance.entities import DEVELOPERS, ENGINE, LICENCES, MIT, Entity, links
from stepscope.provenance.observed import Made, Revision

METADATA = "ro-crate-metadata.json"
# Written beside the results: the study with every default, the workflow, what is installed.
KEPT = {"config.yaml": "config", "Snakefile": "workflow", "software.txt": "software"}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # beside those of RO-Crate itself
RUN, MACHINE = "#run", "#machine"


@dataclass(frozen=True)
class Study:
    """What the workflow knows of a finished study.

    `models` and `datasets` have by name their `digest` and what else is known of them, `own` the
    digest of each function and class of one's own. `began` and `ended` are when the first of the
    jobs behind the results began and the last one ended, in seconds since 1970, None if not noted.
    """

    config: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    own: Mapping[str, str]
    began: float | None
    ended: float | None
    version: str


@dataclass(frozen=True)
class Seen:
    """What can be seen of its run: see `observed`; `written` is now, in seconds since 1970."""

    revision: Revision
    results: Sequence[Made]
    kept: Sequence[Made]
    software: Mapping[str, str]
    traced_with: Mapping[str, Sequence[str]]
    usage: Mapping[str, float]
    machine: Mapping[str, str]
    written: float


def write(
    *,
    results: str,
    snakefile: str,
    code: str,
    span: tuple[float | None, float | None],
    **known: Any,
) -> None:
    """Write the crate of a study into its folder `results`; whoever reads it sees all or nothing.

    `snakefile` is the workflow's, `code` the folder of its files; `known` are the keys of `Study`
    that are left.
    """
    folder = Path(results)
    software = observed.software()
    study = Study(**known, began=span[0], ended=span[1])
    texts = {
        "config.yaml": yaml.safe_dump(dict(study.config), sort_keys=False, allow_unicode=True),
        "Snakefile": Path(snakefile).read_text("utf-8"),
        "software.txt": "".join(f"{name}=={version}\n" for name, version in software.items()),
    }
    places = [folder / "provenance" / name for name in KEPT]
    places[0].parent.mkdir(exist_ok=True)
    with written([str(path) for path in (*places, folder / METADATA)], []) as drafts:
        for draft, text in zip(drafts, texts.values(), strict=False):
            Path(draft).write_text(text, encoding="utf-8")
        kept = [
            Made(f"provenance/{name}", len(text.encode()), observed.sha256(Path(draft)))
            for draft, (name, text) in zip(drafts, texts.items(), strict=False)
        ]
        seen = Seen(
            revision=observed.revision(Path(code)),
            results=observed.made(folder),
            kept=kept,
            software=software,
            traced_with=observed.traced_with(folder),
            usage=observed.usage(folder),
            machine=observed.machine(),
            written=time.time(),
        )
        Path(drafts[-1]).write_text(json.dumps(document(study, seen), indent=1) + "\n", "utf-8")


def document(study: Study, seen: Seen) -> dict[str, Any]:
    """The crate as JSON-LD: descriptor, folder and run first, then all that these name."""
    devices = seen.traced_with.get("device", ["unknown"])
    libraries = entities.libraries({k: v for k, v in seen.traced_with.items() if k != "device"})
    models = entities.given("model", study.models)
    datasets = entities.given("dataset", study.datasets)
    own, used = entities.own_code(study.own), entities.used(seen.usage)
    config, workflow, software = map(entities.data, seen.kept)
    results = [entities.data(made) for made in seen.results]
    facts = [
        entities.value(f"#machine-{number}", name, fact)
        for number, (name, fact) in enumerate(
            {**seen.machine, "device of the traces": ", ".join(devices)}.items()
        )
    ]
    config["description"] = "the study, with every default"
    software["description"] = "what is installed where the crate was written"
    workflow |= _workflow(study, seen.revision, libraries)
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": links([entities.BASE, entities.WORKFLOW_CRATE]),
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Stepscope study {study.config['study']}",
            "description": _description(study.config),
            "datePublished": entities.time(seen.written),
            "author": {"@id": DEVELOPERS},
            "license": {"@id": LICENCES},
            "conformsTo": links(entities.PROFILES),
            "mainEntity": links([workflow])[0],
            "mentions": links([RUN, MACHINE]),
            "hasPart": links([config, workflow, software, *results]),
        },
        {
            "@id": RUN,
            "@type": "CreateAction",
            "name": f"run of the study {study.config['study']}",
            "description": "All jobs behind the results, reruns of single ones included.",
            "instrument": links([workflow])[0],
            "object": links([config, *models, *datasets, *own]),
            "result": links(results),
            "resourceUsage": links(used),
            "actionStatus": "http://schema.org/CompletedActionStatus",
            **({"startTime": entities.time(study.began)} if study.began else {}),
            **({"endTime": entities.time(study.ended)} if study.ended else {}),
        },
        {
            "@id": MACHINE,
            "@type": "IndividualProduct",
            "name": "machine",
            "description": "The machine on which the crate was written; jobs may have run on "
            "others, whose devices the traces name.",
            "additionalProperty": links(facts),
        },
        *(config, workflow, software, *results),
        *(*models, *datasets, *own, *libraries, *used, *facts),
        *entities.shared(seen.software.get("snakemake", "unknown")),
    ]
    made = ROCrate(version="1.1")  # which the profile builds on
    made.metadata.extra_contexts.append(TERMS)
    for entity in graph:
        made.add_or_update_jsonld(entity)
    return made.metadata.generate()


def _workflow(study: Study, revision: Revision, libraries: Sequence[Entity]) -> Entity:
    """What the main workflow's file says beside its size and digest."""
    commit, clean, digest = revision
    state = "its files as committed" if clean else "with changes that are not committed"
    at = f"commit {commit}, {state}" if commit else "not from a git repository"
    suffix = digest if commit is None else commit[:12] if clean else f"{commit[:12]}.changed"
    return {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "Stepscope",
        "encodingFormat": "text/plain",
        "description": f"Code: {at}; digest of all its files: {digest}.",
        "version": f"{study.version}+{suffix}",
        "identifier": digest if commit is None else commit,
        "license": {"@id": MIT},
        "author": {"@id": DEVELOPERS},
        "programmingLanguage": {"@id": ENGINE},
        "softwareRequirements": links(libraries),
    }


def _description(config: Mapping[str, Any]) -> str:
    """What the study asks, in a sentence."""
    models, datasets, samplings = (
        ", ".join(config[key]) for key in ("models", "datasets", "samplings")
    )
    return (
        "What a text-to-image diffusion model does at each time step. "
        f"Models: {models}; datasets: {datasets}; samplings: {samplings}."
    )
