"""Attention to words by layer, head and resolution, and to words of any text, by replay."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.step import Step
from stepscope.language import key
from stepscope.language import words as words_in
from stepscope.methods.attention_heads import (
    Tokens,
    mean_over_layers,
    of_other_texts,
    of_own_words,
    of_stored,
    on_latent,
    reading_layers,
)
from stepscope.methods.chosen_layers import chosen
from stepscope.methods.method import HEAD, Layers, method
from stepscope.models.words import Word

Heads = Literal["mean", "all"]
Read = Literal["prompt", "negative_prompt"]


@method(
    calls=lambda words, p: (1 + len(p["words"] or ()) * p["open_vocabulary"]) / 2,
    target="none: probabilities of the forward pass",
    features="cross-attention probabilities of layers and heads",
    held_fixed="everything",
    halves={"of": ("negative_prompt",)},
    together=True,
    stored=lambda p: p["of"] == "prompt" and not p["open_vocabulary"],
)
@torch.inference_mode()
def attention(
    denoiser: Denoiser | None,
    steps: Sequence[Step],
    *,
    heads: Heads = "mean",
    layers: Sequence[str] | None = None,
    words: Sequence[str] | None = None,
    open_vocabulary: bool = False,
    of: Read = "prompt",
) -> list[Any]:
    """Maps in [0, 1] of attention to words, by replay: (word, h, w), or by head (word, head, h, w).

    `heads` "mean" averages heads and layers of each resolution, then resolutions, as the trace
    does; "all" gives `Layers` with a map for each head. Of a trace that keeps attention by head
    the prompt's own words are read, not replayed. `layers` are names or groups (see
    `chosen_layers`). With `words`, words or phrases that follow each other, and `of` the negative
    prompt, whose attention is the unconditional half's, the result is a dict of one map (h, w) or
    (head, h, w) for each. `open_vocabulary` holds texts of any words against the step's queries.
    ValueError: a word that is not in the text, a layer that does not exist, a negative prompt
    without words or without guidance.
    """
    asked = [list(words or ())] * len(steps)
    if open_vocabulary:
        if not words or of == "negative_prompt":
            raise ValueError("open_vocabulary: words is the list of texts to look for; name some.")
        assert denoiser is not None
        found = of_other_texts(denoiser, steps, _modules(denoiser, layers), words)
    elif of == "prompt" and all(step.by_head for step in steps):
        tokens = [_rows(step.words, asked[0], step.prompt) for step in steps]
        found = of_stored(steps, chosen(steps[0].by_head, layers), tokens)
    else:
        assert denoiser is not None  # of what a trace does not keep
        asked, found = _replayed(denoiser, steps, layers, words, of)
    height, width = steps[0].latent.shape[-2:]
    counts = [len(names) or len(step.words) for names, step in zip(asked, steps, strict=True)]
    by_step = _by_step(found, (height, width), heads, counts)
    return [
        _each(names, maps) if names else maps for names, maps in zip(asked, by_step, strict=True)
    ]


def _replayed(
    denoiser: Denoiser,
    steps: Sequence[Step],
    layers: Sequence[str] | None,
    words: Sequence[str] | None,
    of: Read,
) -> tuple[list[list[str]], dict[str, Tensor]]:
    """What is asked for of each step's text, all its words if nothing, and their attention."""
    texts = [getattr(step, of) for step in steps]
    readings = [denoiser.family.reading(text) for text in texts]
    said = [reading.words for reading in readings]
    conditioning = _unconditional(denoiser, steps, said) if of == "negative_prompt" else None
    names_of = [[word.text for word in own] if conditioning else [] for own in said]
    asked = [list(words or names) for names in names_of]
    tokens = [_rows(*one) for one in zip(said, asked, texts, strict=True)]
    modules = _modules(denoiser, layers)
    return asked, of_own_words(denoiser, steps, modules, readings, tokens, conditioning)


def _modules(denoiser: Denoiser, layers: Sequence[str] | None) -> dict[str, Attention]:
    """The chosen attention modules that read the prompt, by name."""
    modules = reading_layers(denoiser.family)
    return {name: modules[name] for name in chosen(modules, layers)}


def _rows(said: Sequence[Word], asked: Sequence[str], text: str) -> Tokens:
    """Rows of attention of what is asked for in a text, of all its words if nothing is."""
    return tokens_of(said, asked, text) if asked else [word.tokens for word in said]


def _by_step(
    found: dict[str, Tensor], size: tuple[int, int], heads: Heads, counts: Sequence[int]
) -> list[Any]:
    """Maps (word, h, w), or `Layers` of heads, of the words that each step has.

    Zeros where nothing was called: a model that looks at no text attends to none.
    """
    if not found:
        return [np.zeros((count, *size), dtype=np.float32) for count in counts]
    if heads == "mean":
        mean = mean_over_layers(found, size).cpu().numpy()
        return [maps[:count] for maps, count in zip(mean, counts, strict=True)]
    names = tuple(f"{name}{HEAD}{i}" for name, maps in found.items() for i in range(maps.shape[1]))
    every = torch.cat([on_latent(maps, size) for maps in found.values()], 1).transpose(1, 2)
    return [
        Layers(names, maps[:count]) for maps, count in zip(every.cpu().numpy(), counts, strict=True)
    ]


def _each(names: Sequence[str], maps: Any) -> dict[str, Any]:
    """One map, or one of each head, for each of the named words; repeated words are numbered."""
    found: dict[str, Any] = {}
    for index, name in enumerate(names):
        variant = "_".join(re.findall(r"\w+", name))
        variant = f"{variant}_{index + 1}" if variant in found else variant
        found[variant] = (
            Layers(maps.names, maps.maps[index]) if isinstance(maps, Layers) else maps[index]
        )
    return found


def tokens_of(said: Sequence[Word], asked: Sequence[str], text: str) -> list[list[int]]:
    """Tokens of words or phrases in a text, of a repeated one all; others are a ValueError."""
    own = [key(word.text) for word in said]
    found = []
    for name in asked:
        phrase = words_in(name)
        starts = [i for i in range(len(own)) if phrase and own[i : i + len(phrase)] == phrase]
        if not starts:
            raise ValueError(
                f"words: {name!r} is not in {text!r}, whose words are {', '.join(own) or 'none'}; "
                "with open_vocabulary: true any text is held against the step's queries."
            )
        places = sorted({i + j for i in starts for j in range(len(phrase))})
        found.append([token for place in places for token in said[place].tokens])
    return found


def _unconditional(
    denoiser: Denoiser, steps: Sequence[Step], said: Sequence[Sequence[Word]]
) -> dict[str, Tensor]:
    """Conditioning in which the unconditional half stands in the place of the other one."""
    if denoiser.guidance <= 1:
        raise ValueError("of: the negative prompt is read with guidance above 1 alone.")
    for step, own in zip(steps, said, strict=True):
        if not own:
            raise ValueError(f"of: the negative prompt {step.negative_prompt!r} has no words.")
    stored = stacked([step.conditioning for step in steps])
    return {name: halves[:, :1].expand_as(halves) for name, halves in stored.items()}
