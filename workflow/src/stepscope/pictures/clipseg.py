"""Regions of words by a segmenter that is asked with a text (CLIPSeg)."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image

from stepscope.language import OBJECTS
from stepscope.models.words import Word


def phrases(words: Sequence[Word]) -> dict[str, list[int]]:
    """Indices of the words of each subject and object by its text; "stop sign" is one of them.

    The masks of backgrounds and attributes follow from these, and a relation has no region.
    """
    indices: dict[str, list[int]] = {}
    for role, group in groupby(words, lambda word: word.role):
        if role in OBJECTS:
            phrase = list(group)
            text = " ".join(word.text.lower() for word in phrase)
            indices.setdefault(text, []).extend(word.index for word in phrase)
    return indices


@torch.inference_mode()
def by_text(
    model: torch.nn.Module,
    processor: Callable[..., Any],
    words: Sequence[Word],
    picture: np.ndarray,
) -> dict[int, np.ndarray]:
    """Masks (y, x) f4 in [0, 1] by index of the words of subjects and objects, in one forward pass.

    picture (y, x, rgb) u1. A mask is the segmenter's probability at each pixel, brought to the size
    of the picture: what needs a yes or no, such as IoU, puts its threshold there.
    """
    asked = phrases(words)
    if not asked:
        return {}
    pictures = [Image.fromarray(picture)] * len(asked)
    inputs = processor(text=list(asked), images=pictures, padding=True, return_tensors="pt")
    logits = model(**inputs.to(next(model.parameters()).device)).logits.float()
    # antialias averages where the picture is smaller than the segmenter's own size
    probability = torch.nn.functional.interpolate(
        logits.reshape(len(asked), 1, *logits.shape[-2:]).sigmoid(),
        picture.shape[:2],
        mode="bilinear",
        antialias=True,
    )
    masks = probability[:, 0].clamp(0, 1).cpu().numpy()
    return {
        index: mask
        for mask, indices in zip(masks, asked.values(), strict=True)
        for index in indices
    }
