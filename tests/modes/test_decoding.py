"""Ways of choosing the next token that are not in `tests/instrument/test_dropping.py`."""

from __future__ import annotations

import threading

import pytest
import torch
from transformers import TextIteratorStreamer

import v2drop_cli as v2drop
from tests.checkpoints import small_llava
from tests.families import CASES
from tests.instrument.test_dropping import SCHEDULE, SHORT, oracle_generate
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.patience import PATIENCE_S
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.prove.oracle import define, masked


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            lambda: {"prompt_lookup_num_tokens": 3},
            marks=pytest.mark.mode("prompt lookup", "works"),
            id="lookup",
        ),
        pytest.param(
            lambda: {"assistant_model": make_llava(2, seed=3)},
            marks=pytest.mark.mode("assisted decoding", "works", "the assistant is not dropped in"),
            id="assistant",
        ),
    ],
)
def test_drafts_give_what_the_oracle_gives(options):
    """Rejected drafts are cropped off caches of different lengths."""
    model, inputs, forwards = make_llava(), one_prompt(), []
    greedy = {"do_sample": False, "max_new_tokens": 12}
    wanted = oracle_generate(model, inputs, **greedy)
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: forwards.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    with v2drop.dropping(model, SCHEDULE) as trace:
        got = model.generate(**inputs, **greedy, **options())
    handle.remove()
    assert torch.equal(got, wanted)
    assert len(trace.events) == 3
    assert max(forwards[1:]) > 1  # else no draft was looked at


@pytest.mark.mode("classifier-free guidance (`guidance_scale`)", "works")
def test_guidance_mixes_dropped_logits_with_those_of_the_text_alone():
    model, inputs, scale = make_llava(12), one_prompt(), 30.0
    with v2drop.dropping(model, SHORT):
        out = model.generate(**inputs, do_sample=False, max_new_tokens=4, guidance_scale=scale)
    new = out[:, inputs["input_ids"].shape[1] :]
    with v2drop.dropping(model, SHORT):
        shown, _ = decode(model, inputs, 3, list(new.T))
    last = inputs["input_ids"][:, -1:]
    with torch.no_grad():
        unshown = model(input_ids=torch.cat([last, new[:, :-1]], 1)).logits[0].log_softmax(-1)
    for step, logits in enumerate(shown):
        told = logits[0, -1].log_softmax(-1)
        assert new[0, step] == (unshown[step] + scale * (told - unshown[step])).argmax()
    with v2drop.dropping(model, SHORT):
        plain = model.generate(**inputs, do_sample=False, max_new_tokens=4)
    assert not torch.equal(plain, out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            {"penalty_alpha": 0.6, "top_k": 4},
            "Contrastive Search",
            marks=pytest.mark.mode(
                "contrastive search", "refused", "by transformers: its code is on the Hub"
            ),
            id="contrastive",
        ),
        pytest.param(
            {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
            "Group Beam Search",
            marks=pytest.mark.mode(
                "group beam search", "refused", "by transformers: its code is on the Hub"
            ),
            id="groups",
        ),
        pytest.param(
            {"dola_layers": "high"},
            "Dola",
            marks=pytest.mark.mode("DoLa", "refused", "by transformers: its code is on the Hub"),
            id="dola",
        ),
    ],
)
def test_strategies_that_left_transformers_are_refused_there(options, said):
    model = make_llava(4)
    with v2drop.dropping(model, "1:0.5"), pytest.raises(ValueError, match=f"{said}.*remote_code"):
        model.generate(**one_prompt(), do_sample=False, max_new_tokens=2, **options)


@pytest.mark.mode("`TextIteratorStreamer`, generating in a thread", "works")
def test_an_iterator_over_the_answer():
    model, processor = small_llava(6)
    inputs = one_prompt()
    inputs["input_ids"][inputs["input_ids"] == 3] = model.config.image_token_id
    options = {"do_sample": False, "max_new_tokens": 6}
    with v2drop.dropping(model, "1:0.5,3:0.3") as trace:
        wanted = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
        trace.clear()
        streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, timeout=PATIENCE_S)
        work = {**inputs, **options, "streamer": streamer}
        thread = threading.Thread(target=model.generate, kwargs=work)
        thread.start()
        text = "".join(streamer)
        thread.join()
    assert text == processor.tokenizer.decode(wanted)
    assert len(trace.events) == 2


@pytest.mark.mode("`output_logits`, `output_scores`", "works")
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_logits_of_generate_are_the_oracles(name):
    case = CASES[name]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("image"))
    options = {
        "do_sample": False,
        "max_new_tokens": 4,
        "suppress_tokens": list(range(10)),  # a placeholder would need pixels
        "output_logits": True,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    dropped, _ = define(case, model, inputs, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted = model.generate(**inputs, **options)
    with v2drop.dropping(model, case.schedule):
        got = model.generate(**inputs, **options)
    assert torch.equal(got.sequences, wanted.sequences)
    for kind in ("logits", "scores"):
        torch.testing.assert_close(got[kind], wanted[kind], **TOLERANCE)
