"""Attention of the heads that find a role's words best, on other prompts."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Annotated

import numpy as np
import pandas as pd
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.attention_heads import of_own_words, of_stored, on_latent, reading_layers
from stepscope.methods.method import HEAD, method

ANY = ""  # the role whose heads are those of all words with a role


@method(
    calls=lambda words, p: 0.5,
    target="none: probabilities of the forward pass",
    features="cross-attention probabilities of the heads that find a role's words on other prompts",
    held_fixed="everything",
    together=True,
    stored=lambda p: True,
)
@torch.inference_mode()
def selected_heads(
    denoiser: Denoiser | None,
    steps: Sequence[Step],
    *,
    learnt_from: str,
    share: Annotated[float, {"exclusiveMinimum": 0, "maximum": 1}] = 0.2,
) -> list[np.ndarray]:
    """Maps (word, h, w) in [0, 1]: attention averaged over the best `share` of all heads.

    Selective aggregation (Park et al., arXiv 2604.05906), with heads ranked by what they find and
    not by their words alone: `step.heads` ranks them by average precision on the other prompts of
    the batch, at the steps of the method that `learnt_from` names, whose maps are by head. A word
    without a role takes those of all words with one. Nothing is replayed of a trace that keeps
    attention by head. ValueError where nothing could be learnt.
    """
    for step in steps:
        if ANY not in step.heads:
            raise ValueError(
                f"learnt_from: {learnt_from} has no word with a mask in any other prompt of the "
                f"batch than {step.prompt_id}, so no heads are chosen."
            )
    tokens = [[word.tokens for word in step.words] for step in steps]
    if all(step.by_head for step in steps):
        found = of_stored(steps, list(steps[0].by_head), tokens)
    else:
        assert denoiser is not None  # of what a trace does not keep
        family = denoiser.family
        readings = [family.reading(step.prompt) for step in steps]
        found = of_own_words(denoiser, steps, reading_layers(family), readings, tokens)
    height, width = steps[0].latent.shape[-2:]
    maps = [np.zeros((len(step.words), height, width), dtype=np.float32) for step in steps]
    every = {name: on_latent(of_layer, (height, width)) for name, of_layer in found.items()}
    for row, step in enumerate(steps):
        for word in step.words:
            ranked = step.heads.get(word.role, step.heads[ANY])
            kept = [name.rpartition(HEAD) for name in ranked[: ceil(share * len(ranked))]]
            heads = [
                every[layer][row, int(head), word.index]
                for layer, _, head in kept
                if layer in every
            ]
            if heads:
                maps[row][word.index] = torch.stack(heads).mean(0).cpu().numpy()
    return maps


def ranked_heads(
    scores: pd.DataFrame, method: str, prompt_ids: Sequence[str]
) -> dict[str, Mapping[str, tuple[str, ...]]]:
    """Names of all heads by prompt and role, those first that find its words on other prompts.

    `scores` has the columns of rq2_heads; heads are ranked by their mean average precision over the
    words, steps and seeds of all prompts but the one they are for (cross-fitting).
    """
    scores = scores[(scores["method"] == method) & (scores["head"] != "") & (scores["role"] != "")]
    scores = scores.assign(name=scores["layer"] + HEAD + scores["head"].astype(str))
    every = pd.concat([scores, scores.assign(role=ANY)])
    found: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for prompt_id in dict.fromkeys(prompt_ids):
        others = every[every["prompt_id"] != prompt_id]
        means = others.groupby(["role", "name"])["average_precision"].mean().dropna()
        ordered = means.sort_values(ascending=False, kind="stable")
        found[prompt_id] = {
            str(role): tuple(of_role.index.get_level_values("name"))
            for role, of_role in ordered.groupby(level="role")
        }
    return found
