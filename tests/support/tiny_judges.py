"""A tiny open_clip model and segmenters with random weights, as the tests' judges."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTImageProcessor,
)

from support import tiny

LABELS = ("background", *("cat", "dog", "fish", "bird"), *("frog", "pig", "fox", "bear", "panda"))


def tiny_clip(folder: Path, seed: int = 0) -> None:
    """An open_clip folder (open_clip_config.json and weights) of a model 32 wide for 64 px."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 64,
            "patch_size": 16,
            "layers": 1,
            "width": 32,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    normal = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": normal})
    )


def tiny_segmenter(folder: Path, seed: int = 0) -> None:
    """A Segformer folder whose labels are the objects of the tiny study and of the README's."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = SegformerConfig(
            num_encoder_blocks=4,
            depths=[1, 1, 1, 1],
            hidden_sizes=[8, 8, 16, 16],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16,
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
        )
        SegformerForSemanticSegmentation(config).save_pretrained(folder)


def tiny_text_segmenter(folder: Path, seed: int = 0) -> None:
    """A CLIPSeg folder for 64 px that reads the words of ``tiny.tokenizer``."""
    tokens = tiny.tokenizer()
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={
            **shared,
            "num_hidden_layers": 2,
            "vocab_size": len(tokens),
            "max_position_embeddings": tiny.LENGTH,
            "bos_token_id": tokens.bos_token_id,
            "eos_token_id": tokens.eos_token_id,
            "pad_token_id": tokens.pad_token_id,
        },
        vision_config={**shared, "num_hidden_layers": 3, "image_size": 64, "patch_size": 16},
        projection_dim=16,
        reduce_dim=16,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPSegForImageSegmentation(config)
    for block in model.modules():  # fresh weights are so small that every word gives the same map
        if isinstance(block, torch.nn.Linear):
            block.weight.data *= 4
    model.save_pretrained(folder)
    pictures = ViTImageProcessor(size={"height": 64, "width": 64})
    CLIPSegProcessor(pictures, tokens).save_pretrained(folder)
