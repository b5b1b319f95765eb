"""What probes are asked, and how well they do step by step, of numbers alone."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

ALL, NAMED, OPEN = "all", "named", "open"  # prompts whose pictures are asked about
# In the place of a layer: what the network is given, and what a reader sees without a probe.
LATENT, SEEN = "latent", "clean prediction"
UNCOND, COND = HALVES = ("uncond", "cond")


class Target(NamedTuple):
    """Concepts of a family, as a reader sees them in the final pictures of some samples."""

    reader: str
    family: str
    concepts: tuple[str, ...]
    left_out: tuple[str, ...]  # concepts that too few prompts show
    rows: np.ndarray  # (n,) int, which samples they are
    labels: np.ndarray  # (1 + draw, n) int, numbers of concepts; the first are the pictures' own
    prompts: np.ndarray  # (n,) of prompt_id
    seeds: np.ndarray  # (n,) int
    named: np.ndarray  # (n,) bool, whether the prompt names a concept of the family

    def asked(self) -> Iterator[tuple[str, np.ndarray]]:
        """Which prompts, and whether each sample is of them (n,), where they show two concepts."""
        everything = np.ones_like(self.named)
        for name, mask in ((ALL, everything), (NAMED, self.named), (OPEN, ~self.named)):
            if len(np.unique(self.labels[0, mask])) > 1:
                yield name, mask


class Scored(NamedTuple):
    """What is right at a step."""

    hits: np.ndarray  # (n,) bool, whether a sample's own label is read
    control: dict[str, np.ndarray]  # balanced accuracy (draw,) of shuffled labels, by prompts


class Course(NamedTuple):
    """How well a target is read, step by step, from a layer of a half or from clean predictions."""

    target: Target
    layer: str
    half: str  # none ("") of the latent and of clean predictions
    hits: np.ndarray  # (step, n) bool
    control: dict[str, np.ndarray]  # (step, draw)


def scored(target: Target, read: np.ndarray) -> Scored:
    """What is right of the concepts (1 + draw, n) int that probes read, or (n,) that a reader."""
    hits = read == target.labels
    control = {
        name: balanced_accuracy(hits[1:, mask], target.labels[1:, mask])
        for name, mask in target.asked()
    }
    return Scored(hits[0], control)


def course(target: Target, layer: str, half: str, steps: Sequence[Scored]) -> Course:
    """The course of a target's steps."""
    control = {name: np.stack([of.control[name] for of in steps]) for name in steps[0].control}
    return Course(target, layer, half, np.stack([of.hits for of in steps]), control)


def balanced_accuracy(hits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over concepts of the share that is read right, (draw,), of hits and labels (draw, n).

    Concepts that are not among a draw's labels do not count.
    """
    is_concept = labels[..., None] == np.unique(labels)  # (draw, n, concept)
    count = is_concept.sum(1)
    right = (is_concept & hits[..., None]).sum(1)
    share = np.divide(right, count, out=np.zeros(count.shape), where=count > 0)
    return share.sum(-1) / (count > 0).sum(-1)
