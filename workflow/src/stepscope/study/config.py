"""A study's configuration: defaults and checks, without the science stack.

A Snakefile imports this module, so it uses only what Snakemake itself needs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stepscope.study import values
from stepscope.study.suggestions import did_you_mean
from stepscope.study.values import Schema
from stepscope.timesteps import USUAL, named_count, shares, step_count, without_levels


def check(config: dict[str, Any], schema: Schema, where: str) -> None:
    """Fill the schema's defaults into `config` and refuse what the schema does not allow.

    The ValueError is one sentence that names the file `where` and the key.
    """
    values.check_keys(config, where)  # before names are looked up
    _fill(config, schema, schema)
    values.check(config, schema, where)


def _fill(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Set missing keys of nested mappings to their defaults, in place."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[-1]]
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for name, inner in properties.items():
        if "default" in inner and name not in value:
            value[name] = _copy(inner["default"])
        if name in value:
            _fill(value[name], inner, root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name in value.keys() - properties.keys():
            _fill(value[name], extra, root)


def _copy(value: Any) -> Any:
    """A default's own copy, so that one study's change never reaches the schema."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def check_references(config: Mapping[str, Any], where: str) -> None:
    """Refuse samplings that the study does not define, and steps that a sampling does not have.

    With models of the hub, whose schedulers are not at hand, so are samplings refused that do not
    fit the usual number of trained time steps (`models.noise_levels` checks those of a folder).

    The ValueError begins with the file `where` and names the key.
    """
    samplings = config["samplings"]
    for name, sampling in samplings.items():
        try:
            if any("repo" in model for model in config["models"].values()):
                without_levels(sampling, USUAL)
        except ValueError as error:
            raise ValueError(f"{where}: samplings/{name}/{error}") from None
    entries = {f"explain/{name}": entry for name, entry in config["explain"].items()}
    for key in ("games", "head_games", "convergence", "controls"):
        entries[key] = config[key]
    for key in ("commitment", "nulls"):
        entries[key] = {"samplings": config[key]["samplings"], "steps": None}
    entries["linear_probes"] = config["linear_probes"]
    readers = config["probe"]["readers"]
    entries |= {f"probe/readers/{name}": entry for name, entry in readers.items()}
    for key in ("contrast", "linear_probes"):
        if (reader := config[key]["reader"]) is not None and reader not in readers:
            raise ValueError(
                f"{where}: {key}/reader: there is no {reader!r} among probe/readers"
                f"{did_you_mean(reader, readers)}."
            )
    for key, entry in entries.items():
        for name in entry["samplings"] or ():
            if name not in samplings:
                raise ValueError(
                    f"{where}: {key}/samplings: there is no sampling {name!r}"
                    f"{did_you_mean(name, samplings)}."
                )
        for name in entry["samplings"] or samplings:
            if "steps" not in entry:
                continue  # a reader reads all
            count, steps = step_count(samplings[name]), entry["steps"]
            most = named_count(steps, samplings[name]) if shares(steps) else max(steps or [count])
            if most > count:
                raise ValueError(
                    f"{where}: {key}/steps: sampling {name} has {count} steps, not {most}."
                )


def check_learning(config: Mapping[str, Any], where: str) -> None:
    """Refuse a method that learns from one without maps by head, or not on all of its samplings.

    The ValueError begins with the file `where` and names the key.
    """
    every = list(config["samplings"])
    for name, entry in config["explain"].items():
        if (other := entry.get("learnt_from")) is None:
            continue
        learnt = config["explain"].get(other, {})
        used = learnt.get("samplings") or every
        lacking = [one for one in entry["samplings"] or every if one not in used]
        if learnt.get("heads") != "all" or lacking:
            raise ValueError(
                f"{where}: explain/{name}/learnt_from: {other!r} is no method with heads: all on "
                f"{', '.join(lacking or entry['samplings'] or every)}."
            )


def check_families(config: Mapping[str, Any], where: str) -> None:
    """Refuse concept families to swap that the probe does not read.

    The ValueError begins with the file `where` and names the key.
    """
    known = config["probe"]["families"]
    for name in config["commitment"]["families"] or ():
        if name not in known:
            raise ValueError(
                f"{where}: commitment/families: probe has no family {name!r}"
                f"{did_you_mean(name, known)}."
            )


def check_folders(
    config: Mapping[str, Any], exists: Callable[[str], bool], where: str, root: str
) -> None:
    """Refuse models and judges whose folders do not exist, here or in the repository `root`.

    The ValueError begins with the file `where` and names the key.
    """
    entries = {f"models/{name}": entry for name, entry in config["models"].items()}
    entries |= {"ground": config["ground"], "probe/model": config["probe"]["model"]}
    for key, entry in entries.items():
        if "folder" in entry and not exists(folder := entry["folder"]):
            raise ValueError(
                f"{where}: {key}/folder: {folder} is no folder, neither here nor in {root}."
            )


def check_pictures(
    config: Mapping[str, Any], prompts: Mapping[str, Sequence[Mapping[str, Any]]], where: str
) -> None:
    """Refuse to trace pictures that a dataset has not, or to invert what cannot be inverted.

    `prompts` are records by dataset; the ValueError begins with the file `where`.
    """
    scheduler = config["scheduler"]
    random = scheduler["name"] == "ddpm"
    for name, entry in config["datasets"].items():
        if entry["trace"] == "invert" and (random or scheduler["order"] > 1):
            raise ValueError(
                f"{where}: datasets/{name}/trace: inversion needs steps without noise and history, "
                "the scheduler dpmsolver++ of order 1 or euler."
            )
        for record in prompts[name]:
            if entry["trace"] != "generate" and not record["image"]:
                raise ValueError(
                    f"{where}: datasets/{name}/trace: {entry['trace']} needs a picture for each "
                    f"prompt, and {record['prompt_id']} has none."
                )
