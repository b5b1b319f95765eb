"""Bi-modal relevance rules (Chefer et al., ICCV 2021) along a U-Net or a transformer.

Matrices may have leading axes, such as one of rows of a batch, which never mix.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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


class Text(NamedTuple):
    """What text tokens took from one another, and the words that they make up.

    `mixed` (..., T, T) is R_qq - I, `words` (..., T, W) adds up the tokens of each word.
    """

    mixed: Tensor
    words: Tensor

    def by_word(self, weights: Tensor) -> Tensor:
        """A N(R_qq) (..., n, W), summed over each word's tokens, for A (..., n, T)."""
        return (weights + weights @ normalised(self.mixed)) @ self.words


@dataclass(frozen=True)
class Relevance:
    """Relevance at one place of the network, for the n image tokens of a feature map.

    `text` (..., n, W) is R_iq, what image tokens took from the tokens of each word; `size` (h, w)
    with n = h w. Of R_ii - I, what image tokens took from one another, only what the rules ask for
    is kept, its row sums `total` (..., n) and `given`, the product of its transpose with columns
    (..., n, k): words are few, and a square of all image tokens is never made.
    """

    text: Tensor
    total: Tensor
    given: Callable[[Tensor], Tensor]
    size: tuple[int, int]

    @classmethod
    def start(cls, size: tuple[int, int], words: int, device: torch.device) -> "Relevance":
        """R_ii = I and R_iq = 0."""
        count = size[0] * size[1]
        text = torch.zeros(count, words, device=device)
        return cls(text, torch.zeros(count, device=device), torch.zeros_like, size)

    def self_attention(self, weights: Tensor) -> "Relevance":
        """R_iq += A R_iq, R_ii += A R_ii for A (..., n, n)."""
        before = self.given

        def given(columns: Tensor) -> Tensor:  # of R_ii - I + A + A (R_ii - I)
            passed = weights.mT @ columns
            return passed + before(columns + passed)

        taken = (weights @ (1 + self.total)[..., None])[..., 0]
        text = self.text + weights @ self.text
        return Relevance(text, self.total + taken, given, self.size)

    def cross_attention(self, weights: Tensor, text: Text) -> "Relevance":
        """R_iq += N(R_ii)^T A N(R_qq) for A (..., n, T)."""
        taken = text.by_word(weights)
        total = self.total[..., None]
        shares = torch.where(total > 0, taken / total, 0)  # N(R_ii) has rows that sum to 1
        return replace(self, text=self.text + taken + self.given(shares))

    def attended(self, call: Call, text: Text) -> "Relevance":
        """The same after an attention call of either kind."""
        if call.reads_text:
            return self.cross_attention(call.weights, text)
        return self.self_attention(call.weights)

    def mean(self, other: "Relevance") -> "Relevance":
        """Average of two paths that meet, at this one's resolution."""
        other = other.resized(self.size)
        first, second = self.given, other.given
        return Relevance(
            (self.text + other.text) / 2,
            (self.total + other.total) / 2,
            lambda columns: (first(columns) + second(columns)) / 2,
            self.size,
        )

    def resized(self, size: tuple[int, int]) -> "Relevance":
        """The same at another resolution, on both image axes y and x.

        Rows (who takes) are averaged or interpolated; columns (from whom) are summed or shared out,
        so that what a token takes in all stays the same. I stays I: resampling moves nothing.
        """
        if size == self.size:
            return self
        resize = Resize.between(self.size, size, self.text.device)
        before = self.given
        shared = resize.transposed(torch.ones(size[0] * size[1], 1, device=self.text.device))

        def given(columns: Tensor) -> Tensor:
            return resize(before(resize.transposed(columns)) / shared)

        total = resize(self.total[..., None])[..., 0]
        return Relevance(resize(self.text), total, given, size)


class Resize(NamedTuple):
    """A change of resolution as matrices along y (h', h) and x (w', w): area means, or bilinear."""

    y: Tensor
    x: Tensor

    @classmethod
    def between(cls, old: tuple[int, int], new: tuple[int, int], device: torch.device) -> "Resize":
        """Area means where both axes get smaller, otherwise bilinear interpolation."""
        smaller = new[0] <= old[0] and new[1] <= old[1]
        mode = "area" if smaller else "linear"
        y, x = (
            F.interpolate(torch.eye(before, device=device)[None], size=after, mode=mode)[0].mT
            for before, after in zip(old, new, strict=True)
        )
        return cls(y, x)

    def __call__(self, columns: Tensor) -> Tensor:
        """Columns (..., h w, k) at the new resolution, (..., h' w', k)."""
        grid = columns.unflatten(-2, (self.y.shape[1], self.x.shape[1]))
        return torch.einsum("ih,jw,...hwk->...ijk", self.y, self.x, grid).flatten(-3, -2)

    def transposed(self, columns: Tensor) -> Tensor:
        """The transpose of the same, from (..., h' w', k) to (..., h w, k)."""
        return Resize(self.y.mT, self.x.mT)(columns)


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
    text: Text,
) -> Relevance:
    """Relevance after a network's last passage, from its attention calls in forward order.

    `sizes` are the feature map's after the modules that passages are sized by, `start` is the first
    grid of image tokens. Convolutions are the identity; where a skip connection joins, both paths
    are averaged. Attention outside the passages is a ValueError.
    """
    left = list(calls)
    state = Relevance.start(start, text.words.shape[-1], text.words.device)
    skips: list[Relevance] = []
    for passage in passages:
        if passage.sized_by is not None:
            state = state.resized(sizes[passage.sized_by])
        if passage.joins:
            state = state.mean(skips.pop())
        while left and left[0].module in passage.attention:
            state = state.attended(left.pop(0), text)
        if passage.leaves:
            skips.append(state)
    if left:
        raise ValueError("relevance: the network has attention outside its blocks.")
    return state


def through_joint(calls: Sequence[Call], size: tuple[int, int], text: Text) -> Relevance:
    """Relevance after blocks of joint attention, R += A R over image tokens, then text tokens.

    In one softmax both modalities are one sequence (the unimodal rule); text tokens start from what
    the text encoders mixed, R_qq. A call that reads no text is among image tokens alone. Of R, only
    the columns of words are kept.
    """
    start = Relevance.start(size, text.words.shape[-1], text.words.device)
    count = len(start.text)
    own = text.words + text.mixed @ text.words
    taken = torch.cat([start.text.expand(*own.shape[:-2], *start.text.shape), own], -2)
    for call in calls:
        rows = slice(None) if call.reads_text else slice(count)
        taken[..., rows, :] += call.weights @ taken[..., rows, :]
    return replace(start, text=taken[..., :count, :])
