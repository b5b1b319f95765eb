"""RQ1: tables of the deletion and insertion games of methods' maps, or of the baselines'.

Hiding what matters should change a step's result most.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, tee
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.joblog import bar
from stepscope.methods import baselines
from stepscope.methods import similarity as similarities
from stepscope.models import judges, pipelines
from stepscope.pictures.decode import pictures_of
from stepscope.scores.areas import auc, auc_of_few, normalised
from stepscope.scores.game_scores import SCORES
from stepscope.scores.game_states import (
    RANDOM,
    Setting,
    key_of,
    random_orders,
    settings_of,
    state_count,
)
from stepscope.scores.playing import Play, play_steps
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
    numbers = named_steps(games["steps"], error_left)
    pairs = chosen_steps(tree, numbers, games["samples"])
    played = {pair: computed for pair in pairs if (computed := present(maps_of_method, *pair))}
    wide = set(chosen_steps(tree, numbers, games["others"]))
    settings = {pair: settings_of(games, every=pair in wide) for pair in played}
    moves = games["moves"] or latent_size(tree)[0]
    calls = sum(
        state_count(settings[pair], computed, moves, games["draws"])
        for pair, computed in played.items()
    )
    print(f"Budget: {len(played)} steps, at most {calls:,} guided denoiser calls.", flush=True)
    judged = any(SCORES[name].of == "features" for name in games["scores"])
    features_of = judges.clip_features(judges.load_clip(clip)[0]) if judged else None
    steps, keyed = tee(read_pairs(tree, list(played)))
    plays = (
        Play(step, every_order(computed, games["draws"], step, seed), settings[pair])
        for step, (pair, computed) in zip(steps, played.items(), strict=True)
    )
    options = {name: games[name] for name in ("moves", "batch")} | {"seed": seed}
    every = play_steps(denoiser, plays, games["scores"], features_of, **options)
    areas: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    finished = zip(keyed, played.items(), every, strict=True)
    for step, (pair, computed), curves in bar(finished, "steps played", len(played)):
        merged = averaged(curves, list(computed), games["draws"])
        for (name, map_), curves_of_map in zip(computed.items(), merged, strict=True):
            key = keys | key_of(step) | {"method": name, "similarity": similarity[name]}
            if map_.max() == map_.min():
                print(
                    f"{name}: {step.prompt_id}, seed {step.seed}, step {step.number}: constant map."
                )
                curves_of_map = np.full_like(curves_of_map, np.nan)
            for row, column, curve in labelled(curves_of_map, key, settings[pair], games["scores"]):
                shares = normalised(curve, row["game"])
                area = auc_of_few if games["moves"] else auc
                found = {column: area(curve), "auc_normalised": area(shares)}
                areas.append(row | {"auc_distance": np.nan, "auc_similarity": np.nan} | found)
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


def every_order(
    computed: Mapping[str, np.ndarray], draws: int, step: Step, seed: int
) -> np.ndarray:
    """Maps (M, h, w) that are played at a step: each as it is, the random one with other draws."""
    orders = [
        random_orders(map_, draws, step, seed) if name == RANDOM else [map_]
        for name, map_ in computed.items()
    ]
    return np.stack([map_ for of_name in orders for map_ in of_name])


def averaged(curves: np.ndarray, names: Sequence[str], draws: int) -> Iterator[np.ndarray]:
    """Curves (setting, score, move) of each name, of those (setting, map, score, move) played."""
    ends = np.cumsum([0, *(draws if name == RANDOM else 1 for name in names)])
    return (curves[:, first:last].mean(1) for first, last in pairwise(ends))


def labelled(
    curves: np.ndarray,
    key: dict[str, Any],
    settings: Sequence[Setting],
    scores: Sequence[str],
) -> Iterator[tuple[dict[str, Any], str, np.ndarray]]:
    """(key columns, column of its area, curve) of each curve of a map's (setting, score, move)."""
    for (game, substrate), of_setting in zip(settings, curves, strict=True):
        for score, curve in zip(scores, of_setting, strict=True):
            row = key | {"game": game, "substrate": substrate, "score": score}
            yield row, SCORES[score].area, curve


def write_games(auc_path: str, curves_path: str, **arguments: Any) -> None:
    """Write a batch's parts of rq1_auc and rq1_curves (see `play_batch`)."""
    areas, curves = play_batch(**arguments)
    tables.write(auc_path, areas)
    tables.write(curves_path, curves)
