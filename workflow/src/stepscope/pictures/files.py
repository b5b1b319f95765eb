"""Picture files as viewers show them: the one place that opens pictures and masks."""

import numpy as np
from PIL import Image, ImageOps

DEEP = ("I;16", "I;16B", "I;16L", "I;16N")  # grey of 16 bits
KNOWN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", *DEEP)
WHITE, BLACK = 255, 0  # what is behind transparent pixels of pictures, of masks
RANGES = (1, 255, 65535)  # what stands for the whole in a mask: a number, 8 bits or 16


def read_picture(path: str) -> Image.Image:
    """Picture of a file in mode RGB: upright (EXIF), transparency on white, 16 bits reduced to 8.

    Colour profiles are not applied, and an animation is its first picture. What cannot be read, or
    has no known range of values, raises a ValueError that names the file.
    """
    picture = _opened(path, WHITE)
    if picture.mode in DEEP:
        picture = Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8))
    return picture.convert("RGB")


def read_mask(path: str) -> np.ndarray:
    """Mask (y, x) f4 in [0, 1] of a file: grey by the range in use, or black and one other colour.

    Transparent pixels are outside. The range is 1 if no value is larger, then 255, then 65535.
    Several colours, or a mask of which nothing reaches a half, raise a ValueError that names the
    file, as does what cannot be read.
    """
    picture = _opened(path, BLACK)
    if picture.mode not in DEEP:
        values = _greys(path, np.asarray(picture.convert("RGB")))
    else:
        values = np.asarray(picture)
    top = values.max()
    if not top:
        raise ValueError(f"{path}: the mask is black; a word without a region has no file.")
    whole = next(whole for whole in RANGES if top <= whole)
    if top < whole / 2:
        raise ValueError(f"{path}: nothing in the mask reaches a half, its maximum is {top}.")
    return (values / whole).astype(np.float32)


def _greys(path: str, colours: np.ndarray) -> np.ndarray:
    """Values (y, x) of a mask (y, x, rgb) u1 that is grey, or black and one other colour."""
    if (colours == colours[..., :1]).all():
        return colours[..., 0]
    seen = np.unique(colours.astype(np.int64) @ (65536, 256, 1))
    if len(seen) > 2 or seen[0]:
        raise ValueError(
            f"{path}: the mask has {len(seen)} colours, which is neither grey nor black and one "
            "other colour."
        )
    return np.where(colours.any(-1), 255, 0)


def _opened(path: str, background: int) -> Image.Image:
    """Upright picture in a known mode without transparency, which is put on a grey."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
    except Exception as error:  # which one depends on the format, and on where the file is torn
        raise ValueError(f"{path}: the file cannot be read as a picture ({error}).") from None
    transparent = picture.has_transparency_data
    if picture.mode not in KNOWN or (transparent and picture.mode in DEEP):
        raise ValueError(
            f"{path}: a picture of mode {picture.mode} has no known range of values; "
            "save it with 8 bits, or 16 bits of grey."
        )
    if not transparent:
        return picture
    behind = Image.new("RGBA", picture.size, (background, background, background, 255))
    return Image.alpha_composite(behind, picture.convert("RGBA")).convert("RGB")
