"""Judges see pictures as their own libraries do."""

import open_clip
import pytest
import torch
from PIL import Image

from stepscope.models import judges


@pytest.mark.parametrize("size", [(48, 48), (96, 48), (32, 40)])
def test_pictures_are_read_as_open_clip_reads_them(size):
    preprocess = open_clip.image_transform(32, is_train=False, mean=(0.5,) * 3, std=(0.25,) * 3)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Module()
            self.visual.preprocess_cfg = {
                "size": 32,
                "mean": (0.5,) * 3,
                "std": (0.25,) * 3,
                "interpolation": "bicubic",
            }

        def encode_image(self, pictures):
            return pictures

    smooth = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(smooth, size=size, mode="bilinear")
    picture = (picture * 255).round() / 255
    expected = preprocess(Image.fromarray((picture[0] * 255).byte().permute(1, 2, 0).numpy()))
    (features,) = judges.clip_features(Model())(picture)
    torch.testing.assert_close(features, expected, atol=0.02, rtol=0)
