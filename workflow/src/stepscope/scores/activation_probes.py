"""RQ3, before it is visible: probes of a network's activations at the stored steps.

What the unconditional half holds it has of the latent alone, as the prompt is not its input. Beside
the probes stands what a reader sees in the clean predictions of the same steps and samples.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepscope.diffusion.denoiser import Denoiser
from stepscope.models import pipelines
from stepscope.scores import linear_probes, pooled_activations, readers, shown_concepts
from stepscope.scores.probe_courses import SEEN, Course, Scored, Target, course, scored
from stepscope.scores.shown_concepts import Families, Shown
from stepscope.store.traces import (
    open_trace,
    prompt_ids_of,
    prompts_of,
    replay_settings,
    seed_by_seed,
    seeds_of,
    times_of,
)


def probe(
    traces: Sequence[str],
    previews: Sequence[str],
    concepts: Sequence[str],
    *,
    model: dict[str, Any],
    reader: tuple[str, Mapping[str, Any]] | None,
    families: Families,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[list[Course], dict[str, np.ndarray]]:
    """Courses of all that is probed, and number, time step and log-SNR of the probed steps.

    `traces`, `previews` and `concepts` (parts of rq3_concepts) are of all batches of one model,
    dataset and sampling; `reader` is the name and entry of one beside the CLIP, and `settings` the
    config's entry. A layer that the network lacks is a ValueError.
    """
    trees = [open_trace(path) for path in traces]
    denoiser = Denoiser(pipelines.load(model), **replay_settings(trees[0]))
    layers = pooled_activations.layers_of(denoiser.family, settings["layers"])
    numbers = settings["steps"] or times_of(trees[0])["step"].tolist()
    times = {name: of[np.array(numbers) - 1] for name, of in times_of(trees[0]).items()}
    chosen = [sorted(seed_by_seed(tree)[: settings["samples"]]) for tree in trees]
    who = [
        (prompts_of(tree)[sample], str(prompt_ids_of(tree)[sample]), int(seeds_of(tree)[sample]))
        for tree, own in zip(trees, chosen, strict=True)
        for sample in own
    ]
    samples = shown_concepts.samples_of(who, families)
    seen = {readers.CLIP: shown_concepts.by_table(concepts, samples, numbers, families)}
    if reader is not None:
        name, entry = reader
        seen[name] = shown_concepts.by_reader(entry, previews, chosen, samples, numbers, families)
    asked = [
        (of, shown)
        for name, of_reader in seen.items()
        for family, shown in of_reader.items()
        if (of := _target(name, family, shown, samples, families, settings, seed)) is not None
    ]
    courses = [_seen(of, shown, families) for of, shown in asked]
    if not asked:
        return courses, times
    folds = linear_probes.folds_of(samples.prompts, seed)
    targets = [of for of, _ in asked]
    found: dict[tuple[str, str], list[list[Scored]]] = defaultdict(list)
    print(f"Budget: {len(who) * len(numbers):,} denoiser calls.", flush=True)
    states = [
        pooled_activations.states(tree, own, numbers)
        for tree, own in zip(trees, chosen, strict=True)
    ]
    for of_step in zip(*states, strict=True):
        together = [step for of_batch in of_step for step in of_batch]
        for place, values in pooled_activations.activations(denoiser, together, layers).items():
            read = linear_probes.held_out(values, folds, targets)
            found[place].append(list(map(scored, targets, read)))
    courses += [
        course(of, *place, [of_step[number] for of_step in steps])
        for place, steps in found.items()
        for number, of in enumerate(targets)
    ]
    return courses, times


def _target(
    reader: str,
    family: str,
    shown: Shown,
    samples: shown_concepts.Samples,
    families: Families,
    settings: Mapping[str, Any],
    seed: int,
) -> Target | None:
    """What probes learn of a family by a reader; None without two concepts."""
    return linear_probes.target(
        reader,
        family,
        families[family]["concepts"],
        shown.final,
        samples.prompts,
        samples.seeds,
        samples.named[family],
        least=settings["least"],
        draws=settings["shuffles"],
        seed=seed,
    )


def _seen(target: Target, shown: Shown, families: Families) -> Course:
    """The course of what the reader sees in clean predictions."""
    names = families[target.family]["concepts"]
    places = {names.index(concept): place for place, concept in enumerate(target.concepts)}
    number = np.array([*(places.get(concept, -1) for concept in range(len(names))), -1])
    read = number[shown.early[:, target.rows]]
    return course(target, SEEN, "", [scored(target, of_step) for of_step in read])
