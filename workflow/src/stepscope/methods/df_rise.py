"""DF-RISE: which latent pixels a step's prediction depends on, from random masks."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import similarity as similarities
from stepscope.methods.differences import added
from stepscope.methods.effects import main_effects
from stepscope.methods.method import method
from stepscope.methods.scaling import scaled
from stepscope.methods.similarity import Kind

Quantity = Literal["noise", "clean", "next", "prompt"]
Score = Literal["pixel", "mean", "region"]
Variant = Literal["paper", "official", Kind]
Quantities: TypeAlias = Callable[[str], Tensor]  # each quantity (B, C, h, w) float32 by its name
# a map (h, w) by variant, or a pair of one and its standard error
Maps: TypeAlias = dict[str, np.ndarray | tuple[np.ndarray, np.ndarray]]


@method(
    smallest=10,  # the window of the similarity would have too few effective pixels
    calls=lambda words, p: p["masks"] + 1,
    target="similarity of the prediction with its own under masks of the latent",
    features="latent pixels, all channels at once, hidden = 0",
    held_fixed="time step, conditioning, guidance",
    halves={"quantity": ("prompt",)},
)
@torch.inference_mode()
def df_rise(
    denoiser: Denoiser,
    step: Step,
    *,
    masks: Annotated[int, {"minimum": 2}] = 500,
    keep: Annotated[float, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}] = 0.5,
    similarity: Kind = "structure",
    quantity: Quantity = "noise",
    score: Score = "pixel",
    variants: Annotated[Sequence[Variant], {"uniqueItems": True}] = (),
    block: Annotated[int, {"minimum": 1}] = 50,
    seed: int = 0,
) -> Maps:
    """Maps (h, w) float32: E[s | pixel kept] - E[s | pixel hidden] and its standard error.

    DF-RISE of the paper with like compared with like, estimated by a regression that takes out what
    a pixel's neighbours do (see `main_effects`). `quantity`: the guided "noise" prediction,
    the "clean" latent, the "next" latent, or what the "prompt" adds (e_c - e_u); the second and
    third contain the latent itself and reward copying it. `score`: s per "pixel", its "mean"
    (RISE proper), or its mean over the objects' "region". `variants` adds maps from the same
    denoiser calls: "paper" (the equation, sum of mask x s), "official" (the authors' code) and
    further similarities, named as such. Results are bitwise the same for the same `block`,
    device and threads. A wrong parameter, an unknown name and a missing region are ValueErrors.
    """
    plan = Plan.of(similarity, quantity, score, tuple(variants), keep, seed)
    if masks < 2 or block < 1 or not 0 < keep < 1:
        raise ValueError(
            f"masks: {masks}, block: {block}, keep: {keep}: a comparison of means needs at least 2 "
            "masks, blocks of at least 1 and keep between 0 and 1."
        )
    original = predictions(denoiser, step.latent[None].to(denoiser.device), step)
    blocks = (
        block_scores(denoiser, step, plan, original, start, min(block, masks - start))
        for start in range(0, masks, block)
    )
    return finished(merged(blocks), plan)


@dataclass(frozen=True)
class Comparison:
    """One map of a run: the variant's name, and which quantities are compared by which similarity.

    `reference` is a quantity of the whole latent, `test` one of the masked latents.
    """

    name: str
    similarity: str
    reference: str
    test: str


@dataclass(frozen=True)
class Plan:
    """What a DF-RISE run compares, first the default, and how it draws masks and scores them."""

    comparisons: tuple[Comparison, ...]
    score: str
    keep: float
    seed: int

    @classmethod
    def of(
        cls,
        similarity: str,
        quantity: str,
        score: str,
        variants: tuple[str, ...],
        keep: float,
        seed: int,
    ) -> "Plan":
        """The plan of checked names; a name that is unknown is a ValueError."""
        for key, value, allowed in (
            ("similarity", similarity, similarities.KINDS),
            ("quantity", quantity, get_args(Quantity)),
            ("score", score, get_args(Score)),
            *(("variants", name, get_args(Variant)) for name in variants),
        ):
            if value not in allowed:
                raise ValueError(f"{key}: {value!r} is none of {', '.join(allowed)}.")
        comparisons = [Comparison("", similarity, quantity, quantity)]
        for name in variants:
            if name == "official":  # the latent after the step against predicted noise
                comparisons.append(Comparison(name, "official", "next", "noise"))
            else:
                kind = "structure" if name == "paper" else name
                comparisons.append(Comparison(name, kind, quantity, quantity))
        return cls(tuple(comparisons), score, keep, seed)


class Scores(NamedTuple):
    """Masks of a block, (B, h, w) bool, and their scores for each comparison of the plan.

    Scores are (comparison, B, h, w), or (comparison, B, 1, 1), float64.
    """

    kept: np.ndarray
    scores: np.ndarray


def draw_masks(
    seed: int, step: Step, start: int, count: int, keep: float, size: tuple[int, int]
) -> np.ndarray:
    """Masks start .. start + count - 1, (count, h, w) bool, True = kept, independent per pixel.

    Counter based: mask i of a sample's step is the same whatever was drawn before, on any machine.
    No two samples share their masks.
    """
    name = f"{seed}/{step.prompt_id}/{step.seed}/{step.number}"
    digest = hashlib.sha256(name.encode()).digest()[:16]
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    return np.stack(
        [
            np.random.Generator(np.random.Philox(key=key, counter=[0, 0, index, 0])).random(size)
            < keep
            for index in range(start, start + count)
        ]
    )


def block_scores(
    denoiser: Denoiser, step: Step, plan: Plan, original: Quantities, start: int, count: int
) -> Scores:
    """Scores of one block of masks; blocks may be computed anywhere and in any order.

    `original` are the predictions (1, C, h, w) of the whole latent, the same for all blocks.
    """
    latent = step.latent.to(denoiser.device)
    height, width = latent.shape[-2:]
    kept = draw_masks(plan.seed, step, start, count, plan.keep, (height, width))
    tested = predictions(denoiser, latent * torch.from_numpy(kept).to(latent)[:, None], step)
    window = similarities.gaussian_window(similarities.window_size(height, width)).to(latent.device)
    scores = []
    for comparison in plan.comparisons:
        similarity = similarities.similarity(
            comparison.similarity,
            original(comparison.reference)[0],
            tested(comparison.test),
            window,
        )
        scores.append(scored(similarity, plan.score, step))
    return Scores(kept, np.stack(scores))


def predictions(denoiser: Denoiser, latents: Tensor, step: Step) -> Quantities:
    """One denoiser call; a function that gives each quantity (B, C, h, w) float32 by its name."""
    outputs = denoiser.outputs(latents, step)
    guided = denoiser.guided(outputs.float())

    def quantity(name: str) -> Tensor:
        if name == "noise":
            return denoiser.noise(latents, guided, step)
        if name == "clean":
            return denoiser.clean(latents, guided, step)
        if name == "next":  # in the model's own numbers, as the sampler made it
            return denoiser.advance(latents, denoiser.guided(outputs), step).float()
        return added(*(denoiser.noise(latents, half, step) for half in outputs.unbind(1)))

    return quantity


def scored(similarity: Tensor, score: str, step: Step) -> np.ndarray:
    """Scores of B masks as float64 from (B, h, w): (B, h, w) per pixel, otherwise (B, 1, 1).

    A region's score of a step without object masks is a ValueError.
    """
    values = similarity.cpu().numpy().astype(np.float64)
    if score == "pixel":
        return values
    if score == "mean":
        return values.mean((1, 2), keepdims=True)
    if step.mask is None or not step.mask.any():
        raise ValueError(f"score: region needs object masks, and {step.prompt_id} has none.")
    weights = np.asarray(step.mask, dtype=np.float64)
    return (values * weights).sum((1, 2), keepdims=True) / weights.sum()


def merged(blocks: Iterable[Scores]) -> Scores:
    """All blocks in the order given; in index order, every run gives the same bits."""
    kept, scores = zip(*blocks, strict=True)
    return Scores(np.concatenate(kept), np.concatenate(scores, axis=1))


def finished(found: Scores, plan: Plan) -> Maps:
    """Maps by variant, "" being the default with its standard error."""
    kept, of_all = found
    if not (kept.any(0) & ~kept.all(0)).all():
        raise ValueError("masks: a pixel was never kept, or never hidden; draw more masks.")
    maps: Maps = {}
    for comparison, scores in zip(plan.comparisons, of_all, strict=True):
        name = comparison.name
        if name in ("paper", "official"):
            maps[name] = scaled(np.where(kept, scores, 0.0).sum(0)).astype(np.float32)
            continue
        effect, error = (values.astype(np.float32) for values in main_effects(kept, scores))
        maps[name] = effect if name else (effect, error)
    return maps
