"""What text encoder and U-Net learn from: latents of composed scenes, and captions of them."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTokenizer

from stepscope.embedded import details, scenes
from stepscope.embedded.training.conversion import encode
from stepscope.embedded.training.loop import step_rng
from stepscope.embedded.training.tokenizer import tokens

CAPTIONS = 4  # of each scene


def place_weights(mark: float, seal: float) -> Tensor:
    """Weight of each latent cell's error, float32 (16, 16): these where a mark or seal may be.

    The places are the same in every scene, so the best prediction is that without weights; what is
    small and faint is only learnt sooner.
    """
    side = scenes.SIDE // 4
    weights = details.emphasis(mark, seal).reshape(side, 4, side, 4)
    return torch.from_numpy(weights.max((1, 3)))


def drawn_timesteps(
    rng: np.random.Generator, batch: int, levels: np.ndarray, band: Sequence[float] | None
) -> Tensor:
    """Time steps of a batch, int64 (batch,), one from each of equal parts of the schedule.

    With a `band`, half of the batch is from the time steps whose log-SNR, of `levels` (time steps,)
    falling, lies in it.
    """
    if band is None:
        parts = [(batch, 0, len(levels))]
    else:
        first, last = (int((levels > level).sum()) for level in (band[1], band[0]))
        parts = [(batch // 2, first, last), (batch - batch // 2, 0, len(levels))]
    drawn = [
        low + (np.arange(count) + rng.random(count)) * (high - low) / count
        for count, low, high in parts
    ]
    return torch.from_numpy(np.concatenate(drawn).astype(np.int64))


def latents_and_captions(
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    pool: int,
    seed: int,
    strength: details.Strength = details.WORLD,
) -> tuple[Tensor, Tensor]:
    """Latents of `pool` scenes, float32 (pool, 4, 16, 16), and the tokens of their captions.

    int64 (CAPTIONS + 1, pool, tokens): each names other families of the scene in another order,
    and the last is empty.
    """
    pictures = np.empty((pool, scenes.SIDE, scenes.SIDE, 3), np.uint8)
    texts: list[list[str]] = [[] for _ in range(CAPTIONS)]
    start = (seed + 1) * 10_000_000
    for i in tqdm(range(pool), desc="compose train scenes", mininterval=2):
        scene = scenes.compose(start + i, strength=strength)
        pictures[i] = scene.picture
        rng = step_rng(seed + 1, i)
        for of_variant in texts:
            of_variant.append(scenes.random_caption(scene.spec, rng)[0])
    empty = tokens(tokenizer, [""]).expand(pool, -1)
    return encode(vae, pictures), torch.stack([*(tokens(tokenizer, text) for text in texts), empty])
