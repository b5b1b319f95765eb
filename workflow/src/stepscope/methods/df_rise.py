"""DF-RISE: which latent pixels a step's prediction depends on, from random masks."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

import numpy as np
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import perturbation
from stepscope.methods.mask_runs import Run, Scores, chunk_of, extended, mean_error, of_all
from stepscope.methods.masks import EVEN, Design, draw_masks
from stepscope.methods.method import method
from stepscope.methods.perturbation import Comparison, Score, scored
from stepscope.methods.quantities import Quantity
from stepscope.methods.scaling import scaled
from stepscope.methods.similarity import Kind

Variant = Literal["paper", "official", Kind]
# a map (h, w) by variant, or a pair of one and its standard error, and the number of masks
Maps: TypeAlias = dict[str, np.ndarray | tuple[np.ndarray, np.ndarray] | int]
SUMS = ("paper", "official")  # variants that are sums of mask x score


@method(
    smallest=10,  # the window of the similarity would have too few effective pixels
    calls=lambda words, p: p["masks"] + 1,
    target="similarity of the prediction with its own under masks of the latent",
    features="latent pixels, all channels at once, hidden = 0",
    held_fixed="time step, conditioning, guidance",
    halves={"quantity": ("prompt",)},
    fixes={"design": {"paired": {"keep": 0.5}, "orthogonal": {"keep": 0.5}}},
)
@torch.inference_mode()
def df_rise(
    denoiser: Denoiser,
    step: Step,
    *,
    masks: Annotated[int, {"minimum": 2}] = 512,
    error: Annotated[float | None, {"exclusiveMinimum": 0}] = None,
    design: Design | None = None,
    keep: Annotated[float, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}] = 0.5,
    similarity: Kind = "structure",
    quantity: Quantity = "noise",
    score: Score = "pixel",
    variants: Annotated[Sequence[Variant], {"uniqueItems": True}] = (),
    block: Annotated[int, {"minimum": 1}] = 64,
    seed: int = 0,
) -> Maps:
    """Maps (h, w) float32: E[s | pixel kept] - E[s | pixel hidden] and its standard error.

    DF-RISE of the paper with like compared with like. With `keep` 0.5 it is the pixel's Banzhaf
    value, estimated by maximum sample reuse; what near pixels do linearly is taken out (see
    `main_effects`). `design` is how masks are drawn: "independent" of each other, "paired" with
    their complements, or "orthogonal" in sets of 64 (see `draw_masks`), which is what None stands
    for with `keep` 0.5; another `keep` needs independent ones.
    `error` stops before all `masks` are drawn, at the end of a block, when the map's mean standard
    error is below it; "masks" is the number that was. `quantity`: the guided "noise" prediction,
    the "clean" latent, the "next" latent, or what the "prompt" adds (e_c - e_u); the second and
    third contain the latent itself and reward copying it. `score`: s per "pixel", its "mean"
    (RISE proper), or its mean over the objects' "region". `variants` adds maps from the same
    denoiser calls: "paper" (the equation, sum of mask x s), "official" (the authors' code) and
    further similarities, named as such; "features", of the decoded pictures of the clean prediction
    (see `perturbation.Comparison`), is one number a mask whatever `quantity` and `score` are.
    Results are bitwise the same for the same `block`, device and threads, in one run or in parts
    (see `mask_runs`). A wrong parameter, an unknown name, a missing region and features without a
    judge are ValueErrors.
    """
    plan = Plan.of(similarity, quantity, score, tuple(variants), design, keep, seed)
    if masks < 2 or block < 1 or not 0 < keep < 1:
        raise ValueError(
            f"masks: {masks}, block: {block}, keep: {keep}: a comparison of means needs at least 2 "
            "masks, blocks of at least 1 and keep between 0 and 1."
        )
    if error is not None and not (math.isfinite(error) and error > 0):
        raise ValueError(f"error: {error}: a standard error to stop at is above 0.")
    run = Run()
    for found in block_scores(denoiser, step, plan, blocks_of(range(masks), block, keep)):
        run = extended(run, found, keep, plan.design)
        if error is not None and mean_error(run, keep, plan.design) < error:
            break
    return finished(run, plan)


@dataclass(frozen=True)
class Plan:
    """What a DF-RISE run compares, by variant, and how it draws masks and scores them.

    The default's comparison, "", is the first.
    """

    comparisons: dict[str, Comparison]
    score: str
    design: Design
    keep: float
    seed: int

    @classmethod
    def of(
        cls,
        similarity: str,
        quantity: str,
        score: str,
        variants: tuple[str, ...],
        design: Design | None,
        keep: float,
        seed: int,
    ) -> "Plan":
        """The plan of checked names; a name that is unknown is a ValueError."""
        perturbation.check(similarity, quantity, score)
        for key, value, allowed in (
            *([] if design is None else [("design", design, get_args(Design))]),
            *(("variants", name, get_args(Variant)) for name in variants),
        ):
            if value not in allowed:
                raise ValueError(f"{key}: {value!r} is none of {', '.join(allowed)}.")
        if design is None:
            design = "orthogonal" if keep == EVEN else "independent"
        if design != "independent" and keep != EVEN:
            raise ValueError(
                f"keep: {keep}: masks of the design {design} keep {EVEN}; set keep to it, or the "
                "design to independent."
            )
        comparisons = {"": Comparison.of(similarity, quantity)}
        for name in variants:
            if name == "official":  # the latent after the step against predicted noise
                comparisons[name] = Comparison("official", "next", "noise")
            else:
                kind = "structure" if name == "paper" else name
                comparisons[name] = Comparison.of(kind, quantity)
        return cls(comparisons, score, design, keep, seed)


def blocks_of(masks: range, block: int, keep: float) -> Iterator[range]:
    """Masks of the blocks of a run, or a part of it; none is of two chunks.

    A part that begins at a multiple of `block` has the blocks that the whole run has there.
    """
    start, chunk = masks.start, chunk_of(keep)
    while start < masks.stop:
        stop = min(start + block, masks.stop, start + chunk - start % chunk)
        yield range(start, stop)
        start = stop


def block_scores(
    denoiser: Denoiser, step: Step, plan: Plan, blocks: Iterable[range]
) -> Iterator[Scores]:
    """Scores of blocks of numbered masks, as `perturbation.blocks` computes them."""
    height, width = step.latent.shape[-2:]

    def masks(block: range) -> np.ndarray:
        first, count = block.start, len(block)
        return draw_masks(plan.seed, step, first, count, plan.keep, (height, width), plan.design)

    compared = list(plan.comparisons.values())
    for kept, found in perturbation.blocks(denoiser, step, compared, masks, blocks):
        scores, sums = [], [np.zeros((0, height, width))]
        for name, similarity in zip(plan.comparisons, found, strict=True):
            values = scored(similarity, plan.score, step)
            if name in SUMS:
                sums.append(np.where(kept, values, 0).sum(0, keepdims=True, dtype=np.float64))
            else:
                scores.append(values)
        yield Scores(kept, tuple(scores), np.concatenate(sums))


def finished(run: Run, plan: Plan) -> Maps:
    """Maps by variant, "" being the default with its standard error, and "masks" their number."""
    found = of_all(run, plan.keep, plan.design)
    maps: Maps = {"masks": found.masks}
    estimates, sums = zip(found.effects, found.errors, strict=True), iter(found.sums)
    for name in plan.comparisons:
        if name in SUMS:
            maps[name] = scaled(next(sums)).astype(np.float32)
            continue
        effect, error = (values.astype(np.float32) for values in next(estimates))
        maps[name] = effect if name else (effect, error)
    return maps
