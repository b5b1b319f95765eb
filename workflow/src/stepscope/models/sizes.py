"""Sizes of pictures that a model can make.

A Snakefile imports this module, so it uses the standard library alone.
"""

import math

PIPELINES = 8  # of which diffusers wants multiples, whatever the autoencoder


def check_size(
    height: int | None, width: int | None, factor: int, patch: int, who: str, where: str = ""
) -> None:
    """Refuse sizes in pixels that are no multiples of an autoencoder's factor times a patch.

    None is the model's own size. The ValueError begins with `where` and names the sizes beside.
    """
    multiple = math.lcm(PIPELINES, factor * patch)
    for name, value in (("height", height), ("width", width)):
        if value is not None and value % multiple:
            above = math.ceil(value / multiple) * multiple
            sizes = f"{above - multiple} or {above}" if above > multiple else f"{above}"
            raise ValueError(
                f"{where}{name}: {value} is no multiple of {multiple}, as {who} needs (the factor "
                f"{factor} of its autoencoder x its patch of {patch}): {sizes} is."
            )
