"""Made-up stores in memory, for the tests of what is read from them."""

import numpy as np
import pandas as pd
import xarray as xr

KEYS = {"model": "tiny", "dataset": "made", "sampling": "uniform", "masks": "exact"}
PROMPT = (("a", ""), ("cat", "subject"), ("on", ""), ("blue", "background"))


def trace(samples=2, steps=4, side=8, seed=0, words=PROMPT):
    """A trace whose clean predictions approach its last latent, a third of the way a step."""
    rng = np.random.default_rng(seed)
    final = rng.normal(size=(samples, 2, side, side)).astype("f4")
    start = rng.normal(size=final.shape)
    left = (2 / 3) ** np.arange(steps)[:, None, None, None]
    denoised = np.stack([f + left * s for f, s in zip(final, start, strict=True)]).astype("f4")
    latent = np.repeat(final[:, None], steps + 1, axis=1)
    output = np.repeat(denoised[:, :, None], 2, axis=2)  # both halves say the same
    number = np.arange(1, steps + 1)
    row = [
        {"index": i, "text": text, "role": role, "tokens": [i + 1]}
        for i, (text, role) in enumerate(words)
    ]
    root = xr.Dataset(
        coords={
            "sample": np.arange(samples),
            "step": number,
            "timestep": ("step", 1000.0 - 100 * number),
            "log_snr": ("step", 2.0 * number - 5),
            "seed": ("sample", np.arange(samples) % 2),
            "prompt_id": ("sample", np.array([f"p{i // 2}" for i in range(samples)], dtype=object)),
        },
        attrs={
            "words": [row] * samples,
            "prompts": ["a cat on blue"] * samples,
            "guidance": 4.0,
            "guidance_rescale": 0.0,
            "prediction_type": "sample",
            "trace": "generate",
        },
    )
    return xr.DataTree.from_dict(
        {
            "/": root,
            "latent": xr.Dataset({"value": (("sample", "state", "channel", "y", "x"), latent)}),
            "output": xr.Dataset(
                {"value": (("sample", "step", "half", "channel", "y", "x"), output)}
            ),
            "denoised": xr.Dataset({"value": (("sample", "step", "channel", "y", "x"), denoised)}),
        }
    )


def masks(tree, inside, side=16):
    """Masks of ``PROMPT``: the cat is where ``inside`` (side, side) says, blue is the rest."""
    values = np.full((tree.sizes["sample"], len(PROMPT), side, side), np.nan, dtype="f4")
    values[:, 1], values[:, 3] = inside, 1 - inside
    roles = [[role for _, role in PROMPT]] * tree.sizes["sample"]
    texts = [[text for text, _ in PROMPT]] * tree.sizes["sample"]
    coords = {
        name: (("sample", "word"), np.array(values, dtype=object))
        for name, values in (("word_text", texts), ("word_role", roles))
    }
    return xr.DataArray(values, coords, ("sample", "word", "y", "x"), name="mask")


def maps(tree, values):
    """Maps (sample, step, [word], y, x) with the coordinates that stored maps have."""
    dims = ("sample", "step", *(("word",) if values.ndim == 5 else ()), "y", "x")
    coords = {"sample": tree["sample"].values, "step": tree["step"].values}
    if values.ndim == 5:
        roles = [[role for _, role in PROMPT]] * tree.sizes["sample"]
        coords["word_role"] = (("sample", "word"), np.array(roles, dtype=object))
    return xr.DataArray(values.astype("f4"), coords, dims)


STEPS, SIZE = 3, 4


def forward_batch(index: int) -> tuple[dict, dict]:
    """Two samples of a forward batch; the second batch has longer prompts."""
    rng = np.random.default_rng(index)
    tokens = 4 + index
    normal = {
        "latent/value": rng.normal(size=(2, STEPS + 1, 4, SIZE, SIZE)).astype("f4"),
        "output/value": rng.normal(size=(2, STEPS, 2, 4, SIZE, SIZE)).astype("f4"),
        "denoised/value": rng.normal(size=(2, STEPS, 4, SIZE, SIZE)).astype("f2"),
        "attn_4x4/value": rng.random(size=(2, STEPS, tokens, SIZE, SIZE)).astype("f2"),
        "conditioning/prompt_embeds": rng.normal(size=(2, 2, 8, 6)).astype("f4"),
        "timesteps": np.arange(STEPS, 0, -1.0),
        "sigmas": np.arange(STEPS + 1, 0, -1.0),
        "log_snr": np.arange(STEPS, dtype=float),
    }
    names = [f"{index}-{row}" for row in range(2)]
    return normal, {
        "prompts": names,
        "prompt_ids": names,
        "seeds": [0, 1],
        "words": [[], []],
        "token_text": [["t"] * tokens] * 2,
        "guidance": 4.0,
    }


def blocks_of(frame):
    """Rows of a table in two blocks, of every other prompt, with texts as `tables.blocks` gives."""
    names = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    number = frame["prompt_id"].rank(method="dense") % 2
    return [
        rows.astype(dict.fromkeys(names, "category")).reset_index(drop=True)
        for _, rows in frame.groupby(number)
    ]
