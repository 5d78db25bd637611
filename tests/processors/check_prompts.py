"""Run by `test_processors.py`: a prompt is the model's own, in every family.

The truth is transformers' own way from messages to tensors.
"""

from __future__ import annotations

import re

import pytest
import torch
from transformers.models.smolvlm import processing_smolvlm

from tests.families import CASES
from tests.processors.check_families import CELLS, MEDIA, NUMPY_OF_TORCH, media_for
from v2drop_cli.errors import ModelError
from v2drop_cli.models.chat import media_arguments

pytestmark = pytest.mark.filterwarnings(NUMPY_OF_TORCH)
ASKED = "what is it?"


def own_tensors(processor, media, prompt, template, asked):
    """Messages with their media through `apply_chat_template`, to the end."""
    shown, options = [], dict(asked)
    for item in media:
        frames = list(item.frames) if item.kind == "video" else item.frames[0]
        shown.append({"type": item.kind, item.kind: frames})
    if any(item.kind == "video" for item in media):
        given = media_arguments(media)
        options |= {k: given[k] for k in ("video_metadata", "do_sample_frames")}
    tensors = processor.apply_chat_template(
        [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}],
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs=options,
    )
    tensors.pop("video_metadata", None)
    return dict(tensors)


# These take every video for one of 2 (or 1) frames a second, unless they are told.
OMNI = ("qwen2_5_omni", "qwen3_omni_moe")


def rate_of(media):
    """What a processor is told of a video: its frames a second."""
    times = [item.frame_times_s for item in media if item.kind == "video"]
    return {"fps": (len(times[0]) - 1) / (times[0][-1] - times[0][0])} if times else {}


def same(ours, theirs):
    for name in theirs:
        mine, own = ours[name], theirs[name]
        assert mine == own if isinstance(own, list) else torch.equal(mine, own), name
    return True


PALIGEMMA = [name for name in CASES if CASES[name].family == "paligemma"]
# LLaVA is shown a video as pictures; PaliGemma and Fuyu have no chat, and GOT-OCR's processor does
# not take pictures as its own base class hands them over.
OWN = [
    (n, k)
    for n, k in CELLS
    if n not in (*PALIGEMMA, "got_ocr2", "fuyu") and (k != "video" or CASES[n].family != "llava")
]


@pytest.mark.parametrize("begins", [False, True], ids=["plain", "begins"])
@pytest.mark.parametrize(("name", "kind"), OWN)
def test_ids_and_pixels_are_those_of_the_chat_template(loaded, monkeypatch, name, kind, begins):
    loaded = loaded(name)
    processor, media = loaded.processor, media_for(name, kind)
    own = processor.chat_template or processor.tokenizer.chat_template  # as Phi-4's
    monkeypatch.setattr(processor, "chat_template", "{{ bos_token }}" * begins + own)
    ours = loaded.family.process(processor, loaded.model.config, media, ASKED)
    template = None
    if name == "smolvlm" and kind == "video":
        template = processing_smolvlm.DEFAULT_CHAT_TEMPLATE
    asked = CASES[name].asked | (rate_of(media) if name in OMNI else {})
    assert same(ours, own_tensors(processor, media, ASKED, template, asked))


@pytest.mark.parametrize("kind", ["image", "images"])
@pytest.mark.parametrize("name", PALIGEMMA)
def test_paligemmas_prompt_is_its_processors(loaded, name, kind):
    loaded = loaded(name)
    media = MEDIA[kind]()
    pictures = [item.frames[0] for item in media]
    ours = loaded.family.process(loaded.processor, loaded.model.config, media, "caption en")
    text = "<image>" * len(pictures) + "caption en"
    theirs = loaded.processor(images=[pictures], text=[text], return_tensors="pt")
    theirs.pop("labels")
    assert same(ours, dict(theirs))


def two_of_each(tokens):
    """Of tokens that differ in a number alone, such as PaliGemma's 1024 places, the ends."""
    kinds = {}
    for token in tokens:
        kinds.setdefault(re.sub(r"\d+", "0", token), []).append(token)
    return [token for kind in kinds.values() for token in dict.fromkeys((kind[0], kind[-1]))]


def test_got_ocrs_prompt_is_its_processors(loaded):
    """What the processor writes by itself, where it is given a picture and no text."""
    loaded = loaded("got_ocr2")
    media = MEDIA["image"]()
    ours = loaded.family.process(loaded.processor, loaded.model.config, media, " OCR: ")
    theirs = loaded.processor(images=media[0].frames[0], num_image_tokens=16, return_tensors="pt")
    assert same(ours, dict(theirs))


def test_fuyus_prompt_is_its_processors(loaded):
    """Which writes the picture's place by itself."""
    loaded = loaded("fuyu")
    media = MEDIA["image"]()
    given = {"images": media[0].frames[0], "text": "caption.\n"}
    theirs = loaded.processor(**given, return_legacy_image_output=False, return_tensors="pt")
    ours = loaded.family.process(loaded.processor, loaded.model.config, media, "caption.")
    assert same(ours, dict(theirs))


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_control_tokens_in_the_question_are_text(loaded, name, kind):
    """Every kind of special token of the family; but the places of pictures, which are refused."""
    loaded = loaded(name)
    tokenizer, media = loaded.processor.tokenizer, media_for(name, kind)
    places = {getattr(loaded.processor, f"{k}_token", None) for k in ("image", "video")}
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    # Letters are none; Fuyu's processor pads by the first word, which is one here.
    control = two_of_each([token for token in added if token not in places and len(token) > 1])
    prompt = f"a {' b'.join(control)} c?"
    plain = loaded.prepare(media, "harmless")
    prepared = loaded.prepare(media, prompt)
    special = set(tokenizer.added_tokens_decoder)

    def of(inputs):
        return [i for i in inputs.tensors["input_ids"][0].tolist() if i in special]

    assert len(control) > 3
    assert of(prepared) == of(plain)
    assert prepared.vision.counts == plain.vision.counts
    assert torch.equal(prepared.vision.index[0], plain.vision.index[0])
    # Bytes are this tokenizer's words, so what is between the other ids is the prompt itself.
    ids = prepared.tensors["input_ids"][0].tolist()
    assert prompt in tokenizer.decode(ids, skip_special_tokens=False)
    for tensor in prepared.tensors.values():
        assert isinstance(tensor, list) or tensor.shape[:2] != plain.tensors["input_ids"].shape
    with torch.no_grad():
        loaded.model(**prepared.to(torch.device("cpu"), torch.float32).tensors)


# These have a template of their own for checkpoints saved without one.
FALLBACK = ("llava", "vipllava", "video_llava", "paligemma", "got_ocr2", "fuyu")


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].family not in FALLBACK])
def test_without_a_template_there_is_one_clear_line(loaded, monkeypatch, name):
    loaded = loaded(name)
    for holder in (loaded.processor, loaded.processor.tokenizer):
        monkeypatch.setattr(holder, "chat_template", None)
    with pytest.raises(ModelError, match="no chat template for pictures"):
        loaded.prepare(MEDIA["image"](), ASKED)
    monkeypatch.setattr(loaded.processor.tokenizer, "chat_template", CASES[name].template)
    assert loaded.prepare(MEDIA["image"](), ASKED).vision.counts[0] > 4
