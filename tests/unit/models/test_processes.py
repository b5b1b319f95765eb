"""Whether a model is a diffusion or a flow is read off its scheduler, or it is refused."""

import json

import pytest
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    IPNDMScheduler,
    LCMScheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
)

from stepscope.models import pipelines, processes
from support.workflow import ROOT

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
CONTINUOUS = {"timestep_type": "continuous", "prediction_type": "v_prediction"}
UNIFORM = {"kind": "uniform", "steps": 4}
EARLY = {"kind": "early", "steps": 4, "gamma": 60}
DPM, EULER, DDPM = {"name": "dpmsolver++"}, {"name": "euler"}, {"name": "ddpm"}


def folder_with(path, scheduler, index=None):
    """The part of a pipeline's folder that says what it is."""
    scheduler.save_pretrained(path / "scheduler")
    content = {
        "_class_name": "StableDiffusionXLPipeline",
        "scheduler": ["diffusers", index or type(scheduler).__name__],
    }
    (path / "model_index.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("scheduler", "process"),
    [
        (DDIMScheduler(), "diffusion"),
        (EulerDiscreteScheduler(prediction_type="v_prediction"), "diffusion"),
        (LCMScheduler(), "diffusion"),
        (FlowMatchEulerDiscreteScheduler(), "flow"),
        (FlowMatchHeunDiscreteScheduler(), "flow"),
        (DPMSolverMultistepScheduler(**FLOW), "flow"),
        (UniPCMultistepScheduler(**FLOW), "flow"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_folder_says_what_its_model_is(tmp_path, scheduler, process):
    found, config = processes.read(folder_with(tmp_path, scheduler))
    assert found == process
    assert config["_class_name"] == type(scheduler).__name__


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (EDMDPMSolverMultistepScheduler(), "EDM's preconditioning"),  # as Playground 2.5 has
        (EDMEulerScheduler(), "EDM's preconditioning"),
        (IPNDMScheduler(), "is not known"),
        (UnCLIPScheduler(), "is not known"),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True), "contradicts itself"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "runs backwards"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_known_is_refused_before_weights_load(tmp_path, scheduler, message):
    folder = folder_with(tmp_path, scheduler)  # without any weights
    path = folder / "scheduler" / "scheduler_config.json"
    with pytest.raises(ValueError, match=message) as error:
        processes.check_folder(folder, DPM, {"uniform": UNIFORM})
    assert str(error.value).startswith(f"{path}: scheduler: ")
    for load in (pipelines.load, pipelines.load_texts):
        with pytest.raises(ValueError, match=message):
            load({"folder": str(folder)})


def test_another_class_in_the_index_is_of_the_same_kind(tmp_path):
    folder = folder_with(tmp_path, DDIMScheduler(), "EulerDiscreteScheduler")
    assert processes.read(folder)[0] == "diffusion"
    folder = folder_with(tmp_path, DDIMScheduler(), "FlowMatchEulerDiscreteScheduler")
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler .* contradict each"):
        processes.read(folder)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_torn_configuration_is_named(tmp_path, text):
    folder = folder_with(tmp_path, DDIMScheduler())
    (folder / "scheduler" / "scheduler_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"scheduler_config.json is no JSON (file|object)"):
        processes.read(folder)


@pytest.mark.parametrize(
    ("scheduler", "spec", "samplings", "message"),
    [
        (FlowMatchEulerDiscreteScheduler(), DDPM, [UNIFORM], "scheduler/name: ddpm is no solver"),
        (FlowMatchEulerDiscreteScheduler(), DPM, [UNIFORM, EARLY], "samplings: early names time"),
        (DPMSolverMultistepScheduler(**FLOW), DPM, [EARLY], "samplings: early names time"),
        (FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), EULER, [UNIFORM], ".* shifts"),
        (EulerDiscreteScheduler(**CONTINUOUS), EULER, [UNIFORM], "scheduler: .* takes noise level"),
    ],
)
def test_a_solver_that_does_not_fit_the_model_is_refused(
    tmp_path, scheduler, spec, samplings, message
):
    folder = folder_with(tmp_path, scheduler)
    named = dict(enumerate(samplings))
    with pytest.raises(ValueError, match=rf"^{message}"):
        processes.check_folder(folder, spec, named)
    processes.check_folder(folder_with(tmp_path, DDIMScheduler()), spec, named)


def test_the_shipped_and_an_unfinished_folder_pass(tmp_path):
    shipped = ROOT / "resources" / "models" / "pipeline"
    processes.check_folder(shipped, DPM, {"early": EARLY})
    processes.check_folder(tmp_path, DPM, {"early": EARLY})  # its job says what lacks
