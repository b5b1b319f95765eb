"""Samples that figures draw are read from stores by prompt and seed."""

import numpy as np
import xarray as xr

from stepscope.figures import samplings
from stepscope.figures.samples import load_by_sampling, load_samples
from stepscope.store.zarr_files import write_dataset
from support.drawings import BOOTSTRAP, PROMPTS, SAMPLINGS, UNIT, texts, without_rows


def stored(folder, rng, sampling, samples=3):
    """Write stores of previews, masks and maps, with their keys as the workflow writes them."""
    coords = {
        "sample": np.arange(samples),
        "step": np.arange(1, 5),
        "prompt_id": ("sample", np.array([f"p{i}" for i in range(samples)], dtype=object)),
        "seed": ("sample", np.arange(samples)),
        "timestep": ("step", np.linspace(999, 100, 4)),
        "log_snr": ("step", np.linspace(-5, SAMPLINGS[sampling], 4)),
    }
    roles = np.array([["", "subject", "object"]] * samples, dtype=object)
    texts = np.array([["a", "cat", "dog"]] * samples, dtype=object)
    words = {"word_text": (("sample", "word"), texts), "word_role": (("sample", "word"), roles)}
    masks = np.zeros((samples, 3, 8, 8), np.float32)
    masks[:, 0], masks[:, 1, :4], masks[:, 2] = 1, 1, np.nan
    maps = rng.normal(size=(samples, 4, 3, 4, 4)).astype(np.float32)
    maps[2:] = np.nan
    size = (samples, 4, 3, 8, 8, 3)
    variables = {
        "previews": {
            "preview": (
                ("sample", "step", "prediction", "y", "x", "rgb"),
                rng.integers(0, 255, size).astype("u1"),
            ),
            "image": (
                ("sample", "image_y", "image_x", "rgb"),
                rng.integers(0, 255, (samples, 8, 8, 3)).astype("u1"),
            ),
        },
        "masks": {"mask": (("sample", "word", "y", "x"), masks)},
        "maps": {"df_cam_word": (("sample", "step", "word", "y", "x"), maps)},
    }
    paths = {}
    for kind, arrays in variables.items():
        predictions = {"prediction": np.array(["e_u", "e_c", "guided"], dtype=object)}
        extra = predictions if kind == "previews" else words
        paths[kind] = f"{folder}/{sampling}_{kind}.zarr"
        write_dataset(paths[kind], xr.Dataset(arrays, {**coords, **extra}, {"trace": "key"}))
    return paths


def record(sampling, number):
    """Say what a rule says of a sample that it draws."""
    return {
        **UNIT,
        "sampling": sampling,
        "prompt_id": f"p{number}",
        "prompt": PROMPTS[number],
        "seed": number,
    }


def test_samples_are_read_by_prompt_and_seed_and_left_out_without_a_map(rng, tmp_path):
    paths = stored(tmp_path, rng, "uniform")
    records = [record("uniform", number) for number in (1, 2)]
    stores = [[path] * 2 for path in paths.values()]
    (sample,) = load_samples(records, *stores, "df_cam_word", per_word=True)
    assert sample.attrs["prompt_id"] == "p1"
    assert sample["map"].sizes == {"step": 4, "word": 3, "map_y": 4, "map_x": 4}
    assert sample["mask"].mean() == 0.5  # the subject's half; a word without a role does not count
    assert np.array_equal(sample["image"], xr.open_zarr(paths["previews"])["image"][1])
    assert "error" not in sample
    (flat,) = load_samples(records, *stores, "df_cam_word")
    assert flat["map"].sizes == {"step": 4, "map_y": 4, "map_x": 4}


def test_pictures_by_sampling_keep_their_places(rng, tmp_path):
    paths = {name: stored(tmp_path, rng, name)["previews"] for name in ("uniform", "early")}
    records = [record(name, number) for number in (0, 1) for name in paths]
    previews = [paths[record["sampling"]] for record in records]
    (pictures,) = load_by_sampling(records, previews)
    assert dict(pictures.sizes) == {"prompt": 2, "sampling": 2, "y": 8, "x": 8, "rgb": 3, "step": 4}
    image = pictures["image"].isel(prompt=1).sel(sampling="early")
    assert np.array_equal(image, xr.open_zarr(paths["early"])["image"][1])
    assert "uniform" in texts(
        samplings.draw([pictures], without_rows("rq3_samplings"), **BOOTSTRAP)
    )
