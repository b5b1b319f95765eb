"""What a trace of a model weighs, from the configurations in the model's folder."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Bytes of a stored number by the model's dtype: zarr has no bfloat16, which is kept as float32.
BYTES = {"float32": 4, "float16": 2, "bfloat16": 4}
# The configuration of CompVis/stable-diffusion-v1-4, for models that are not at hand.
STABLE_DIFFUSION_1 = {
    "unet": {
        "sample_size": 64,
        "in_channels": 4,
        "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
        "cross_attention_dim": 768,
    },
    "vae": {"block_out_channels": [128, 256, 512, 512]},
}
KEYS = (77,)  # of its one text


@dataclass(frozen=True)
class Geometry:
    """Sizes that decide what a trace weighs.

    ``latent`` (C, h, w); ``factor``: pixels along a side of a latent's cell; ``grids`` (h, w) of
    every resolution that attends to the text; ``conditioning``: values that replay needs of a
    sample, both guidance halves; ``texts``: how often the network reads a prompt.
    """

    latent: tuple[int, int, int]
    factor: int
    grids: tuple[tuple[int, int], ...]
    conditioning: int
    texts: int


def of_folder(
    folder: str | Path,
    keys: Sequence[int],
    height: int | None = None,
    width: int | None = None,
) -> Geometry:
    """Geometry of the pipeline in a folder, for pictures of a size in pixels or the model's own.

    ``keys`` are the numbers of keys of the texts that its network attends to.
    """
    configs = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in Path(folder).glob("*/config.json")
    }
    return of_configs(configs, keys, height, width)


def of_configs(
    configs: dict[str, dict], keys: Sequence[int], height: int | None, width: int | None
) -> Geometry:
    """Geometry of a pipeline from the configurations of its parts, by their names."""
    factor = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    network = configs.get("unet") or configs["transformer"]
    own = network["sample_size"]
    own = (own, own) if isinstance(own, int) else own
    size = tuple(
        pixels // factor if pixels else cells
        for pixels, cells in zip((height, width), own, strict=True)
    )
    if "unet" in configs:
        grids, values = _unet(configs, sum(keys), size)
    else:
        patch = network["patch_size"]
        grids = ((size[0] // patch, size[1] // patch),)
        tokens = sum(keys)
        channels = network.get("joint_attention_dim") or network["caption_channels"]
        values = tokens * channels + network.get("pooled_projection_dim", tokens)  # or the mask
    return Geometry((network["in_channels"], *size), factor, grids, 2 * values, len(keys))


def _unet(configs: dict[str, dict], keys: int, size: tuple[int, int]) -> tuple[tuple, int]:
    """Grids of cross-attention, halved and rounded up from level to level, and values of a half."""
    unet = configs["unet"]
    sizes, crossing = [size], []
    for kind in unet["down_block_types"]:
        if "CrossAttn" in kind:
            crossing.append(sizes[-1])
        sizes.append(tuple(-(-length // 2) for length in sizes[-1]))
    if "CrossAttn" in (unet.get("mid_block_type", "UNetMidBlock2DCrossAttn") or ""):
        crossing.append(sizes[-2])  # the last level's pictures are not made smaller
    values = keys * unet["cross_attention_dim"]
    if unet.get("addition_embed_type") == "text_time":  # XL: pooled text and six sizes
        values += configs["text_encoder_2"]["projection_dim"] + 6
    return tuple(dict.fromkeys(crossing)), values


def tokens(prompt: str) -> int:
    """About how many rows a prompt's attention has: words, punctuation, start, end and padding."""
    return len(re.findall(r"\w+|[^\w\s]", prompt)) + 3


def trace_bytes(
    geometry: Geometry, *, steps: int, rows: int, order: int, dtype: str, derived: str
) -> int:
    """Bytes of a sample's trace before compression, as ``generation.arrays`` makes it.

    Latents before each step and after the last, both raw halves, a multistep solver's history and
    conditioning in the model's dtype; clean predictions and attention in the dtype ``derived``.
    """
    latent = math.prod(geometry.latent)
    exact = latent * (steps + 1 + 2 * steps + (order - 1) * steps) + geometry.conditioning
    cells = sum(map(math.prod, geometry.grids))
    return exact * BYTES[dtype] + (latent + rows * cells) * steps * BYTES[derived]
