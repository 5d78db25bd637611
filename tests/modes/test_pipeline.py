"""transformers' pipelines: the model inside is the user's, and drops."""

from __future__ import annotations

import pytest
from PIL import Image
from transformers import pipeline

import v2drop_cli as v2drop
from tests.checkpoints import small_llava

QUESTION = "what color is it?"


@pytest.mark.mode('`pipeline("image-text-to-text")`', "works")
def test_a_pipeline_drops_and_says_what_generate_says():
    model, processor = small_llava(6)
    picture = Image.new("RGB", (24, 24), "red")
    content = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
    chat = [{"role": "user", "content": content}]
    ask = pipeline("image-text-to-text", model=model, processor=processor)
    model.generation_config.max_length = None
    with v2drop.dropping(model, "1:0.5,3:0.3") as trace:
        [told] = ask(text=chat, generate_kwargs={"do_sample": False, "max_new_tokens": 5})
        [first, *_] = trace.events
        answer = told["generated_text"][-1]["content"]
        inputs = processor.apply_chat_template(
            chat,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        out = model.generate(**inputs, do_sample=False, max_new_tokens=5)
    assert first.before == (36,)
    assert len(trace.events) == 4
    new = out[0, inputs["input_ids"].shape[1] :]
    assert answer.strip() == processor.decode(new, skip_special_tokens=True).strip()
