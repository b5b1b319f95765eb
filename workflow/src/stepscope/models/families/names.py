"""Which family covers a pipeline class; families themselves are imported when one is asked for.

A Snakefile imports this module, so that a model depends on the code of its own family alone.
"""

from collections.abc import Iterable

# "module:Class" of the family by the name of the pipeline class.
FAMILIES = {
    "StableDiffusionPipeline": "stepscope.models.families.unet:UNet",
    "StableDiffusionXLPipeline": "stepscope.models.families.unet:UNetXL",
    "PixArtSigmaPipeline": "stepscope.models.families.pixart:PixArt",
    "StableDiffusion3Pipeline": "stepscope.models.families.sd3:SD3",
}


def uncovered(pipeline: object, known: Iterable[str]) -> str:
    """What a refusal says of a pipeline class that is none of the `known`."""
    return (
        f"{pipeline}: no family of models covers this pipeline class (there are "
        f"{', '.join(known)}); config/README.md says how to add one."
    )
