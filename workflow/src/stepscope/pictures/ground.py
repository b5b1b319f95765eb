"""The ground job: masks of the prompts' words from a segmenter, from files or from boxes."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from stepscope.joblog import bar
from stepscope.language import OBJECTS, is_background, is_thing, key, numbers_of
from stepscope.models import folders, judges
from stepscope.models.words import Word
from stepscope.pictures import clipseg
from stepscope.pictures.files import read_mask, read_picture
from stepscope.pictures.regions import onto
from stepscope.store.maps import final_pictures, write_masks
from stepscope.store.traces import open_trace, prompt_ids_of, words_of

TOGETHER = 16  # pictures segmented at once; a fixed number, so that a rerun gives the same bits


def fill(
    words: Sequence[Word], known: Mapping[int, np.ndarray], size: tuple[int, int]
) -> np.ndarray:
    """Masks (word, y, x) f4 of a prompt's words from those known by word index; NaN: has none.

    The background is what no object covers, unknown while an object's own mask is; an attribute or
    a detail covers what the next object or background word after it covers ("a big cat on a ...").
    """
    masks = np.full((len(words), *size), np.nan, dtype=np.float32)
    things = [word for word in words if is_thing(word.text, word.role) and word.index in known]
    lacking = any(word.role in OBJECTS and word.index not in known for word in words)
    outside = None
    if things and not lacking:
        outside = 1 - np.max([known[word.index] for word in things], axis=0)
    following = None  # mask of the next object or background, walking backwards
    for word in reversed(words):
        mask = known.get(word.index)
        if mask is None and is_background(word.text, word.role):
            mask = outside
        if mask is None and word.role in ("attribute", "detail"):
            mask = following
        if mask is not None:
            masks[word.index] = mask
        if word in things or word.role in OBJECTS or is_background(word.text, word.role):
            following = mask
    return masks


def normalisation(folder: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (red, green, blue) that a segmenter wants taken out of 0..1.

    From its preprocessor_config.json, which hub models have; without one, pictures go to -1..1.
    """
    path = Path(folder) / "preprocessor_config.json"
    stated = json.loads(path.read_text()) if path.is_file() else {}
    return stated.get("image_mean", [0.5] * 3), stated.get("image_std", [0.5] * 3)


@torch.inference_mode()
def segmented(
    model: torch.nn.Module, pictures: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Label of every pixel (B, y, x) of pictures (B, y, x, rgb) u1, by a semantic segmenter."""
    device = next(model.parameters()).device
    shift, scale = (torch.tensor(rgb, device=device)[:, None, None] for rgb in (mean, std))
    labels = []
    for start in range(0, len(pictures), TOGETHER):
        batch = torch.from_numpy(pictures[start : start + TOGETHER]).to(device).permute(0, 3, 1, 2)
        logits = model(pixel_values=(batch / 255 - shift) / scale).logits.float()
        logits = torch.nn.functional.interpolate(logits, pictures.shape[1:3], mode="bilinear")
        labels.append(logits.argmax(1).cpu().numpy())
    return np.concatenate(labels)


def by_segmenter(
    words: Sequence[Word], label_map: np.ndarray, labels: Mapping[int, str]
) -> dict[int, np.ndarray]:
    """Masks (y, x) f4, 0 or 1, by index of the words that name a label of `labels`.

    `label_map` (y, x) has the number of each pixel's label. A label for the background is no
    object's: `fill` finds what no object covers.
    """
    numbers = numbers_of(labels)
    return {
        word.index: (label_map == number).astype(np.float32)
        for word in words
        if is_thing(word.text, word.role) and (number := numbers.get(key(word.text))) is not None
    }


def by_files(words: Sequence[Word], folder: str, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """Masks (y, x) in [0, 1] by index of the words with a file `<word>.png` in the folder."""
    paths: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() == ".png":
            first = paths.setdefault(key(path.stem), path)
            if first != path:
                raise ValueError(f"{path}: {first.name} is a mask of the same word.")
    return {
        word.index: onto(read_mask(str(paths[key(word.text)])), size)
        for word in words
        if key(word.text) in paths
    }


def by_boxes(
    words: Sequence[Word],
    image: str,
    boxes: Mapping[str, Sequence[Sequence[float]]],
    size: tuple[int, int],
) -> dict[int, np.ndarray]:
    """Masks (y, x) in [0, 1] by index of the words with boxes [x, y, width, height] in a picture.

    `boxes` are by word, in pixels of the file `image` as it is shown, and may reach beyond it; a
    word's mask is what any of its boxes covers, fitted to `size`. A word whose boxes cover nothing
    has none, which is printed.
    """
    width, height = read_picture(image).size
    masks = {}
    for word in words:
        mask = np.zeros((height, width), dtype=np.float32)
        for x, y, w, h in boxes.get(key(word.text), ()):
            top, left, bottom, right = (max(round(end), 0) for end in (y, x, y + h, x + w))
            mask[top:bottom, left:right] = 1
        if mask.any():
            masks[word.index] = onto(mask, size)
        elif key(word.text) in boxes:
            print(f"{image}: no box of {word.text} covers anything of the picture.", flush=True)
    return masks


def ground(
    path: str,
    *,
    traces: str,
    previews: str,
    ground: dict[str, Any],
    truth: Mapping[str, str | dict[str, Any]],
) -> None:
    """Write the masks of a batch at image size, from a segmenter or from what the dataset gives.

    `ground` is the config's entry; `truth` has, by prompt_id, a folder of masks or a picture
    with boxes, for the prompts that have either.
    """
    tree, pictures = open_trace(traces), final_pictures(previews)
    find = _finder(ground, truth, tree, pictures)
    rows = words_of(tree)
    _, height, width, _ = pictures.shape
    size = (height, width)
    masks = np.full((len(rows), max(map(len, rows)), *size), np.nan, dtype=np.float32)
    for sample, words in bar(list(enumerate(rows)), "samples masked"):
        masks[sample, : len(words)] = fill(words, find(sample, words), size)
    if np.isnan(masks).all():
        print("ground: no word of these prompts has a region.", flush=True)
    write_masks(path, masks, tree, {"ground": ground["kind"]})


def _finder(
    ground: dict[str, Any],
    truth: Mapping[str, str | dict[str, Any]],
    tree: xr.DataTree,
    pictures: np.ndarray,
) -> Callable[[int, Sequence[Word]], dict[int, np.ndarray]]:
    """A function of a sample and its words that returns the masks which are known directly."""
    if ground["kind"] == "segmenter":
        folder = folders.folder_of(ground)
        model, labels = judges.load_segmenter({"folder": folder})
        label_maps = segmented(model, pictures, *normalisation(folder))
        return lambda sample, words: by_segmenter(words, label_maps[sample], labels)
    if ground["kind"] == "text_segmenter":
        segmenter, processor = judges.load_text_segmenter(ground)
        return lambda sample, words: clipseg.by_text(segmenter, processor, words, pictures[sample])
    truth_of_sample = [truth.get(prompt_id) for prompt_id in prompt_ids_of(tree)]
    _, height, width, _ = pictures.shape

    def find(sample: int, words: Sequence[Word]) -> dict[int, np.ndarray]:
        masks = truth_of_sample[sample]
        if isinstance(masks, dict):
            return by_boxes(words, **masks, size=(height, width))
        return by_files(words, masks, (height, width)) if masks else {}

    return find
