"""What text encoder and U-Net learn from: latents of composed scenes, and captions of them."""

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


def place_weights(detail: float) -> Tensor:
    """Weight of each latent cell's error, float32 (16, 16): `detail` where a mark or seal may be.

    The places are the same in every scene, so the best prediction is that without weights; what is
    small and faint is only learnt sooner.
    """
    side = scenes.SIDE // 4
    weights = details.emphasis(detail).reshape(side, 4, side, 4)
    return torch.from_numpy(weights.max((1, 3)))


def latents_and_captions(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, pool: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Latents of `pool` scenes, float32 (pool, 4, 16, 16), and the tokens of their captions.

    int64 (CAPTIONS + 1, pool, tokens): each names other families of the scene in another order,
    and the last is empty.
    """
    pictures = np.empty((pool, scenes.SIDE, scenes.SIDE, 3), np.uint8)
    texts: list[list[str]] = [[] for _ in range(CAPTIONS)]
    start = (seed + 1) * 10_000_000
    for i in tqdm(range(pool), desc="compose train scenes", mininterval=2):
        scene = scenes.compose(start + i)
        pictures[i] = scene.picture
        rng = step_rng(seed + 1, i)
        for of_variant in texts:
            of_variant.append(scenes.random_caption(scene.spec, rng)[0])
    empty = tokens(tokenizer, [""]).expand(pool, -1)
    return encode(vae, pictures), torch.stack([*(tokens(tokenizer, text) for text in texts), empty])
