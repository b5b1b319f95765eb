"""DF-RISE: which latent pixels a step's prediction depends on, from random masks."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import perturbation
from stepscope.methods.effects import main_effects
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
    further similarities, named as such. Results are bitwise the same for the same `block`,
    device and threads. A wrong parameter, an unknown name and a missing region are ValueErrors.
    """
    plan = Plan.of(similarity, quantity, score, tuple(variants), design, keep, seed)
    if masks < 2 or block < 1 or not 0 < keep < 1:
        raise ValueError(
            f"masks: {masks}, block: {block}, keep: {keep}: a comparison of means needs at least 2 "
            "masks, blocks of at least 1 and keep between 0 and 1."
        )
    if error is not None and not (math.isfinite(error) and error > 0):
        raise ValueError(f"error: {error}: a standard error to stop at is above 0.")
    found: Scores | None = None
    for new in block_scores(denoiser, step, plan, range(masks), block):
        found = merged([found, new]) if found else new
        if error is not None and mean_error(found, plan) < error:
            break
    assert found is not None
    return finished(found, plan)


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
        comparisons = {"": Comparison(similarity, quantity, quantity)}
        for name in variants:
            if name == "official":  # the latent after the step against predicted noise
                comparisons[name] = Comparison("official", "next", "noise")
            else:
                kind = "structure" if name == "paper" else name
                comparisons[name] = Comparison(kind, quantity, quantity)
        return cls(comparisons, score, design, keep, seed)


class Scores(NamedTuple):
    """What masks found: all that maps are made of.

    `kept` (B, h, w) bool. `scores` (comparison, B, h, w) float32, or (comparison, B, 1, 1) float64,
    are those of the comparisons that are estimated; of the others `sums` (comparison, h, w)
    float64 has the sum of mask x score.
    """

    kept: np.ndarray
    scores: np.ndarray
    sums: np.ndarray


def block_scores(
    denoiser: Denoiser, step: Step, plan: Plan, numbers: range, block: int
) -> Iterator[Scores]:
    """Scores of the numbered masks, block by block, as `perturbation.blocks` computes them."""
    height, width = step.latent.shape[-2:]

    def masks(part: range) -> np.ndarray:
        first, count = part.start, len(part)
        return draw_masks(plan.seed, step, first, count, plan.keep, (height, width), plan.design)

    compared = list(plan.comparisons.values())
    for kept, found in perturbation.blocks(denoiser, step, compared, masks, numbers, block):
        scores, sums = [], [np.zeros((0, height, width))]
        for name, similarity in zip(plan.comparisons, found, strict=True):
            values = scored(similarity, plan.score, step)
            if name in SUMS:
                sums.append(np.where(kept, values, 0).sum(0, keepdims=True, dtype=np.float64))
            else:
                scores.append(values)
        yield Scores(kept, np.stack(scores), np.concatenate(sums))


def merged(blocks: Iterable[Scores]) -> Scores:
    """All blocks in the order given; in index order, every run gives the same bits."""
    kept, scores, sums = zip(*blocks, strict=True)
    return Scores(np.concatenate(kept), np.concatenate(scores, axis=1), sum(sums[1:], sums[0]))


def mean_error(found: Scores, plan: Plan) -> float:
    """Mean standard error of the default map; infinite while masks have not tried all pixels."""
    if not tried(found.kept):
        return math.inf
    _, error = main_effects(found.kept, found.scores[0], keep=plan.keep, design=plan.design)
    return float(error.mean())


def tried(kept: np.ndarray) -> bool:
    """Whether masks (B, h, w) keep and hide each pixel at least once."""
    return bool((kept.any(0) & ~kept.all(0)).all())


def finished(found: Scores, plan: Plan) -> Maps:
    """Maps by variant, "" being the default with its standard error, and "masks" their number."""
    kept = found.kept
    if not tried(kept):
        raise ValueError("masks: a pixel was never kept, or never hidden; draw more masks.")
    maps: Maps = {"masks": len(kept)}
    scores, sums = iter(found.scores), iter(found.sums)
    for name in plan.comparisons:
        if name in SUMS:
            maps[name] = scaled(next(sums)).astype(np.float32)
            continue
        estimated = main_effects(kept, next(scores), keep=plan.keep, design=plan.design)
        effect, error = (values.astype(np.float32) for values in estimated)
        maps[name] = effect if name else (effect, error)
    return maps
