"""Word removal, the causal reference: what a step's output loses without a word."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import removals
from stepscope.methods.method import method
from stepscope.models import rewording
from stepscope.models.rewording import Filler
from stepscope.models.words import Word

Kind = Literal["prompt", "embedding", "replace"]


def calls_of(words: int, parameters: dict[str, Any]) -> float:
    """Guided calls of one step, half a one a row; half the words are taken to have a role."""
    return ((words + 1) // 2 if parameters["words"] == "roles" else words) / 2 + 1


@method(
    calls=calls_of,
    target="the change of the step's conditional output without the word",
    features="words, left out of the prompt, of its encoding, or replaced",
    held_fixed="time step, latent, all other words",
    together=True,
)
@torch.inference_mode()
def word_removal(
    denoiser: Denoiser,
    steps: Sequence[Step],
    *,
    kind: Kind = "prompt",
    words: removals.Chosen = "all",
    filler: Filler = "empty",
    families: Sequence[str] = (),
) -> list[dict[str, np.ndarray]]:
    """Maps (word, h, w) of the change of e_c, and "along" e_c - e_u, for each step; NaN: left out.

    The change is the norm over channels of the predicted noise's difference, >= 0. Along: the
    signed share, by cell, of the whole effect of the prompt that goes with the word; it sums over
    cells to the projection of the change on e_c - e_u over the latter's squared norm. Here e_u is
    of the empty prompt, whatever the negative one, so that both exist without guidance.

    Kinds: `prompt` encodes the prompt again without the word, those behind it move up;
    `embedding` replaces the word's own keys of the encoded prompt by `filler` (`empty`: the empty
    prompt's at that position, `padding`: the prompt's own padding), while the other keys, and
    pooled text, keep what they took from it (Toker et al., arXiv 2501.06751, and arXiv
    2504.01137); `replace` puts the next word of its family there. Each of `families` is a text of
    words that exclude each other. Words are `all`, or those with `roles`.

    ValueError: another kind, no families to replace by, a family of models without one key a token.
    """
    if kind not in get_args(Kind) or filler not in get_args(Filler):
        raise ValueError(f"kind: {kind} with filler {filler} is no way to remove a word.")
    if words not in get_args(removals.Chosen):
        raise ValueError(f"words: {words!r} is neither all nor roles.")
    if kind == "replace" and not families:
        raise ValueError("families: kind replace needs texts of words that exclude each other.")
    removed = [_removed(denoiser, step, kind, words, filler, families) for step in steps]
    rows, given = [], []
    for step, conditionings in zip(steps, removed, strict=True):
        (empty,) = removals.without_words(denoiser, [(step, step.words)])
        given += [step.conditioning, empty, *conditionings.values()]
        rows += [step] * (2 + len(conditionings))
    of_steps = removals.outputs_of(denoiser, rows, given).split([2 + len(r) for r in removed])
    return [
        _maps(denoiser, step, list(conditionings), outputs)
        for step, conditionings, outputs in zip(steps, removed, of_steps, strict=True)
    ]


def _maps(
    denoiser: Denoiser, step: Step, removed: Sequence[int], outputs: Tensor
) -> dict[str, np.ndarray]:
    """Maps of a step from its outputs: with all words, with none, without each of those removed."""
    own, empty, *_ = outputs
    change, along = removals.projected(denoiser, step, own - outputs[2:], own - empty)
    found = {}
    for name, values in (("", change), ("along", along)):
        maps = np.full((len(step.words), *values.shape[1:]), np.nan, np.float32)
        maps[list(removed)] = values.cpu().numpy()
        found[name] = maps
    return found


def _removed(
    denoiser: Denoiser,
    step: Step,
    kind: Kind,
    which: removals.Chosen,
    filler: Filler,
    families: Sequence[str],
) -> Mapping[int, Mapping[str, Tensor]]:
    """Conditionings without each word, by the word's index."""
    chosen: list[Word] = removals.chosen_words(step, which)
    if kind == "replace":
        others = {w.index: removals.another(w.text, families, step.prompt) for w in chosen}
        texts = {
            index: rewording.reworded(denoiser.family, step.prompt, {index: other})
            for index, other in others.items()
            if other is not None
        }
        made = rewording.with_texts(
            denoiser.family, [step.conditioning] * len(texts), [(t, ()) for t in texts.values()]
        )
        return dict(zip(texts, made, strict=True))
    if kind == "embedding":
        made = rewording.with_embeddings(
            denoiser.family, step.conditioning, step.prompt, [w.tokens for w in chosen], filler
        )
    else:
        made = removals.without_words(denoiser, [(step, (word,)) for word in chosen])
    return {word.index: conditioning for word, conditioning in zip(chosen, made, strict=True)}
