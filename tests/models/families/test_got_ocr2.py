"""GOT-OCR and PP-Chart2Table: one model under two names, each with a processor of its own."""

from __future__ import annotations

import pytest
import torch
from transformers import GotOcr2ForConditionalGeneration, PPChart2TableConfig, Qwen2Config

import v2drop_cli as v2drop
from tests.families import CASES
from tests.models.test_families import Recorder, shown
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.prove.cases.case import TEXT, build
from v2drop_cli.prove.cases.got_ocr2 import VISION
from v2drop_cli.prove.oracle import decode, define, masked

CASE, FAMILY = CASES["got_ocr2"], get_family("got_ocr2")


def chart_config():
    return PPChart2TableConfig(
        vision_config=VISION, text_config=Qwen2Config(**TEXT), image_token_id=5
    )


def test_got_ocrs_processor_is_told_how_many_tokens_its_tower_gives():
    processor, media = Recorder(), [shown("image"), shown("image")]
    FAMILY.prepare(processor, CASE.config(TEXT, CASE.ids), media, "read it")
    assert processor.given["images"] == [item.frames[0] for item in media]
    assert processor.given["num_image_tokens"] == 16


def test_pp_chart2tables_processor_is_called_as_any_other():
    processor, media = Recorder(), [shown("image")]
    FAMILY.prepare(processor, chart_config(), media, "read it")
    assert processor.given["images"] == [[media[0].frames[0]]]
    assert "num_image_tokens" not in processor.given


def test_dropping_in_pp_chart2table_equals_the_masked_oracle():
    model = build(GotOcr2ForConditionalGeneration, chart_config(), "sdpa")
    assert family_for(model.config) is FAMILY
    inputs, vision = CASE.batch(CASE.prompts("ragged"))
    dropped, kept = define(CASE, model, inputs, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 2), value=1)
    with masked(CASE.layers(model), padding, dropped):
        wanted, tokens = decode(model, inputs, 2)
    with v2drop.dropping(model, CASE.schedule) as trace:
        got, _ = decode(model, inputs, 2, tokens)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours[:, -1], theirs[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [chart_config(), CASE.config(TEXT, CASE.ids)], ids=["pp", "got"])
def test_neither_takes_a_video(config):
    with pytest.raises(MediaArgumentError, match="take no video"):
        FAMILY.prepare(Recorder(), config, [shown("video", 2)], "read it")
