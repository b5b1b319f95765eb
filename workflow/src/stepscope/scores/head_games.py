"""RQ2: the attention heads' game, which shares nothing with maps and masks.

Heads are weakened, several a move, in the order of a method's scores of them: what a word does to
the step should be lost first where the method is right about heads. Ordered weakening is from head
relevance vectors (Park et al., arXiv 2412.02237); here a weakened head reads the prompt without the
word (see `methods.weakened_heads`), so that both ends of a curve are known.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.joblog import bar
from stepscope.methods import baselines, removals
from stepscope.methods.head_relevance import head_relevance
from stepscope.methods.method import HEAD
from stepscope.methods.replaying import replaying
from stepscope.methods.weakened_heads import Weakening, head_names
from stepscope.models.words import Word
from stepscope.scores.game_states import RANDOM, key_of, random_orders, ranking
from stepscope.store import tables
from stepscope.store.error_left import named_steps
from stepscope.store.maps import read_methods
from stepscope.store.traces import chosen_steps, open_trace, read_pairs
from stepscope.table_registry import TABLES

WHOLE = "prompt"  # the role under which the prompt as a whole is played
ALONE, RELEVANCE, MASS = "alone", "relevance", "_mass"
FEW = 256  # heads at most whose own effects are measured one by one, a row of the network each


class Played(NamedTuple):
    """Words that weakened heads do not read, and the role, text and place they are played under."""

    words: tuple[Word, ...]
    role: str
    text: str
    place: float


def played_of(step: Step, roles: Sequence[str] | None) -> list[Played]:
    """The prompt as a whole, and each of its words with one of these roles, with any for None."""
    with_role = [word for word in step.words if word.role]
    chosen = [word for word in with_role if roles is None or word.role in roles]
    return [
        Played(step.words, WHOLE, "", np.nan),
        *(Played((word,), word.role, word.text, word.index) for word in chosen),
    ]


def weakened_counts(heads: int, moves: int) -> np.ndarray:
    """Number of heads that are weakened after each of so many moves, from none to all, i8."""
    moves = min(moves, heads)
    return (np.arange(moves + 1) * heads + moves // 2) // moves


def rows_of(heads: int, moves: int, draws: int) -> int:
    """Rows of the network, at most, that a game takes: of four methods and random orders."""
    orders = 4 + draws
    return 2 + orders * (min(moves, heads) - 1) + heads * (heads <= FEW)


def curves_of(weakening: Weakening, ranks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Shares lost (order, state, 2) f8 when heads are weakened by rank (order, head), 0 first.

    What is lost is that of `Weakening.lost`; states that are equal are computed once.
    """
    weak = ranks[:, None] < counts[:, None]  # (order, state, head)
    distinct, places = np.unique(weak.reshape(-1, weak.shape[-1]), axis=0, return_inverse=True)
    number = distinct.sum(1)
    inner = (number > 0) & (number < weak.shape[-1])  # the ends are known
    ends = weakening.lost(torch.stack([weakening.own, weakening.other])).cpu().numpy()
    values = ends[(number > 0).astype(int)]
    if inner.any():
        outputs = weakening.outputs(torch.from_numpy(distinct[inner]))
        values[inner] = weakening.lost(outputs).cpu().numpy()
    return values[places.reshape(weak.shape[:2])]


def own_effects(weakening: Weakening) -> np.ndarray:
    """Share of the effect (head,) f8 that is lost with each head alone, by projection."""
    outputs = weakening.outputs(torch.eye(weakening.heads, dtype=torch.bool))
    return weakening.lost(outputs)[:, 0].cpu().numpy()


def grounding_scores(
    table: pd.DataFrame, step: Step, names: Sequence[str]
) -> dict[str, dict[int, np.ndarray]]:
    """Average precision (head,) of the attention of each head by method and word, at a step.

    `table` is rq2_heads; a head without a number, as of a layer that the method leaves out, is NaN.
    """
    own = (table["prompt_id"] == step.prompt_id) & (table["seed"] == step.seed)
    rows = table[own & (table["step"] == step.number) & (table["head"] != "")]
    rows = rows.assign(name=rows["layer"] + HEAD + rows["head"])
    found: dict[str, dict[int, np.ndarray]] = {}
    for (method, _), of_word in rows.groupby(["method", "word_index"]):
        scores = of_word.set_index("name")["average_precision"].reindex(list(names))
        word = int(of_word["word_index"].iloc[0])
        found.setdefault(str(method), {})[word] = scores.to_numpy()
    return found


def mass_scores(
    maps: Mapping[str, xr.DataArray], sample: int, step: Step, names: Sequence[str]
) -> dict[str, dict[int, np.ndarray]]:
    """Mean attention (head,) that cells pay to each word, by method; NaN where there is no map."""
    found = {}
    for method, values in maps.items():
        means = values.isel(sample=sample, step=step.number - 1).mean(["y", "x"])
        means = means.reindex(layer=list(names)).transpose("word", "layer")
        found[f"{method}{MASS}"] = dict(enumerate(means.to_numpy()[: len(step.words)]))
    return found


def scores_of(
    by_word: Mapping[str, Mapping[int, np.ndarray]], words: Sequence[Word]
) -> dict[str, np.ndarray]:
    """Each method's scores (head,) for words, their mean; heads without one come last.

    A method that has no score for any of the words is left out.
    """
    found = {}
    for method, scores in by_word.items():
        rows = [scores[word.index] for word in words if word.index in scores]
        known = [row for row in rows if np.isfinite(row).any()]
        if known:
            mean = np.mean(known, axis=0)
            found[method] = np.where(np.isfinite(mean), mean, -np.inf)
    return found


def orders_of(
    scores: Mapping[str, np.ndarray], heads: int, draws: int, step: Step, seed: int
) -> tuple[list[str], np.ndarray]:
    """Methods and ranks (order, head), 0 first, of what is played: by scores, and `draws` random.

    Ties are drawn; random orders come in pairs of one and its reverse.
    """
    names = (seed, step.prompt_id, step.seed, step.number)
    first = baselines.generator("heads", *names).random(heads, dtype=np.float32)
    every = [(RANDOM, order) for order in random_orders(first, draws, step, seed)]
    every += list(scores.items())
    ranks = [ranking(order, baselines.generator("ties", *names)) for _, order in every]
    return [method for method, _ in every], np.stack(ranks)


def play(
    denoiser: Denoiser,
    step: Step,
    by_word: Mapping[str, Mapping[int, np.ndarray]],
    *,
    roles: Sequence[str] | None,
    moves: int,
    draws: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of rq2_head_games of a step, without keys of its batch.

    `by_word` are scores (head,) by method and word. Beside these are played the order of each
    head's own effect, which no method can know, and random ones, whose curves are averaged.
    """
    every = played_of(step, roles)
    others = removals.without_words(denoiser, [(step, one.words) for one in every])
    for one, other in zip(every, others, strict=True):
        weakening = Weakening(denoiser, step, other)
        counts = weakened_counts(weakening.heads, moves)
        scores = scores_of(by_word, one.words)
        if weakening.heads <= FEW:
            scores[ALONE] = own_effects(weakening)
        methods, ranks = orders_of(scores, weakening.heads, draws, step, seed)
        curves = curves_of(weakening, ranks, counts)
        for method in dict.fromkeys(methods):
            mean = curves[[name == method for name in methods]].mean(0)
            key = key_of(step) | {"word": one.text, "word_index": one.place, "role": one.role}
            for share, (lost, changed) in zip(counts / weakening.heads, mean, strict=True):
                point = {"weakened": share, "lost": lost, "changed": changed}
                yield key | {"method": method} | point


def play_batch(
    traces: str,
    *,
    grounding: str,
    maps: Sequence[str],
    model: dict[str, Any],
    game: Mapping[str, Any],
    keys: dict[str, str],
    seed: int,
    error_left: str | None = None,
) -> pd.DataFrame:
    """Table rq2_head_games of a batch.

    `grounding` is its part of rq2_heads, `maps` are stores of maps by head, `game` is the config's
    entry, `error_left` the curve by which it may name steps.
    """
    tree = open_trace(traces)
    denoiser = replaying(model, tree)
    names = head_names(denoiser.family)
    table = tables.read(grounding)
    of_words = {"word", "layer"}  # maps of words that were asked for by name are of no step's words
    by_head = {
        name: values for name, values in read_methods(maps).items() if of_words <= set(values.dims)
    }
    pairs = chosen_steps(tree, named_steps(game["steps"], error_left), game["samples"])
    rows: list[dict[str, Any]] = []
    steps = zip(pairs, read_pairs(tree, pairs), strict=True)
    for (sample, _), step in bar(steps, "steps played", len(pairs)):
        by_word = grounding_scores(table, step, names) | mass_scores(by_head, sample, step, names)
        if denoiser.guidance > 1:
            by_word[RELEVANCE] = dict(enumerate(head_relevance(denoiser, step).T.numpy()))
        options = {name: game[name] for name in ("roles", "moves", "draws")} | {"seed": seed}
        rows += [keys | row for row in play(denoiser, step, by_word, **options)]
    columns = TABLES["rq2_head_games"].columns
    return tables.ordered(pd.DataFrame(rows, columns=columns), "rq2_head_games")


def write_head_games(path: str, **arguments: Any) -> None:
    """Write a batch's part of rq2_head_games (see `play_batch`)."""
    tables.write(path, play_batch(**arguments))
