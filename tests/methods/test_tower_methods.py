"""What all methods have in common that look into the tower: before the decoder, and its cost."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.errors import InstrumentError, UnsupportedModelError

# By method: blocks that are hooked, of two, and products made again in them.
COSTS = {
    "visionzip": (2, {"q_proj": 1, "k_proj": 1}),  # its keys are those of the row of attention
    "holov": (1, {"q_proj": 1, "k_proj": 1}),
    "scope": (2, {"q_proj": 1, "k_proj": 1}),
    "vispruner": (2, {"q_proj": 1, "k_proj": 1}),
    "hired": (1, {"q_proj": 1, "k_proj": 1}),  # one picture: block 0 is not asked
    "hero": (2, {"q_proj": 1, "k_proj": 1}),
}


@pytest.mark.parametrize("name", COSTS)
def test_no_newline_stays_while_there_are_patches(name):
    case = CASES["llava_next"]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("ragged"))
    with torch.no_grad():
        features = model.model.get_image_features(
            inputs["pixel_values"], inputs["image_sizes"], return_dict=True
        ).pooler_output
        newline = (torch.cat(features) == model.model.image_newline).all(dim=1)
        with v2drop.dropping(model, "0:14t", method=name) as trace:
            model(**inputs)
    first = 0
    for row, kept in zip(vision, trace.events[0].kept, strict=True):
        assert len(kept) == min(14, len(row))
        assert not newline[[first + row.index(position) for position in kept]].any()
        first += len(row)


@pytest.mark.parametrize("name", COSTS)
def test_a_tower_without_a_class_token_is_refused_by_name(name):
    model = CASES["paligemma"].make("sdpa")
    with (
        pytest.raises(UnsupportedModelError, match="no class token") as caught,
        v2drop.dropping(model, "0:14t", method=name),
    ):
        pass
    assert caught.value.hint


@pytest.mark.parametrize("name", COSTS)
def test_a_tower_that_overflows_is_an_error_and_no_choice(name):
    model, inputs = make_llava(4), one_prompt()
    inputs["pixel_values"][0, 0, 0, 0] = float("nan")
    with (
        torch.no_grad(),
        v2drop.dropping(model, "0:20t", method=name),
        pytest.raises(InstrumentError, match="NaN"),
    ):
        model(**inputs)


@pytest.mark.parametrize("name", COSTS)
def test_the_answer_is_that_to_the_shortened_prompt_itself(name):
    """Renumbered, as all of them are by default: nothing tells that there ever was more."""
    model, inputs = make_llava(4), one_prompt()
    entered = []
    with torch.no_grad(), v2drop.dropping(model, "0:20t", method=name):
        handle = model.model.language_model.layers[0].register_forward_pre_hook(
            lambda module, args: entered.append(args[0])
        )
        output = model(**inputs).logits[:, -1]
        handle.remove()
        answer = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    [short] = entered
    with torch.no_grad():
        wanted = model(inputs_embeds=short, attention_mask=torch.ones(short.shape[:2])).logits
        answered = model.generate(inputs_embeds=short, max_new_tokens=5, do_sample=False)
    assert short.shape[1] == inputs["input_ids"].shape[1] - 36 + 20
    torch.testing.assert_close(output, wanted[:, -1], atol=1e-5, rtol=0)
    assert answer[0, inputs["input_ids"].shape[1] :].tolist() == answered[0].tolist()


@pytest.mark.parametrize("name", COSTS)
def test_looking_costs_a_hook_a_block_and_one_row_of_attention(name):
    model = make_llava(4)
    blocks = model.model.vision_tower.encoder.layers
    calls: Counter[str] = Counter()

    def count(projection):
        def hook(module, args, output):
            calls[projection] += 1

        return hook

    handles = [
        getattr(block.self_attn, projection).register_forward_hook(count(projection))
        for block in blocks
        for projection in ("q_proj", "k_proj", "v_proj")
    ]
    with torch.no_grad(), v2drop.dropping(model, "0:9t", method=name):
        hooked = sum(bool(block._forward_pre_hooks) for block in blocks)
        model(**one_prompt())
    assert not any(block._forward_pre_hooks for block in blocks)
    for handle in handles:
        handle.remove()
    hooks, products = COSTS[name]
    assert hooked == hooks
    assert {key: n - len(blocks) for key, n in calls.items() if n > len(blocks)} == products
