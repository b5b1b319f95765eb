"""Deletion and insertion games: hiding what matters should change a step's result most."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, tee
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import xarray as xr
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.joblog import bar
from stepscope.methods import baselines
from stepscope.methods import similarity as similarities
from stepscope.models import judges, pipelines
from stepscope.pictures.decode import pictures_of
from stepscope.scores.game_states import ENDS, States, states_of
from stepscope.store import tables
from stepscope.store.error_left import named_steps
from stepscope.store.maps import flat, open_dataset, read_maps
from stepscope.store.traces import (
    chosen_steps,
    final_latents,
    latent_size,
    open_trace,
    read_pairs,
    replay_settings,
)
from stepscope.table_registry import TABLES

GAMES = ("deletion", "insertion")
SCORES = {"clip_distance": "auc_distance", "clip_cosine": "auc_similarity"}


def auc(curves: np.ndarray) -> np.ndarray:
    """Area under curves (..., move): (sum a - a_0 / 2 - a_n / 2) / n, the trapezoidal rule."""
    return np.trapezoid(curves, axis=-1) / (curves.shape[-1] - 1)


def auc_of_few(curves: np.ndarray) -> np.ndarray:
    """Area under curves (..., move), NaN where one has NaN, of cubics between few points.

    The trapezoidal rule is too large where curves are convex, as insertion's are; cubics that are
    monotone between points (PCHIP) overshoot nowhere, and amplify noise less than Simpson's rule.
    """
    known = np.isfinite(curves).all(-1)
    shares = np.linspace(0, 1, curves.shape[-1])
    cubics = PchipInterpolator(shares, np.where(known[..., None], curves, 0), axis=-1)
    return np.where(known, cubics.integrate(0, 1), np.nan)[()]  # of one curve a number


def normalised(curves: np.ndarray, game: str) -> np.ndarray:
    """Curves (..., move) of a game between the untouched state, 1, and the one wholly changed, 0.

    So the scores of steps and samples, distances and cosines compare. NaN where the two are equal.
    """
    first, last = curves[..., :1], curves[..., -1:]
    untouched, changed = (first, last) if game == "deletion" else (last, first)
    apart = untouched - changed
    return (curves - changed) / np.where(apart == 0, np.nan, apart)


@torch.inference_mode()
def play_steps(
    denoiser: Denoiser,
    played: Iterable[tuple[Step, np.ndarray]],
    features_of: judges.Features,
    *,
    deletion: str = "zero",
    insertion: str = "blur",
    moves: int | None = None,
    batch: int = 64,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """Curves (map, game, score, move) of the M maps (M, h, w) of each step, float64.

    A move hides or shows an equal share of the pixels; `moves` None is one a row of the latent. At
    each of the moves + 1 states the denoiser and one scheduler step run without history, and the
    decoded result is compared with the unperturbed one: squared distance and cosine of features.
    States that are equal are computed once, and those of several steps go through the model
    together.
    """
    waiting: deque[States] = deque()

    def rows() -> Iterator[tuple[Step, Tensor]]:
        for step, maps in played:
            count = moves or maps.shape[-2]
            states = states_of(step, maps, deletion, insertion, count, seed)
            waiting.append(states)
            for latent in states.distinct:
                yield step, latent

    left = rows()
    batches = iter(lambda: list(islice(left, batch)), [])
    features = chain.from_iterable(results(denoiser, together, features_of) for together in batches)
    for first in features:
        states = waiting.popleft()
        of_step = torch.stack([first, *islice(features, len(states.distinct) - 1)])
        yield curves_of(states, of_step[states.places.to(of_step.device)].double())


def play_step(
    denoiser: Denoiser, step: Step, maps: np.ndarray, features_of: judges.Features, **options: Any
) -> np.ndarray:
    """Curves of one step alone (see `play_steps`)."""
    (curves,) = play_steps(denoiser, [(step, maps)], features_of, **options)
    return curves


def results(
    denoiser: Denoiser, states: Sequence[tuple[Step, Tensor]], features_of: judges.Features
) -> Tensor:
    """Features (B, width) of the decoded latents after one step from B latents (C, h, w)."""
    steps = [step for step, _ in states]
    latents = torch.stack([latent for _, latent in states]).to(denoiser.device)
    output = denoiser.guided(denoiser.outputs(latents, steps))
    return features_of(denoiser.decode(denoiser.advance(latents, output, steps)))


def curves_of(states: States, features: Tensor) -> np.ndarray:
    """Curves (map, game, score, move) from the features (state, width) of a step's states."""
    scores = compared(features, features[0]).cpu().numpy()  # (score, state)
    of_ends, of_inner = np.split(scores, [ENDS], axis=1)
    original, gone, start = of_ends.T
    middle = of_inner.reshape(len(SCORES), len(GAMES), states.maps, -1)
    curves = np.empty((states.maps, len(GAMES), len(SCORES), middle.shape[-1] + 2))
    curves[..., 1:-1] = middle.transpose(2, 1, 0, 3)
    deleted, inserted = curves.swapaxes(0, 1)  # views (map, score, move)
    deleted[..., 0], deleted[..., -1] = original, gone
    inserted[..., 0], inserted[..., -1] = start, original
    return curves


def compared(features: Tensor, reference: Tensor) -> Tensor:
    """Squared distance and cosine (2, B) of features (B, width) with a reference (width,)."""
    distance = ((features - reference) ** 2).sum(-1)
    return torch.stack([distance, F.cosine_similarity(features, reference[None], dim=-1)])


def similarity_of(name: str, attrs: Mapping[str, Any]) -> str:
    """Similarity behind a map of a store with these attributes; "" where a method has none."""
    variant = name.removeprefix(attrs["method"]).removeprefix("_")
    if variant in ("paper", "official"):
        return "structure"
    return variant if variant in similarities.KINDS else attrs["parameters"].get("similarity", "")


def play_batch(
    traces: str,
    maps: Sequence[str],
    *,
    model: dict[str, Any],
    clip: dict[str, Any],
    games: Mapping[str, Any],
    keys: dict[str, str],
    seed: int,
    error_left: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables rq1_auc and rq1_curves of a batch, for map stores or, without any, the baselines.

    `games` is the config's entry, `error_left` the curve by which it may name steps. A map without
    contrast ranks nothing: its AUC is NaN.
    """
    tree = open_trace(traces)
    denoiser = Denoiser(pipelines.load(model), **replay_settings(tree))
    maps_of_method = {}
    if not maps:
        pictures = pictures_of(denoiser, torch.from_numpy(final_latents(tree)))
        maps_of_method = baselines.maps(tree, seed, pictures)
    similarity = dict.fromkeys(maps_of_method, "")
    for path in maps:
        stored, attrs = read_maps(path), open_dataset(path).attrs
        maps_of_method |= flat(stored)
        similarity |= {name: similarity_of(name, attrs) for name in stored}
    pairs = chosen_steps(tree, named_steps(games["steps"], error_left), games["samples"])
    played = {pair: computed for pair in pairs if (computed := present(maps_of_method, *pair))}
    moves = games["moves"] or latent_size(tree)[0]
    area = auc_of_few if games["moves"] else auc
    calls = sum(ENDS + 2 * len(computed) * (moves - 1) for computed in played.values())
    print(f"Budget: {len(played)} steps, {calls:,} guided denoiser calls.", flush=True)
    features_of = judges.clip_features(judges.load_clip(clip)[0])
    options = {name: games[name] for name in (*GAMES, "moves", "batch")} | {"seed": seed}
    areas: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    steps, keyed = tee(read_pairs(tree, list(played)))
    stacked = (np.stack(list(computed.values())) for computed in played.values())
    every = play_steps(denoiser, zip(steps, stacked, strict=True), features_of, **options)
    finished = zip(keyed, played.values(), every, strict=True)
    for step, computed, curves in bar(finished, "steps played", len(played)):
        for (name, map_), curves_of_map in zip(computed.items(), curves, strict=True):
            key = keys | key_of(step) | {"method": name, "similarity": similarity[name]}
            if map_.max() == map_.min():
                print(
                    f"{name}: {step.prompt_id}, seed {step.seed}, step {step.number}: constant map."
                )
                curves_of_map = np.full_like(curves_of_map, np.nan)
            for row, column, curve in labelled(curves_of_map, key, games):
                shares = normalised(curve, row["game"])
                found = {column: area(curve), "auc_normalised": area(shares)}
                areas.append(row | dict.fromkeys(SCORES.values(), np.nan) | found)
                points += [
                    row | {"move": move, "value": value, "normalised": share}
                    for move, (value, share) in enumerate(zip(curve, shares, strict=True))
                ]
    return (
        tables.ordered(pd.DataFrame(areas, columns=TABLES["rq1_auc"].columns), "rq1_auc"),
        tables.ordered(pd.DataFrame(points, columns=TABLES["rq1_curves"].columns), "rq1_curves"),
    )


def present(maps: Mapping[str, xr.DataArray], sample: int, number: int) -> dict[str, np.ndarray]:
    """The maps (h, w) that were computed for a sample's step."""
    of_step = {
        name: values.isel(sample=sample, step=number - 1).values for name, values in maps.items()
    }
    return {name: map_ for name, map_ in of_step.items() if np.isfinite(map_).all()}


def labelled(
    curves: np.ndarray, key: dict[str, Any], games: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str, np.ndarray]]:
    """(key columns, column of its area, curve) of each curve of a map's (game, score, move)."""
    for game, of_game in zip(GAMES, curves, strict=True):
        for (score, column), curve in zip(SCORES.items(), of_game, strict=True):
            yield key | {"game": game, "substrate": games[game], "score": score}, column, curve


def key_of(step: Step) -> dict[str, Any]:
    """Key columns of a step."""
    names = ("prompt_id", "seed", "timestep", "log_snr")
    return {"step": step.number} | {name: getattr(step, name) for name in names}


def write_games(auc_path: str, curves_path: str, **arguments: Any) -> None:
    """Write a batch's parts of rq1_auc and rq1_curves (see `play_batch`)."""
    areas, curves = play_batch(**arguments)
    tables.write(auc_path, areas)
    tables.write(curves_path, curves)
