"""Random weights cover the whole network, come from their seed alone, and leave nothing behind."""

import pytest
import torch

from stepscope.controls.weights import first_weights
from stepscope.models.families import registry
from support import tiny


def family(kind="tiny_sd1"):
    return registry.family_of(getattr(tiny, kind)())


def copied(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def differing(network, before):
    return {
        name for name, value in network.named_parameters() if not torch.equal(value, before[name])
    }


@pytest.mark.parametrize(
    ("kind", "second", "last"),
    [
        ("tiny_sd1", "up_blocks.1", "down_blocks.0"),
        ("tiny_pixart", "transformer_blocks.1", "transformer_blocks.0"),
        ("tiny_sd3", "transformer_blocks.2", "transformer_blocks.0"),
    ],
)
def test_a_cascade_goes_from_the_output_inward_and_ends_with_all_weights(kind, second, last):
    found = family(kind)
    network, blocks = found.network, found.blocks()
    assert list(blocks)[:2] == ["output", second]
    assert list(blocks)[-2:] == [last, "input"]
    names = [name for block in blocks.values() for name in block]
    before = copied(network)
    assert sorted(names) == sorted(before)  # each once
    with first_weights(found, 3) as draw:
        for depth, block in enumerate(blocks.values(), 1):
            draw(block)
            drawn = {name for names in list(blocks.values())[:depth] for name in names}
            assert differing(network, before) <= drawn
            assert any(name in differing(network, before) for name in block)
        of_cascade = copied(network)
    with first_weights(found, 3) as draw:
        draw(names)
        assert not differing(network, of_cascade)
    with first_weights(found, 4) as draw:
        draw(names)
        assert differing(network, of_cascade)
    assert not differing(network, before)


def test_a_networks_own_weights_are_back_whatever_happens():
    found = family()
    before, layout = copied(found.network), found.network.conv_in.weight.stride()
    state = torch.get_rng_state()

    def interrupted():
        with first_weights(found, 0) as draw:
            draw(before)
            draw(["conv_in.weight"])  # again
            raise RuntimeError("out of patience")

    with pytest.raises(RuntimeError, match="out of patience"):
        interrupted()
    assert not differing(found.network, before)
    assert found.network.conv_in.weight.stride() == layout
    assert torch.equal(torch.get_rng_state(), state)
