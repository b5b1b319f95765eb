"""Another text in the place of a sample's prompt, and its encoding."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from stepscope.models.families.base import Family


@torch.no_grad()
def with_texts(
    family: Family,
    stored: Sequence[Mapping[str, Tensor]],
    texts: Sequence[tuple[str, Collection[int]]],
) -> list[dict[str, Tensor]]:
    """Stored conditionings (2, ...) with cond halves of other prompts, one a row; uncond stays.

    A text is a prompt with the indices of words whose tokens become padding, positions kept (see
    `Family.encode`). What is no encoding of a prompt, such as XL's sizes, stays as it is stored.
    Every text is encoded once; one that a text encoder would cut is a ValueError.
    """
    known = [(prompt, tuple(padded)) for prompt, padded in texts]
    rows = {text: row for row, text in enumerate(dict.fromkeys(known))}
    encoded = family.encode(list(rows)) if rows else {}
    return [
        {**own, **{name: _half(own[name], new[rows[text]]) for name, new in encoded.items()}}
        for own, text in zip(stored, known, strict=True)
    ]


def _half(own: Tensor, cond: Tensor) -> Tensor:
    """A stored pair (2, ...) with another cond half, in the numbers that are stored."""
    return torch.stack([own[0], cond.to(own)])
