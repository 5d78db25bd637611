"""Led along an answer that it gave itself, an arm finds every token of it the likeliest."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch

from tests.families import CASES, NAMES
from tests.families.loaded import loaded_case
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.fidelity import Along, Kept, compared
from v2drop_cli.generate import greedy
from v2drop_cli.generate.decoding import new_cache
from v2drop_cli.generate.greedy import led, next_positions
from v2drop_cli.models.decoders import follows_whole
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.schedule import Schedule


def logs(*rows):
    return torch.tensor(rows).log()


def test_what_is_the_same_keeps_to_it_whatever_it_rules_out():
    sure = logs([0.5, 0.5, 0.0], [0.0, 0.0, 1.0])
    assert compared(sure, sure) == Kept(kl=0.0, agreement=1.0, first_divergence=None)


def test_how_far_an_arm_is_off_by_hand():
    """Of three places the last two go to another token; the mean is over places, not words."""
    dense = logs([0.75, 0.25], [0.75, 0.25], [0.0, 1.0])
    arm = logs([0.75, 0.25], [0.25, 0.75], [0.75, 0.25])
    found = compared(dense, arm)
    first = 0.75 * math.log(3) - 0.25 * math.log(3)
    assert found.kl == pytest.approx((0 + first + math.log(4)) / 3)
    assert found.agreement == pytest.approx(1 / 3)
    assert found.first_divergence == 1


def test_dense_keeps_to_itself_without_another_pass(monkeypatch):
    """Arms are asked for in turn, dense among them; what it said is known by then."""
    asked = []

    def logs_of(self, arm):
        asked.append(arm.label)
        return logs([0.75, 0.25]) if arm.method is None else logs([0.25, 0.75])

    monkeypatch.setattr(Along, "_logs", logs_of)
    along = Along(SimpleNamespace(device="cpu"), None, (5,))
    assert along._answer.tolist() == [[5]]
    assert along.led(Arm("dense")).kl == 0.0
    assert along.led(Arm("half", "uniform", Schedule.parse("1:0.5"))).first_divergence == 0
    assert asked == ["dense", "half"]


# M-RoPE, sliding windows, layers that fold tokens into a state, none of them.
@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "gemma3", "qwen3_5"])
def test_the_answer_of_generate_is_the_likeliest_one_step_by_step(name):
    case = CASES[name]
    loaded = loaded_case(name)
    tensors, vision = case.batch(case.prompts("image"))
    tensors = {key: tensor for key, tensor in tensors.items() if key != "attention_mask"}
    index = (torch.tensor(vision[0], dtype=torch.long),)
    inputs = Inputs(tensors, VisionTokens(index, ((),)))
    arm = Arm("half", "uniform", Schedule.parse(case.schedule))
    length = tensors["input_ids"].shape[1]
    with arm.applied(loaded):
        said = loaded.model.generate(**tensors, do_sample=False, max_new_tokens=5)
    answer = said[0, length:].tolist()
    along = Along(loaded, inputs, answer)
    found = along._logs(arm)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(dim=-1), torch.ones(len(answer)))
    assert found.argmax(dim=-1).tolist() == answer
    assert along.led(arm).kl > 0


@pytest.mark.no_cover
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_in_one_forward_is_the_answer_token_by_token(name, monkeypatch):
    case, loaded = CASES[name], loaded_case(name)
    tensors, _ = case.batch(case.prompts("image"))
    answer = torch.tensor([[3 + 7 * place % 11 for place in range(12)]] * len(tensors["input_ids"]))
    first = next_positions(loaded.model, tensors, loaded.family.first_position)
    forwards, found = [], {}
    for whole in (follows_whole(loaded.model.config), False):
        monkeypatch.setattr(greedy, "follows_whole", lambda config, whole=whole: whole)
        arm = Arm("half", "uniform", Schedule.parse(case.schedule))
        counted = loaded.model.register_forward_pre_hook(lambda *call: forwards.append(1))
        with arm.applied(loaded):
            found[whole] = led(loaded.model, tensors, new_cache(loaded), answer, first)
        counted.remove()
        assert len(forwards) == (2 if whole else 12)
        forwards.clear()
    if True in found:
        torch.testing.assert_close(found[True], found[False], atol=1e-4, rtol=1e-4)


def test_an_answer_of_one_token_takes_the_prompt_alone():
    case, loaded = CASES["llava"], loaded_case("llava")
    tensors, _ = case.batch(case.prompts("image"))
    logits = led(loaded.model, tensors, new_cache(loaded), torch.tensor([[5]]))
    with torch.no_grad():
        prompt = loaded.model(**tensors).logits
    assert logits.shape[1] == 1
    torch.testing.assert_close(logits[:, 0], prompt[:, -1])


def test_what_was_compared_stays():
    with pytest.raises(FrozenInstanceError):
        Kept(0.0, 1.0, None).kl = 1.0
