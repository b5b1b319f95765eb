"""Steps under another sample's prompt or latent, and as they would have been traced."""

import pytest
import torch

from stepscope.controls.steps import partner, recorded, with_latent, with_prompt
from support.replayed import replay


def test_a_step_that_is_recorded_again_is_the_traced_one():
    denoiser, steps = replay()
    again = recorded(denoiser, steps[1])
    for name in ("outputs", "after", "denoised"):
        torch.testing.assert_close(getattr(again, name), getattr(steps[1], name))
    assert again.attention.keys() == steps[1].attention.keys()
    for size, maps in again.attention.items():
        torch.testing.assert_close(maps, steps[1].attention[size])


def test_under_another_prompt_a_step_is_that_of_the_prompt_and_its_own_latent():
    denoiser, (step, *_) = replay()
    _, (other, *_) = replay(prompt="the ball")
    changed = recorded(denoiser, with_prompt(step, other))
    assert [word.text for word in changed.words] == ["the", "ball"]
    assert changed.prompt_id == step.prompt_id
    # both began with the same noise, so it is the other's first step
    torch.testing.assert_close(changed.outputs, other.outputs)
    torch.testing.assert_close(changed.after, other.after)
    # the empty prompt stays, and the step itself is as it was
    torch.testing.assert_close(changed.outputs[0], step.outputs[0])
    assert step.prompt == "a red cat above the dog"


def test_under_another_latent_a_step_keeps_its_prompt():
    denoiser, steps = replay()
    _, others = replay(prompt="the ball")
    changed = recorded(denoiser, with_latent(steps[2], others[2]))
    torch.testing.assert_close(changed.latent, others[2].latent)
    assert (changed.prompt, changed.words) == (steps[2].prompt, steps[2].words)
    assert not torch.allclose(changed.outputs, others[2].outputs)
    assert not torch.allclose(changed.outputs, steps[2].outputs)


def test_a_partner_is_another_prompt_of_another_noise_and_the_same_in_any_order():
    prompts, seeds = ["a", "a", "b", "b", "c"], [0, 1, 0, 1, 0]
    found = {
        seed: [partner(seed, n, prompts, seeds) for n in range(len(prompts))] for seed in range(9)
    }
    for partners in found.values():
        for sample, other in enumerate(partners):
            assert prompts[other] != prompts[sample]
            assert seeds[other] != seeds[sample]
    assert len({tuple(partners) for partners in found.values()}) > 1  # the seed counts
    assert found[0] == [partner(0, n, prompts, seeds) for n in range(len(prompts))]
    turned = [partner(0, n, prompts[::-1], seeds[::-1]) for n in range(len(prompts))]
    assert [4 - other for other in turned[::-1]] == found[0]
    assert partner(0, 0, ["a", "b"], [5, 5]) == 1  # of the same noise, where there is no other
    with pytest.raises(ValueError, match="a is the only prompt of its batch"):
        partner(0, 0, ["a", "a"], [0, 1])
