"""Checks of a study's negative controls.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stepscope.study.suggestions import did_you_mean
from stepscope.timesteps import shares

PARTNERED = {"prompt", "latent"}  # kinds that take something of another prompt's sample


def check_controls(
    config: Mapping[str, Any], prompts: Mapping[str, Sequence[Mapping[str, Any]]], where: str
) -> None:
    """Refuse controls of methods that the study has not, or that have no map to compare with.

    `prompts` are records by dataset. The ValueError begins with the file `where` and names the key.
    """
    controls, explain = config["controls"], config["explain"]
    for name in controls["methods"]:
        if name not in explain:
            raise ValueError(
                f"{where}: controls/methods: there is no method {name!r} in explain"
                f"{did_you_mean(name, explain)}."
            )
        if "learnt_from" in explain[name]:
            raise ValueError(
                f"{where}: controls/methods: {name} learns from the maps of other prompts, which "
                "the controls do not make; leave it out."
            )
        if "denoiser" in explain[name]:
            raise ValueError(
                f"{where}: controls/methods: {name} explains the Gaussian null, which has neither "
                "weights nor a prompt; leave it out."
            )
        _check_shared(name, explain[name], controls, where)
    if controls["methods"]:
        _check_samplings(explain, controls, where)
        _check_partners(controls["kinds"], prompts, where)


def _check_shared(
    name: str, entry: Mapping[str, Any], controls: Mapping[str, Any], where: str
) -> None:
    """Refuse a method that explains none of the samplings, or of the steps, of the controls."""
    for key in ("samplings", "steps"):
        asked, own = controls[key], entry[key]
        if asked is None or own is None or shares(asked) or shares(own):
            continue  # which steps leave a share is not known before there are traces
        if set(asked).isdisjoint(own):
            raise ValueError(
                f"{where}: controls/{key}: explain/{name} has none of {', '.join(map(str, asked))};"
                f" take some of its {key}, or leave it out of the controls."
            )


def _check_samplings(explain: Mapping[str, Any], controls: Mapping[str, Any], where: str) -> None:
    """Refuse a sampling that is named and that no method of the controls explains."""
    entries = [explain[name] for name in controls["methods"]]
    for sampling in controls["samplings"] or ():
        if all(entry["samplings"] and sampling not in entry["samplings"] for entry in entries):
            raise ValueError(
                f"{where}: controls/samplings: none of the methods of the controls explains "
                f"{sampling}; leave it out."
            )


def _check_partners(
    kinds: Sequence[str], prompts: Mapping[str, Sequence[Mapping[str, Any]]], where: str
) -> None:
    """Refuse kinds that need another prompt where a batch has one alone."""
    for kind in (kind for kind in kinds if kind in PARTNERED):
        for dataset, records in prompts.items():
            prompts_of = Counter(record["batch"] for record in records)
            if alone := next((name for name, number in prompts_of.items() if number == 1), None):
                raise ValueError(
                    f"{where}: controls/kinds: {kind} takes another prompt of the batch, and batch "
                    f"{alone} of the dataset {dataset} has one prompt; set fewer batches, or leave "
                    f"{' and '.join(sorted(PARTNERED))} out."
                )
