"""Probabilities of several layers together, against each layer's own in double precision."""

import pytest
import torch
from diffusers.models.attention_processor import Attention

from stepscope.diffusion import probabilities as module

ROWS, QUERIES, KEYS, HEADS, WIDTH = 4, 10, 6, 2, 8


def calls(parts: tuple[str, ...], masked: bool) -> list[module.Call]:
    """Calls of two layers with random projections, of two halves of two samples."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    layer = Attention(WIDTH, heads=HEADS, dim_head=WIDTH // HEADS)
    mask = torch.zeros(ROWS, 1, KEYS * len(parts))
    mask[-1, :, -2:] = -1e4
    return [
        module.Call(
            name,
            layer,
            {"to_q": drawn(ROWS, QUERIES, WIDTH)}
            | {part: drawn(ROWS, KEYS, WIDTH) for part in parts},
            mask if masked else None,
        )
        for name in ("first", "second")
    ]


@pytest.mark.parametrize("chunk", [1, 100, module.CHUNK])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("parts", list(module.KEYS.values()))
def test_layers_together_are_the_sum_of_each(parts, masked, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    made = calls(parts, masked)
    assert made[0].kind == made[1].kind
    keys = KEYS * len(parts)
    assert made[0].sizes == (QUERIES, keys)
    merging = torch.zeros(2, 3, keys)
    merging[:, range(3), range(3)] = 1
    merging[:, 2, 3:] = 1
    expected = torch.zeros(2, 3, QUERIES).double()
    for call in made:
        queries = call.projected["to_q"][-2:].double()
        joined = torch.cat([call.projected[part][-2:] for part in parts], 1).double()
        for head in range(HEADS):
            own = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            scores = queries[..., own] @ joined[..., own].mT / (WIDTH // HEADS) ** 0.5
            if call.mask is not None:
                scores += call.mask[-2:]
            expected += merging.double() @ scores.softmax(-1).mT / HEADS
    torch.testing.assert_close(module.probabilities(made, merging), expected.float())


def test_layers_of_unlike_sizes_are_kept_apart():
    first, second = calls(("to_k",), masked=False)
    shorter = {"to_q": second.projected["to_q"], "to_k": second.projected["to_k"][:, 1:]}
    assert first.kind != second._replace(projected=shorter).kind
    assert first.kind != second._replace(mask=torch.zeros(ROWS, 1, KEYS)).kind
