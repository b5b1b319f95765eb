"""Whether a model is a diffusion or a flow, as its scheduler's class and configuration say.

A Snakefile imports this module, so it uses the standard library alone, and reads what a folder says
before any weights load.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from stepscope.models.weight_files import read_json

Process = Literal["diffusion", "flow"]

# Schedulers of the library that noise by betas; some of them can be set to a flow's path.
DIFFUSION = (
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
FLOW = (
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
)
EDM = ("CosineDPMSolverMultistepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler")
FLOW_SOLVERS = ("dpmsolver++", "euler")


def process_of(classes: Iterable[str], config: Mapping[str, Any]) -> Process:
    """What a scheduler walks through, by the names of its class and bases and its configuration.

    Only positive signs decide: what is not known, and what contradicts itself, is a ValueError.
    """
    named = list(classes)
    name = next((name for name in named if name in (*DIFFUSION, *FLOW, *EDM)), named[0])
    if name in EDM:
        raise ValueError(
            f"scheduler: {name} belongs to a model that was trained with EDM's preconditioning, "
            "which is not supported: every other scheduler would sample it wrongly."
        )
    if name in FLOW:
        if config.get("invert_sigmas"):
            raise ValueError(
                f"scheduler: {name} has invert_sigmas on, and a flow whose time runs backwards is "
                "not supported."
            )
        return "flow"
    if name not in DIFFUSION:
        raise ValueError(
            f"scheduler: whether {name} belongs to a diffusion or to a model of flow matching is "
            "not known."
        )
    path = bool(config.get("use_flow_sigmas"))
    prediction_type = config.get("prediction_type", "epsilon")
    if path != (prediction_type == "flow_prediction"):
        raise ValueError(
            f"scheduler: {name} contradicts itself, with use_flow_sigmas {path} and "
            f"prediction_type {prediction_type}; a model of flow matching has use_flow_sigmas True "
            "and prediction_type flow_prediction, a diffusion neither."
        )
    return "flow" if path else "diffusion"


def check_solver(
    spec: Mapping[str, Any],
    sampling: Mapping[str, Any],
    process: Process,
    config: Mapping[str, Any],
) -> None:
    """Refuse a solver {"name"} that cannot walk through a sampling of a model.

    `config` is the configuration of the model's own scheduler, of which the noise levels are taken.
    """
    name, kind = spec["name"], sampling["kind"]
    if process == "diffusion":
        continuous = config.get("timestep_type") == "continuous"
        if continuous and config.get("prediction_type") == "v_prediction":
            raise ValueError(
                "scheduler: the model takes noise levels in place of time steps (timestep_type "
                "continuous with v_prediction), which is not supported."
            )
        return
    if name not in FLOW_SOLVERS:
        raise ValueError(
            f"scheduler/name: {name} is no solver for a model of flow matching "
            f"({', '.join(FLOW_SOLVERS)})."
        )
    if config.get("use_dynamic_shifting"):
        raise ValueError(
            "scheduler: the model shifts its noise levels by the picture's size "
            "(use_dynamic_shifting), which a stored step cannot replay."
        )
    if kind != "uniform" and name != "euler":
        raise ValueError(
            f"samplings: {kind} names time steps, which a model of flow matching takes for the "
            "scheduler euler alone."
        )


def read(folder: Path) -> tuple[Process, dict[str, Any]] | None:
    """What a pipeline's folder is, and its scheduler's configuration; None where one is missing.

    The class that loads is that of model_index.json, and the one that was saved, which can be
    another, must be of the same kind.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    index_path = folder / "model_index.json"
    if not (path.is_file() and index_path.is_file()):
        return None
    config, index = read_json(path), read_json(index_path)
    entry = index.get("scheduler")
    loaded = entry[-1] if isinstance(entry, list) and entry else None
    names = [name for name in (loaded, config.get("_class_name")) if isinstance(name, str)]
    if not names:
        raise ValueError(f"{path}: scheduler: no class is named.")
    try:
        found = {process_of([name], config) for name in names}
        if len(found) > 1:
            raise ValueError(
                f"scheduler: {names[0]} of model_index.json and the {names[1]} that was saved "
                "contradict each other: one is of a diffusion, the other of flow matching."
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return found.pop(), config


def check_folder(
    folder: Path, spec: Mapping[str, Any], samplings: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a study's solver and samplings that the model in a folder cannot be walked through by.

    What is wrong is a ValueError.
    """
    if known := read(folder):
        for sampling in samplings.values():
            check_solver(spec, sampling, *known)
