"""Bi-modal relevance rules (Chefer et al., ICCV 2021) along a U-Net or a transformer.

Matrices may have leading axes, such as one of rows of a batch, which never mix.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepscope.models.families.architecture import Passage


class Call(NamedTuple):
    """A call of an attention module: whether it reads the text, and its weights (..., n, m).

    The weights are the mean over heads of max(dY/dA * A, 0).
    """

    module: nn.Module
    reads_text: bool
    weights: Tensor


@dataclass(frozen=True)
class Relevance:
    """Relevance at one place of the network, for the n image tokens of a feature map.

    `image` (..., n, n) is R_ii - I, what image tokens took from one another; `text` (..., n, T) is
    R_iq, what they took from text tokens; `size` (h, w) with n = h w.
    """

    image: Tensor
    text: Tensor
    size: tuple[int, int]

    @classmethod
    def start(cls, size: tuple[int, int], tokens: int, device: torch.device) -> "Relevance":
        """R_ii = I and R_iq = 0."""
        count = size[0] * size[1]
        zeros = torch.zeros(count, count, device=device)
        return cls(zeros, torch.zeros(count, tokens, device=device), size)

    def self_attention(self, weights: Tensor) -> "Relevance":
        """R_iq += A R_iq, R_ii += A R_ii for A (..., n, n)."""
        return Relevance(
            self.image + weights + weights @ self.image, self.text + weights @ self.text, self.size
        )

    def cross_attention(self, weights: Tensor, words: Tensor) -> "Relevance":
        """R_iq += N(R_ii)^T A N(R_qq) for A (..., n, T), R_qq - I = `words` (..., T, T)."""
        taken = weights + weights @ normalised(words)
        taken = taken + normalised(self.image).mT @ taken
        return Relevance(self.image, self.text + taken, self.size)

    def attended(self, call: Call, words: Tensor) -> "Relevance":
        """The same after an attention call of either kind."""
        if call.reads_text:
            return self.cross_attention(call.weights, words)
        return self.self_attention(call.weights)

    def mean(self, other: "Relevance") -> "Relevance":
        """Average of two paths that meet, at this one's resolution."""
        other = other.resized(self.size)
        return Relevance((self.image + other.image) / 2, (self.text + other.text) / 2, self.size)

    def resized(self, size: tuple[int, int]) -> "Relevance":
        """The same at another resolution, on both image axes y and x.

        Rows (who takes) are averaged or interpolated; columns (from whom) are summed or shared out,
        so that what a token takes in all stays the same. I stays I: resampling moves nothing.
        """
        if size == self.size:
            return self
        change = (self.size[0] * self.size[1]) / (size[0] * size[1])
        rows = resize_rows(self.image, self.size, size)
        image = resize_rows(rows.mT, self.size, size).mT * change
        return Relevance(image, resize_rows(self.text, self.size, size), size)


def resize_rows(matrix: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resize the token axis of (..., h w, m) in two dimensions: area means down, bilinear up."""
    maps = matrix.mT.reshape(1, -1, *old)
    smaller = new[0] <= old[0] and new[1] <= old[1]
    maps = F.interpolate(maps, size=new, mode="area" if smaller else "bilinear")
    return maps.reshape(*matrix.mT.shape[:-1], new[0] * new[1]).mT


def normalised(change: Tensor) -> Tensor:
    """N(R) - I for R - I = `change`: its rows scaled to sum to 1; a row of zeros stays."""
    total = change.sum(-1, keepdim=True)
    return torch.where(total > 0, change / total, 0)


def text_relevance(weights: Sequence[Tensor], tokens: int) -> Tensor:
    """R_qq - I (..., T, T) after a text encoder's layers: R_qq += A R_qq."""
    words = torch.zeros(tokens, tokens)
    for a in weights:
        words = words + a.cpu() + a.cpu() @ words
    return words


def along(
    passages: Iterable[Passage],
    calls: Sequence[Call],
    sizes: Mapping[nn.Module, tuple[int, int]],
    start: tuple[int, int],
    words: Tensor,
) -> Relevance:
    """Relevance after a network's last passage, from its attention calls in forward order.

    `sizes` are the feature map's after the modules that passages are sized by, `start` is the first
    grid of image tokens. Convolutions are the identity; where a skip connection joins, both paths
    are averaged. Attention outside the passages is a ValueError.
    """
    left = list(calls)
    state = Relevance.start(start, words.shape[-1], words.device)
    skips: list[Relevance] = []
    for passage in passages:
        if passage.sized_by is not None:
            state = state.resized(sizes[passage.sized_by])
        if passage.joins:
            state = state.mean(skips.pop())
        while left and left[0].module in passage.attention:
            state = state.attended(left.pop(0), words)
        if passage.leaves:
            skips.append(state)
    if left:
        raise ValueError("relevance: the network has attention outside its blocks.")
    return state


def through_joint(calls: Sequence[Call], size: tuple[int, int], words: Tensor) -> Relevance:
    """Relevance after blocks of joint attention, R += A R over image tokens, then text tokens.

    In one softmax both modalities are one sequence (the unimodal rule); text tokens start from what
    the text encoders mixed, R_qq. A call that reads no text is among image tokens alone.
    """
    count = size[0] * size[1]
    side = count + words.shape[-1]
    every = words.new_zeros(*words.shape[:-2], side, side)
    every[..., count:, count:] = words
    every.diagonal(dim1=-2, dim2=-1).add_(1)
    for call in calls:
        rows = slice(None) if call.reads_text else slice(count)
        every[..., rows, :] += call.weights @ every[..., rows, :]
    image = every[..., :count, :count].clone()
    image.diagonal(dim1=-2, dim2=-1).sub_(1)
    return Relevance(image, every[..., :count, count:], size)
