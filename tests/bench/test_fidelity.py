"""Led along an answer that it gave itself, an arm finds every token of it the likeliest."""

from __future__ import annotations

import pytest
import torch

from tests.families import CASES
from tests.families.loaded import loaded_case
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.fidelity import Along
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.schedule import Schedule


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
    assert Along(loaded, inputs, answer)._logs(arm).argmax(dim=-1).tolist() == answer
    kept = Along(loaded, inputs, answer).led(arm)
    assert kept.kl > 0
