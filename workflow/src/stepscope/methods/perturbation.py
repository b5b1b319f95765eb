"""What methods that hide parts of a latent share: masks in blocks, and how alike predictions stay.

A hidden pixel of the latent is 0, all channels at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import similarity as similarities
from stepscope.methods.quantities import Quantity, predictions

Score = Literal["pixel", "mean", "region"]
FEATURES = "features"  # the similarity of decoded pictures, one number a mask
PICTURES = 16  # decoded at once: those of a large model take much memory
Masks = Callable[[range], np.ndarray]  # masks (B, h, w) bool, True = kept, by their numbers


@dataclass(frozen=True)
class Comparison:
    """Which quantities are compared by which similarity.

    `reference` is a quantity of the whole latent, `test` one of the masked latents.
    """

    similarity: str
    reference: str
    test: str

    @classmethod
    def of(cls, similarity: str, quantity: str) -> "Comparison":
        """Of one quantity; features are of what the clean prediction shows, whatever it is.

        The output under a mask then makes a clean latent of the latent without it: a hidden part
        is no hole in the picture, which would be found however little the output changes.
        """
        of = "shown" if similarity == FEATURES else quantity
        return cls(similarity, of, of)


class Block(NamedTuple):
    """Masks (B, h, w) bool that went through the model together, and what was found of each.

    `similarities` has a tensor (B, h, w) a comparison, or (B, 1, 1) of features.
    """

    kept: np.ndarray
    similarities: list[Tensor]


def check(similarity: str, quantity: str, score: str) -> None:
    """Refuse a similarity, quantity or score of an unknown name; the ValueError lists them."""
    for key, value, allowed in (
        ("similarity", similarity, similarities.KINDS),
        ("quantity", quantity, get_args(Quantity)),
        ("score", score, get_args(Score)),
    ):
        if value not in allowed:
            raise ValueError(f"{key}: {value!r} is none of {', '.join(allowed)}.")


def blocks(
    denoiser: Denoiser,
    step: Step,
    comparisons: Sequence[Comparison],
    masks: Masks,
    numbers: Iterable[range],
) -> Iterator[Block]:
    """What masks leave of a step's prediction, by blocks of their numbers.

    Blocks may be computed anywhere and in any order: nothing in one depends on another.
    """
    latent = step.latent.to(denoiser.device)
    original = predictions(denoiser, latent[None], step)
    window = similarities.gaussian_window(similarities.window_size(*latent.shape[-2:]))
    window = window.to(latent.device)
    references = [
        features(denoiser, original(one.reference))
        if one.similarity == FEATURES
        else original(one.reference)[0]
        for one in comparisons
    ]
    for block in numbers:
        kept = masks(block)
        tested = predictions(denoiser, latent * torch.from_numpy(kept).to(latent)[:, None], step)
        found = [
            cosine(reference, features(denoiser, tested(one.test)))
            if one.similarity == FEATURES
            else similarities.similarity(one.similarity, reference, tested(one.test), window)
            for one, reference in zip(comparisons, references, strict=True)
        ]
        yield Block(kept, found)


def features(denoiser: Denoiser, latents: Tensor) -> Tensor:
    """Features (B, width) float64 of the decoded pictures of clean latents, by the judge.

    A denoiser without one is a ValueError.
    """
    if denoiser.judge is None:
        raise ValueError(
            "similarity: features are those of a judge, and the denoiser has none; jobs give it "
            "the CLIP of probe/model, and otherwise it is Denoiser(..., judge=)."
        )
    parts = latents.split(PICTURES)
    return torch.cat([denoiser.judge(denoiser.decode(part)).double() for part in parts])


def cosine(reference: Tensor, tested: Tensor) -> Tensor:
    """Cosine (B, 1, 1) of features (B, width) with those of a reference (1, width)."""
    return F.cosine_similarity(reference, tested, dim=-1)[:, None, None]


def scores(
    denoiser: Denoiser,
    step: Step,
    masks: Masks,
    count: int,
    *,
    similarity: str,
    quantity: str,
    score: str,
    block: int,
) -> np.ndarray:
    """Scores of masks 0 .. count - 1, (count, h, w), or (count, 1, 1) for one of all pixels."""
    comparison = Comparison.of(similarity, quantity)
    numbers = (range(count)[start : start + block] for start in range(0, count, block))
    found = blocks(denoiser, step, [comparison], masks, numbers)
    return np.concatenate([scored(one.similarities[0], score, step) for one in found])


def scored(similarity: Tensor, score: str, step: Step) -> np.ndarray:
    """Scores of B masks from (B, h, w): as they are per pixel, otherwise (B, 1, 1) float64.

    Features, (B, 1, 1), are one score of all pixels in any case.
    A region's score of a step without object masks is a ValueError.
    """
    if score == "pixel":
        return similarity.cpu().numpy()
    values = similarity.cpu().numpy().astype(np.float64)
    if score == "mean":
        return values.mean((1, 2), keepdims=True)
    if step.mask is None or not step.mask.any():
        raise ValueError(f"score: region needs object masks, and {step.prompt_id} has none.")
    weights = np.asarray(step.mask, dtype=np.float64)
    return (values * weights).sum((1, 2), keepdims=True) / weights.sum()
