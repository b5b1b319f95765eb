"""Stepscope: what a text-to-image diffusion model does at each of its time steps.

What a notebook needs is here by name, and is imported when it is first used: importing the package
alone takes no time, so that a Snakefile may.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepscope.diffusion.denoiser import Denoiser
    from stepscope.diffusion.step import Step
    from stepscope.methods.attention import attention
    from stepscope.methods.cross_attention import cross_attention
    from stepscope.methods.df_cam import df_cam, df_cam_word
    from stepscope.methods.df_rise import df_rise
    from stepscope.methods.integrated_gradients import gradient_times_input, integrated_gradients
    from stepscope.methods.lime import lime
    from stepscope.methods.method import Layers, method
    from stepscope.methods.occlusion import occlusion
    from stepscope.methods.relevance import relevance
    from stepscope.methods.word_information import word_information
    from stepscope.methods.word_removal import word_removal
    from stepscope.methods.word_values import word_values
    from stepscope.models.pipelines import load
    from stepscope.store.maps import read_maps as open_maps
    from stepscope.store.traces import open_trace
    from stepscope.tracing.call import trace
    from stepscope.tracing.steps import steps

__version__ = "0.1.0"
__all__ = [
    "Denoiser",
    "Layers",
    "Step",
    "attention",
    "cross_attention",
    "df_cam",
    "df_cam_word",
    "df_rise",
    "gradient_times_input",
    "integrated_gradients",
    "lime",
    "load",
    "method",
    "occlusion",
    "open_maps",
    "open_trace",
    "relevance",
    "steps",
    "trace",
    "word_information",
    "word_removal",
    "word_values",
]
_PLACES = {
    "Denoiser": "stepscope.diffusion.denoiser:Denoiser",
    "Layers": "stepscope.methods.method:Layers",
    "Step": "stepscope.diffusion.step:Step",
    "attention": "stepscope.methods.attention:attention",
    "cross_attention": "stepscope.methods.cross_attention:cross_attention",
    "df_cam": "stepscope.methods.df_cam:df_cam",
    "df_cam_word": "stepscope.methods.df_cam:df_cam_word",
    "df_rise": "stepscope.methods.df_rise:df_rise",
    "gradient_times_input": "stepscope.methods.integrated_gradients:gradient_times_input",
    "integrated_gradients": "stepscope.methods.integrated_gradients:integrated_gradients",
    "lime": "stepscope.methods.lime:lime",
    "load": "stepscope.models.pipelines:load",
    "method": "stepscope.methods.method:method",
    "occlusion": "stepscope.methods.occlusion:occlusion",
    "open_maps": "stepscope.store.maps:read_maps",
    "open_trace": "stepscope.store.traces:open_trace",
    "relevance": "stepscope.methods.relevance:relevance",
    "steps": "stepscope.tracing.steps:steps",
    "trace": "stepscope.tracing.call:trace",
    "word_information": "stepscope.methods.word_information:word_information",
    "word_removal": "stepscope.methods.word_removal:word_removal",
    "word_values": "stepscope.methods.word_values:word_values",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("stepscope.allocator").keep_pages()
    module, _, attribute = _PLACES[name].partition(":")
    with importlib.import_module("stepscope.collector").paused():
        value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
