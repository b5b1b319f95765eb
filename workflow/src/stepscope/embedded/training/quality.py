"""How good the embedded model is: generated pictures, as judges and untrained readers see them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from stepscope.embedded import scenes
from stepscope.embedded.training import clock, pipeline
from stepscope.embedded.training.clip import top_1, zero_shot
from stepscope.embedded.training.loop import write_card
from stepscope.embedded.training.segmenter import LABELS, segment
from stepscope.models.loading import load_open_clip, load_part

PRESENT = 0.5  # an object counts as found when so much of its usual area carries its label


def usual_area(scene: scenes.Scene, name: str) -> int:
    """Pixels that `name` covers in the composed scene."""
    return int(scene.masks[name].sum())


def judged_by_segmenter(labels: np.ndarray, shown: list[scenes.Scene]) -> np.ndarray:
    """Whether every object of each scene is found in its label map (n, 64, 64), bool (n,)."""
    return np.array(
        [
            all(
                (of_picture == LABELS.index(name)).sum() >= PRESENT * usual_area(scene, name)
                for name in scene.objects
            )
            for of_picture, scene in zip(labels, shown, strict=True)
        ]
    )


def shares_right(
    pictures: np.ndarray,
    shown: list[scenes.Scene],
    clip: open_clip.CLIP,
    segmenter: SegformerForSemanticSegmentation,
) -> dict[str, float]:
    """Shares of pictures in which each judge and each reader finds what the caption says."""
    single = np.array([len(scene.objects) == 1 for scene in shown])
    right = judged_by_segmenter(segment(segmenter, pictures), shown)
    result = pipeline.read_by_untrained(pictures, shown)
    for name, rows in (("single object", single), ("both objects", ~single)):
        if rows.any():
            result[f"{name} (segmenter)"] = float(right[rows].mean())
    names = {"object": "single object", "colour": "background colour"}
    for family, share in top_1(clip, pictures, shown, named=True).items():
        result[f"{names.get(family, family)} (CLIP)"] = share
    return dict(sorted(result.items()))


def contact_sheet(path: Path, pictures: np.ndarray, columns: int = 16, zoom: int = 2) -> None:
    """The pictures in reading order as one PNG, uint8 (n, 64, 64, 3)."""
    rows = len(pictures) // columns
    grid = pictures[: rows * columns].reshape(rows, columns, *pictures.shape[1:])
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * scenes.SIDE, columns * scenes.SIDE, 3)
    image = Image.fromarray(sheet)
    image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST).save(path)


def read_by_clip(clip: open_clip.CLIP, pictures: np.ndarray) -> dict[str, list[str]]:
    """The concept of each family that pictures, uint8 (n, 64, 64, 3), are most similar to."""
    return {
        family: [scenes.FAMILIES[family][best] for best in similarity.argmax(1)]
        for family, similarity in zero_shot(clip, pictures).items()
    }


def decided(families: pd.DataFrame) -> dict[str, str]:
    """Lines of a card: log-SNR at which each family is decided, by reader, with its interval."""
    return {
        f"{row.family}, {row.reader}": f"{row.middle_log_snr:.1f} ({row.ci_low:.1f} to "
        f"{row.ci_high:.1f})"
        for row in families.itertuples()
    }


def assess(
    folder: str | Path,
    pipeline_folder: str | Path,
    clip_folder: str | Path,
    segmenter_folder: str | Path,
    *,
    seed: int,
    prompts: int,
    steps: int,
    guidance: float,
    clock_of: dict[str, int],
) -> dict[str, float]:
    """Judge pictures of held-out prompts; write a card and an uncurated contact sheet.

    Beside them go the tables of the world's clock, `clock_of`: count, noises, draws, seed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawing = pipeline.load(pipeline_folder)
    clip = load_open_clip(Path(clip_folder).resolve())[0].eval()
    segmenter = load_part(SegformerForSemanticSegmentation, Path(segmenter_folder)).float().eval()
    shown = pipeline.held_out_prompts(prompts, seed)
    pictures = pipeline.generate(drawing, shown, steps, guidance, seed)
    half = len(shown) // 2
    # the first of each kind as they come: singles above, pairs below
    count = min(48, half // 16 * 16) or half
    chosen = [*range(count), *range(half, half + count)]
    contact_sheet(folder / "contact_sheet.png", pictures[chosen], columns=min(16, count))
    measured = shares_right(pictures, shown, clip, segmenter)
    real = shares_right(np.stack([scene.picture for scene in shown]), shown, clip, segmenter)
    tables = clock.of_models(drawing, partial(read_by_clip, clip), **clock_of)
    for name, table in zip(("world_clock", "world_clock_families"), tables, strict=True):
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, float_format="%.8g")
    sections: dict[str, dict[str, Any]] = {
        "Pictures": {"held-out prompts": len(shown), "steps": steps, "guidance": guidance},
        "Share right in generated pictures": measured,
        "The same judges on composed scenes": real,
        "log-SNR at which a family is read in the middle between chance and 1": decided(tables[1]),
    }
    title = "Quality of the embedded models"
    write_card(folder, title, "Uncurated samples: contact_sheet.png.", sections)
    return measured
