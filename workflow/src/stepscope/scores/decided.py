"""RQ3, decided: what a state holds already, by continuations that draw their noise anew.

From the latent of a step sampling goes on several times, with fresh noise at every step (DDPM)
and a prompt that leaves the concept open: what all of them show is decided (arXiv 2506.10433,
2602.09651).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize
from scipy.special import entr

from stepscope.language import replaced
from stepscope.scores.commitment import Readings, named_in_order

EMPTY, WITHOUT = "empty", "without"  # the empty prompt, and the own one without a family's concepts


@dataclass(frozen=True)
class Opening:
    """A sample, by its number, with a prompt that leaves the concepts of some families open."""

    sample: int
    given: str
    prompt: str
    families: tuple[str, ...]


def openings(
    prompts: Sequence[str],
    samples: Sequence[int],
    families: Mapping[str, Sequence[str]],
    given: Sequence[str],
    only_named: Collection[str] = (),
) -> list[Opening]:
    """Open prompts of samples: the empty one for all families, the own one without each family's.

    `families` are concepts by family, `given` says which of the two, and families of `only_named`
    are left out where the prompt names none of their concepts. Families whose prompts are the same
    share it.
    """
    found = []
    for sample in samples:
        texts = {
            family: without_concepts(prompts[sample], concepts)
            for family, concepts in families.items()
            if family not in only_named or named_in_order(prompts[sample], concepts)
        }
        if EMPTY in given and texts:
            found.append(Opening(sample, EMPTY, "", tuple(texts)))
        if WITHOUT in given:
            for text in dict.fromkeys(texts.values()):
                same = tuple(family for family in texts if texts[family] == text)
                found.append(Opening(sample, WITHOUT, text, same))
    return found


def without_concepts(prompt: str, concepts: Sequence[str]) -> str:
    """A prompt without the concepts of a family; as it is where it names none."""
    for concept in named_in_order(prompt, concepts):
        prompt = replaced(prompt, concept, "").strip()
    return prompt


def counts_of(probability: np.ndarray) -> np.ndarray:
    """How often each concept is on top (..., concept), of probabilities (..., draw, concept)."""
    top = probability.argmax(-1)
    return (top[..., None] == np.arange(probability.shape[-1])).sum(-2)


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy (...) in nats behind counts (..., concept) of few draws, by Miller and Madow (1955).

    The plug-in estimate, which is too small, plus (K - 1) / 2N for K concepts seen in N draws; 0
    where all show the same. What is above ln N it still misses.
    """
    total = counts.sum(-1, keepdims=True)
    return entr(counts / total).sum(-1) + ((counts > 0).sum(-1) - 1) / (2 * total[..., 0])


def agreement(counts: np.ndarray) -> np.ndarray:
    """Chance (...) that two continuations show the same concept, of counts (..., concept).

    sum n (n - 1) / (N (N - 1)) is unbiased whatever the number N of draws; NaN with one.
    """
    total = counts.sum(-1)
    pairs = np.where(total > 1, total * (total - 1), np.nan)
    return (counts * (counts - 1)).sum(-1) / pairs


def interval(kept: np.ndarray, log_snr: np.ndarray, chance: float) -> tuple[float, float]:
    """Log-SNR, lower and upper, between which a final concept is decided, of (start,) each.

    `kept` is the share of continuations that show it; it is decided where the best rising curve
    through the shares passes the middle between `chance` and 1. Infinite where it is at the first
    start, or at none.
    """
    rising = optimize.isotonic_regression(kept).x
    first = int((rising < (1 + chance) / 2).sum())  # the first start at which it is decided
    ends = np.concatenate([[-np.inf], log_snr, [np.inf]])
    return float(ends[first]), float(ends[first + 1])


def rows_of(
    opening: Opening,
    readings: Mapping[str, Readings],
    stored: Mapping[str, Readings],
    concepts: Mapping[str, Sequence[str]],
    log_snr: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Rows of an open prompt's continuations, a start each, without what says who and when.

    `readings` by reader are (start * draw, concept), `stored` of the stored picture (concept,);
    `concepts` by family. `start` counts from 0.
    """
    for reader, family in ((reader, family) for reader in readings for family in opening.families):
        if family not in readings[reader]:
            continue
        names, final = concepts[family], int(stored[reader][family].argmax())
        shown = readings[reader][family].reshape(len(log_snr), -1, len(names))
        counts = counts_of(shown)
        kept = counts[:, final] / counts.sum(-1)
        lower, upper = interval(kept, log_snr, 1 / len(names))
        numbers = zip(entropy(counts), agreement(counts), kept, strict=True)
        for start, (nats, same, share) in enumerate(numbers):
            yield {
                "start": start,
                "given": opening.given,
                "family": family,
                "concept": names[final],
                "reader": reader,
                "draws": shown.shape[1],
                "entropy": nats,
                "agreement": same,
                "kept": share,
                "lower": lower,
                "upper": upper,
            }
