# What the crate of a study says beside what is seen in its folder.
import stepscope

ready("provenance.crate", "provenance.report")  # without an output there is no digest to fetch them

os.environ.update(STEPSCOPE_RESULTS=PATHVARS.apply("<results>"))  # for report/metadata.yaml
# The workflow's folder; of a remote module, what Snakemake has fetched of it.
CODE = ROOT / "workflow" if (ROOT / "workflow").is_dir() else Path(SOURCE).parent


def models_at_hand(wildcards):
    """Digests of the models that are explained and of those that judge, and what names them."""
    judges = {"probe (judge)": config["probe"]["model"], "ground (judge)": config["ground"]}
    judges = {
        name: entry for name, entry in judges.items() if {"folder", "repo", "name"} & {*entry}
    }
    return {
        name: {"digest": digest_of(entry), **entry}
        for name, entry in (config["models"] | judges).items()
    }


def digest_of(entry):
    """Fingerprint of a model's folder, or the revision or tag that names one of the hub."""
    if "folder" in entry:
        return digests.fingerprint(folder_at(entry["folder"]))
    return entry.get("revision") or entry["tag"]


def datasets_read(wildcards):
    """Of each dataset the digest of its records, how many they are, and its entry."""
    return {
        name: {
            "digest": digests.of_values(records),
            "size": f"{len(records)} prompts, {sum(len(each['seeds']) for each in records)} samples",
            **config["datasets"][name],
        }
        for name, records in PROMPTS.items()
    }


def own_code(wildcards):
    """Digests of the code of one's own that the study names."""
    entries = [*config["explain"].values(), *config["probe"]["readers"].values()]
    named = [entry["function"] for entry in entries]
    named += [entry["family"] for entry in config["models"].values() if "family" in entry]
    return {name: code_with(name) for name in named if not name.startswith("stepscope.")}


def span(wildcards):
    """When the first job behind the targets began and the last one ended, as Snakemake noted."""
    paths = [path for job in workflow.dag.jobs for path in job.output]
    noted = [record for record in map(workflow.persistence.metadata, paths) if record]
    began = [record.starttime for record in noted if record.starttime]
    ended = [record.endtime for record in noted if record.endtime]
    return min(began, default=None), max(ended, default=None)
