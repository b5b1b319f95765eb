"""The compose job: pictures of a dataset's scenes, with the exact mask of every word."""

from pathlib import Path

import numpy as np
from PIL import Image

from stepscope.embedded import draws
from stepscope.embedded.scenes import rendered

# Families whose concepts cover the same pixels as a noun that captions may take for them.
NOUNS = {"colour": "background", "frame": "frame", "mark": "mark", "seal": "seal"}


def compose(folder: str, *, scenes: int, seed: int) -> None:
    """Write `scenes` scenes of `seed` into a folder: `<prompt_id>.png`, `<prompt_id>/<word>.png`.

    A mask is white where its word is; words are those of all that the scene shows, also of what its
    caption leaves open.
    """
    for scene in draws.drawn(scenes, seed):
        place = Path(folder, scene.prompt_id)
        place.mkdir(parents=True)
        picture, masks = painted(scene)
        Image.fromarray(picture).save(place.with_suffix(".png"))
        for word, mask in masks.items():
            Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(place / f"{word}.png")


def painted(scene: draws.Drawn) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Picture uint8 (64, 64, 3) of a scene, and the exact mask (64, 64) bool of each word.

    A relation covers no pixels and has none.
    """
    rng = np.random.default_rng([2, scene.seed, scene.number])  # 0 and 1 are those of `scenes`
    picture, masks, _ = rendered(scene.spec, rng)
    nouns = {noun: masks[getattr(scene.spec, family)] for family, noun in NOUNS.items()}
    return picture, masks | nouns
