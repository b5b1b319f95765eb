"""The families of models, and which of them a pipeline is of; base.py says what one is."""

from diffusers import DiffusionPipeline

from stepscope.models.families.base import Family
from stepscope.models.families.pixart import PixArt
from stepscope.models.families.sd3 import SD3
from stepscope.models.families.unet import UNet, UNetXL
from stepscope.plugins import resolve

FAMILIES: list[type[Family]] = [UNet, UNetXL, PixArt, SD3]


def named(pipeline: str | None, where: str = "") -> type[Family]:
    """Family of a pipeline class by its name; a ValueError with `where` says which there are."""
    for family in FAMILIES:
        if pipeline in family.pipelines:
            return family
    covered = ", ".join(name for family in FAMILIES for name in family.pipelines)
    raise ValueError(
        f"{where}{pipeline}: no family of models covers this pipeline class (there are {covered}); "
        "config/README.md says how to add one."
    )


def family_of(pipeline: DiffusionPipeline) -> Family:
    """Family of a pipeline, by its class or a class that it derives from."""
    for kind in type(pipeline).__mro__:
        for family in FAMILIES:
            if kind.__name__ in family.pipelines:
                return family(pipeline)
    return named(type(pipeline).__name__)(pipeline)


def add(reference: str) -> None:
    """Add a family of one's own, "package.module:Class"; the last added is asked first."""
    family = resolve(reference)
    if family not in FAMILIES:
        FAMILIES.insert(0, family)
