"""Another text in the place of a sample's prompt: words left out or replaced, and its encoding."""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from stepscope.models.families.base import Family
from stepscope.models.words import PADDING, spoken

Filler = Literal["empty", "padding"]


def reworded(family: Family, prompt: str, words: Mapping[int, str]) -> str:
    """The prompt with some words, by their index, replaced; one that becomes "" is left out.

    The blanks before a word that is left out go with it, what else stands between words stays. A
    prompt that loses all its words is the empty one.
    """
    tokenizers = [text.tokenizer for text in family.own_texts() if text.tokenizer is not None]
    said = spoken(prompt, tokenizers)
    if len(words) == len(said) and not any(words.values()):
        return ""
    for index in sorted(words, reverse=True):
        start, end, _ = said[index]
        before = prompt[:start] if words[index] else prompt[:start].rstrip()
        prompt = before + words[index] + prompt[end:]
    return prompt.strip()


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


@torch.no_grad()
def with_embeddings(
    family: Family,
    stored: Mapping[str, Tensor],
    prompt: str,
    rows: Sequence[Collection[int]],
    filler: Filler = "empty",
) -> list[dict[str, Tensor]]:
    """Stored conditioning (2, ...) with the keys of some tokens replaced, once for each of `rows`.

    `rows` are rows of attention, as `Word.tokens`. All other keys stay as they were encoded with
    these tokens, and so does the pooled text. A key becomes that of the empty prompt at its
    position, or with "padding" the last key of its text, padding that was encoded with the prompt;
    where a network masks keys, the mask goes with it. A ValueError: a family without a key a
    token, and a prompt that leaves no room for padding.
    """
    reading, names = family.reading(prompt), [name for name in family.by_key if name in stored]
    if not names or any(stored[name].shape[1] != len(reading.rows) for name in names):
        raise ValueError(
            f"embedding: {type(family).__name__} does not give its network one key a token; take "
            "kind: prompt."
        )
    places = [[key for key, row in enumerate(reading.rows) if row in tokens] for tokens in rows]
    last = _last_keys([text.length for text in family.own_texts()])
    fillers = {key: reading.names[reading.rows[last[key]]] for of in places for key in of}
    if filler == "padding" and set(fillers.values()) - {PADDING}:
        raise ValueError("filler: the prompt fills its text encoder, which leaves no padding.")
    empty = family.encode([("", ())]) if filler == "empty" else {}
    changed = []
    for keys in places:
        found = dict(stored)
        for name in names:
            cond = stored[name][1].clone()
            cond[keys] = empty[name][0].to(cond)[keys] if empty else cond[[last[k] for k in keys]]
            found[name] = torch.stack([stored[name][0], cond])
        changed.append(found)
    return changed


def _half(own: Tensor, cond: Tensor) -> Tensor:
    """A stored pair (2, ...) with another cond half, in the numbers that are stored."""
    return torch.stack([own[0], cond.to(own)])


def _last_keys(lengths: Sequence[int]) -> list[int]:
    """For each key of texts that lie one after another, the last key of its text."""
    ends = list(accumulate(lengths))
    return [end - 1 for end, length in zip(ends, lengths, strict=True) for _ in range(length)]
