"""A study's configuration: defaults and checks, without the science stack.

A Snakefile imports this module, so it uses only what Snakemake itself needs.
"""

from collections.abc import Callable
from difflib import get_close_matches

import jsonschema


def check(config: dict, schema: dict, place: str) -> None:
    """Fill the schema's defaults into ``config`` and refuse what it does not allow.

    The ValueError is one sentence that names the file and the key.
    """
    _fill(config, schema, schema)
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(config)
    )
    if error is None:
        return
    key = "/".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in known)
        hint = "".join(f", did you mean {near}" for near in get_close_matches(name, known, 1))
        at = f"{key}/{name}" if key else name
        raise ValueError(f"{place}: {at}: the key is not known{hint}.")
    if error.validator in ("oneOf", "anyOf"):
        message = f"{error.instance!r} is not {error.schema['description']}"
    else:
        message = error.message
    raise ValueError(f"{place}: {key + ': ' if key else ''}{message}.")


def _fill(value: object, schema: dict, root: dict) -> None:
    """Set missing keys of nested mappings to their defaults, in place."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        if "default" in inner and name not in value:
            value[name] = _copy(inner["default"])
        if name in value:
            _fill(value[name], inner, root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name in value.keys() - schema.get("properties", {}).keys():
            _fill(value[name], extra, root)


def _copy(value: object) -> object:
    """A default's own copy, so that one study's change never reaches the schema."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def check_references(config: dict, place: str) -> None:
    """Refuse names of samplings that the study does not define, and steps that it does not have."""
    samplings = config["samplings"]
    places = {f"explain/{name}": entry for name, entry in config["explain"].items()}
    for key, entry in {**places, "games": config["games"]}.items():
        for name in entry["samplings"] or ():
            if name not in samplings:
                raise ValueError(f"{place}: {key}/samplings: there is no sampling {name!r}.")
        for name in entry["samplings"] or samplings:
            count = step_count(samplings[name])
            for number in entry["steps"] or ():
                if number > count:
                    raise ValueError(
                        f"{place}: {key}/steps: sampling {name} has {count} steps, not {number}."
                    )


def step_count(sampling: dict) -> int:
    """Number of steps of a sampling's entry."""
    return sampling.get("steps") or len(sampling["timesteps"])


def check_folders(config: dict, exists: Callable[[str], bool], place: str, root: str) -> None:
    """Refuse models and judges whose folders do not exist."""
    named = {f"models/{name}": entry for name, entry in config["models"].items()}
    named |= {"ground": config["ground"], "probe/model": config["probe"]["model"]}
    for key, entry in named.items():
        if "folder" in entry and not exists(folder := entry["folder"]):
            raise ValueError(
                f"{place}: {key}/folder: {folder} is no folder, neither here nor in {root}."
            )


def check_pictures(config: dict, prompts: dict[str, list[dict]], place: str) -> None:
    """Refuse to trace pictures that a dataset has not, or to invert what cannot be inverted."""
    scheduler = config["scheduler"]
    random = scheduler["name"] == "ddpm"
    for name, entry in config["datasets"].items():
        if entry["trace"] == "invert" and (random or scheduler["order"] > 1):
            raise ValueError(
                f"{place}: datasets/{name}/trace: inversion needs steps without noise and history, "
                "the scheduler dpmsolver++ of order 1 or euler."
            )
        for row in prompts[name]:
            if entry["trace"] != "generate" and not row["image"]:
                raise ValueError(
                    f"{place}: datasets/{name}/trace: {entry['trace']} needs a picture for each "
                    f"prompt, and {row['prompt_id']} has none."
                )
