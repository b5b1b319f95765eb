"""What a study asks for: which methods explain what, and what a job needs to know of its prompts.

A Snakefile imports this module, so nothing here may import the science stack.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from stepscope.study.datasets import composed
from stepscope.study.datasets.row import Record
from stepscope.timesteps import EXPONENTIAL, shares

GENERATION = ("scheduler", "guidance", "negative_prompt", "height", "width", "storage")
# Entries of the config that say on which samplings a table is measured.
SETTINGS = {
    "rq1_convergence": "convergence",
    "rq1_substrates": "games",
    "rq2_head_games": "head_games",
    "rq3_commitment": "commitment",
    "rq3_decided": "commitment",
    "rq3_nulls": "nulls",
    "rq3_earliest": "commitment",
    "rq3_probes": "linear_probes",
    "rq3_probes_summary": "linear_probes",
}
PROMPT = ("prompt_id", "prompt", "seeds", "roles")  # what generation needs of a prompt


class Plan:
    """A checked study's config and the records of its prompts by dataset."""

    def __init__(self, config: Mapping[str, Any], prompts: Mapping[str, list[Record]]) -> None:
        self.config = config
        self.prompts = prompts

    @cached_property
    def in_batch(self) -> dict[str, dict[str, list[Record]]]:
        """Records by dataset and batch; a scan of all prompts in every job would be quadratic."""
        batches: dict[str, dict[str, list[Record]]] = {}
        for dataset, records in self.prompts.items():
            of_dataset = batches.setdefault(dataset, {})
            for record in records:
                of_dataset.setdefault(record["batch"], []).append(record)
        return batches

    def batches(self, dataset: str | None = None) -> list[str]:
        """Names of the batches of one dataset, or of all."""
        datasets = [dataset] if dataset else list(self.prompts)
        return sorted({batch for name in datasets for batch in self.in_batch[name]})

    def units(self, samplings: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
        """Wildcards of every model, dataset, sampling and batch, of all samplings or of some."""
        for dataset in self.prompts:
            for model in self.config["models"]:
                for sampling in samplings or self.config["samplings"]:
                    for batch in self.batches(dataset):
                        yield {
                            "model": model,
                            "dataset": dataset,
                            "sampling": sampling,
                            "batch": batch,
                        }

    def used_on(self, sampling: str) -> list[str]:
        """Methods that explain a sampling."""
        return [
            method
            for method, entry in self.config["explain"].items()
            if sampling in (entry["samplings"] or self.config["samplings"])
        ]

    def is_played(self, method: str) -> bool:
        """Whether a method has maps at any step that the games are played on, as far as is known.

        Steps that are named by the error left may be any until there are traces.
        """
        if not self.config["explain"][method].get("games", True):
            return False
        named = (self.config["explain"][method]["steps"], self.config["games"]["steps"])
        if not all(named) or any(map(shares, named)):
            return True
        explained, played = named
        return not set(explained).isdisjoint(played)

    def games(self, baselines: str) -> Iterator[dict[str, str]]:
        """Wildcards of every game; `baselines` is the name that those play under."""
        for sampling in self.config["games"]["samplings"] or self.config["samplings"]:
            for method in [baselines, *filter(self.is_played, self.used_on(sampling))]:
                for unit in self.units([sampling]):
                    yield unit | {"method": method}

    def controlled_on(self, sampling: str) -> list[str]:
        """Methods whose negative controls are run on a sampling."""
        controls = self.config["controls"]
        if sampling not in (controls["samplings"] or self.config["samplings"]):
            return []
        return [name for name in self.used_on(sampling) if name in controls["methods"]]

    def measured_on(self, table: str) -> list[str] | None:
        """Samplings that a table is about; None for all."""
        if table == "rq1_controls":
            return [name for name in self.config["samplings"] if self.controlled_on(name)]
        return self.config.get(SETTINGS.get(table, ""), {}).get("samplings")

    def readers_of(self, sampling: str) -> dict[str, dict[str, Any]]:
        """Entries of the readers beside the CLIP that read a sampling, without where they read."""
        return {
            name: {key: value for key, value in entry.items() if key != "samplings"}
            for name, entry in self.config["probe"]["readers"].items()
            if sampling in (entry["samplings"] or self.config["samplings"])
        }

    @cached_property
    def contrasted(self) -> dict[str, list[str]]:
        """The uniform sampling and the exponential ones that are held against it; none without."""
        kinds = {name: entry["kind"] for name, entry in self.config["samplings"].items()}
        uniform = [name for name, kind in kinds.items() if kind == "uniform"][:1]
        denser = [name for name, kind in kinds.items() if kind in EXPONENTIAL]
        return {name: denser for name in uniform if denser}

    def contrasts(self) -> Iterator[dict[str, str]]:
        """Wildcards of every batch of generated pictures under the uniform sampling."""
        for unit in self.units(list(self.contrasted)) if self.contrasted else ():
            if self.generates(unit["dataset"]):
                yield unit

    def method_entry(self, method: str) -> dict[str, Any]:
        """A method's entry without where it and its maps are used, which must not rerun it."""
        entry = self.config["explain"][method]
        return {key: value for key, value in entry.items() if key not in ("samplings", "games")}

    def needs_masks(self, method: str) -> bool:
        """Whether a method asks for the objects' region (step.mask) by its parameters."""
        entry = self.config["explain"][method]
        return "region" in (entry.get("score"), entry.get("target"))

    def needs_moments(self, method: str) -> bool:
        """Whether a method explains the Gaussian null in the place of the model."""
        return "denoiser" in self.config["explain"][method]

    def is_judged(self, method: str) -> bool:
        """Whether a method compares pictures by the features of the CLIP."""
        entry = self.config["explain"][method]
        variants = entry.get("variants")  # of a method of one's own anything
        asked = variants if isinstance(variants, list) else []
        return "features" in (entry.get("similarity"), *asked)

    def by_head(self, sampling: str) -> list[str]:
        """Methods whose maps are by attention head, of those that explain a sampling."""
        explain = self.config["explain"]
        return [name for name in self.used_on(sampling) if explain[name].get("heads") == "all"]

    def learns(self, method: str) -> bool:
        """Whether a method learns from what the heads of another one find."""
        return "learnt_from" in self.config["explain"][method]

    def prompts_in_batch(self, dataset: str, batch: str) -> list[Record]:
        """What generation needs of a batch: editing one prompt then reruns one batch."""
        names = PROMPT if self.generates(dataset) else (*PROMPT, "image")
        return [{name: record[name] for name in names} for record in self.in_batch[dataset][batch]]

    def generates(self, dataset: str) -> bool:
        """Whether a dataset's pictures are made from its prompts, not given."""
        return self.config["datasets"][dataset]["trace"] == "generate"

    def is_exact(self, dataset: str) -> bool:
        """Whether a dataset's pictures are composed scenes as they are, so that masks are exact."""
        return composed.is_exact(self.config["datasets"][dataset])

    def true_masks(self, dataset: str, batch: str) -> dict[str, str | dict[str, Any]]:
        """Folder of masks, or picture with boxes, of each prompt of a batch that has them."""
        if self.config["ground"]["kind"] != "masks" and not self.is_exact(dataset):
            return {}
        records = self.in_batch[dataset][batch]
        return {record["prompt_id"]: record["masks"] for record in records if record["masks"]}

    def generation_of(self, dataset: str, sampling: str) -> dict[str, Any]:
        """Settings that the traces of a dataset and sampling depend on."""
        kind = self.config["datasets"][dataset]["trace"]
        return {
            **{name: self.config[name] for name in GENERATION},
            "sampling": self.config["samplings"][sampling],
            **({} if kind == "generate" else {"trace": kind}),
        }

    def pictured(self, prompts: int, samplings: Sequence[str]) -> list[Record]:
        """Records of the first prompts of each dataset, with their first seed, per model.

        The first ones of each table, not chosen by how they look.
        """
        return [
            {
                "model": model,
                "dataset": dataset,
                "sampling": sampling,
                "batch": record["batch"],
                "prompt_id": record["prompt_id"],
                "prompt": record["prompt"],
                "seed": record["seeds"][0],
            }
            for model in self.config["models"]
            for dataset, records in self.prompts.items()
            for record in records[:prompts]
            for sampling in samplings
        ]

    def films(self) -> Iterator[dict[str, str]]:
        """Wildcards of a film of each method on the first sampling that it is used on."""
        for method in self.config["explain"]:
            for sampling in self.first_sampling(method):
                for model in self.config["models"]:
                    for dataset in self.prompts:
                        yield {
                            "model": model,
                            "dataset": dataset,
                            "sampling": sampling,
                            "method": method,
                        }

    def preferred(self, *methods: str) -> str:
        """The first of these methods that the study has, otherwise its first method."""
        explain = self.config["explain"]
        return next((method for method in methods if method in explain), next(iter(explain)))

    def first_sampling(self, method: str) -> list[str]:
        """The first sampling that a method is used on, as a list of one."""
        return (self.config["explain"][method]["samplings"] or list(self.config["samplings"]))[:1]
