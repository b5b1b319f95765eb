"""The estimate of a trace's size is the size of the trace."""

import pytest

from stepscope.estimate import trace_size
from stepscope.models.families.pixart import PixArt
from stepscope.models.families.registry import family_of
from stepscope.models.families.sd3 import SD3
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.generate import stored_arrays
from support import tiny

PROMPT = "a cat and a dog"


@pytest.mark.parametrize("make", [tiny.tiny_sd1, tiny.tiny_sd2, tiny.tiny_xl])
@pytest.mark.parametrize(("order", "size"), [(1, (None, None)), (2, (64, 96))])
def test_estimate_is_what_the_arrays_weigh(tmp_path, make, order, size):
    pipeline = make(tmp_path)
    trace = trace_prompts(
        pipeline,
        [PROMPT],
        [0],
        sampling={"kind": "uniform", "steps": 3},
        guidance=4.0,
        negative_prompt="",
        height=size[0],
        width=size[1],
        scheduler={"name": "dpmsolver++", "order": order},
        roles=[{}],
    )
    found = trace_size.of_folder(tmp_path, type(family_of(pipeline)), [tiny.LENGTH], *size)
    assert found.latent == tuple(trace.latents.shape[2:])
    assert set(found.grids) == set(trace.attention)
    assert trace_size.tokens(PROMPT) == len(trace.token_text[0])
    arrays = stored_arrays(trace, "float16")
    expected = trace_size.trace_bytes(
        found,
        steps=3,
        rows=trace_size.tokens(PROMPT),
        order=order,
        dtype="float32",
        derived="float16",
        by_head=False,
    )
    assert expected == sum(values.nbytes for name, values in arrays.items() if "/" in name)


def test_stable_diffusion_1_at_its_own_size_and_another():
    own = trace_size.stable_diffusion_1()
    assert own.latent == (4, 64, 64)
    assert own.grids == ((64, 64), (32, 32), (16, 16), (8, 8))
    assert own.conditioning == 2 * 77 * 768
    assert sum(own.heads) == 16 * 8
    wide = trace_size.stable_diffusion_1(512, 768)
    assert wide.latent == (4, 64, 96)
    assert wide.grids[-1] == (8, 12)


def test_transformers():
    vae = {"block_out_channels": [128, 256, 512, 512]}
    pixart = {
        "_class_name": "PixArtTransformer2DModel",
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 4,
        "caption_channels": 4096,
    }
    found = trace_size.of_configs({"vae": vae, "transformer": pixart}, PixArt, [300], None, 512)
    assert found == trace_size.Geometry((4, 128, 64), 8, ((64, 32),), 2 * 300 * 4097, 1)
    sd3 = {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 16,
        "joint_attention_dim": 4096,
        "caption_projection_dim": 1536,
        "pooled_projection_dim": 2048,
    }
    found = trace_size.of_configs({"vae": vae, "transformer": sd3}, SD3, [77, 256], None, None)
    assert found == trace_size.Geometry((16, 128, 128), 8, ((64, 64),), 2 * (333 * 4096 + 2048), 2)


def test_half_precision_halves_what_replay_needs_but_bfloat16_is_kept_as_float32():
    own = trace_size.stable_diffusion_1()
    size = {
        dtype: trace_size.trace_bytes(
            own, steps=20, rows=12, order=1, dtype=dtype, derived="float16", by_head=False
        )
        for dtype in trace_size.BYTES
    }
    derived = 20 * 2 * (4 * 64**2 + 12 * (64**2 + 32**2 + 16**2 + 8**2))
    assert size["float16"] - derived == (size["float32"] - derived) / 2
    assert size["bfloat16"] == size["float32"]
