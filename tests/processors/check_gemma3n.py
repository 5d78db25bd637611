"""Run by `test_processors.py`: Gemma 3n, whose saved model is loaded with timm only."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES
from tests.processors.check_families import MEDIA, NUMPY_OF_TORCH, tiny_tokenizer
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.registry import get_family
from v2drop_cli.prove.cases.case import TEXT, build
from v2drop_cli.prove.cases.gemma3n import TOKENS

pytestmark = [
    pytest.mark.skipif("gemma3n" in ABSENT, reason="this transformers has another Gemma 3n"),
    pytest.mark.filterwarnings(NUMPY_OF_TORCH),
]


@pytest.mark.parametrize("kind", ["image", "images"])
def test_its_processors_tokens_are_those_that_the_model_fills(kind):
    case, family = CASES["gemma3n"], get_family("gemma3n")
    tokenizer = tiny_tokenizer(case)
    ids = {name: tokenizer.convert_tokens_to_ids(word) for name, word in case.tokens.items()}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    config = case.config({**TEXT, **words}, ids)
    model = build(case.model, config, "sdpa")
    processor = case.processor(tokenizer)
    processor.chat_template = case.template
    media = MEDIA[kind]()
    prepared = family.prepare(processor, config, media, "what is it?")
    [index], [grids] = prepared.vision.index, prepared.vision.grids
    assert len(index) == TOKENS * len(media) == sum(grid.h * grid.w for grid in grids)
    made = family.synthetic(config, [SyntheticMedia(640, 480)] * len(media))
    assert sum(row.count(config.image_token_id) for row in made.ids) == len(index)
    moved = prepared.to(torch.device("cpu"), torch.float32)
    with v2drop.dropping(model, case.schedule) as trace:
        out = model.generate(**moved.tensors, do_sample=False, max_new_tokens=3, min_new_tokens=3)
    assert out.shape[1] == prepared.tensors["input_ids"].shape[1] + 3
    assert trace.events[0].before == (len(index),)
