"""Synthetic input: prompts of given sizes, with neither processor nor files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.checkpoints import save_config
from tests.families import CASES, NAMES
from tests.families.loaded import case_passes, loaded_case
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.commands.profile import ProfileOptions, StopRule, profile
from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError, UsageError
from v2drop_cli.measure.clock import CpuClock
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.registry import get_family
from v2drop_cli.models.synthetic.options import SyntheticInput, parse_sizes
from v2drop_cli.models.synthetic.prompt import maker, media_of, random_words, synthetic_inputs
from v2drop_cli.prove.cases.case import TEXT
from v2drop_cli.schedule import Schedule


@pytest.mark.parametrize(
    ("name", "frames"),
    [(n, f) for n in CASES for f in (None, 4) if f is None or CASES[n].video],
)
def test_every_family_answers_a_synthetic_prompt(name, frames):
    loaded, case = loaded_case(name), CASES[name]
    passes = case_passes(loaded, 2, frames)
    piece = (case.image if frames is None else case.video)(0)
    assert passes.vision_tokens == sum(piece.vision)
    tensors = passes.inputs.tensors
    assert tensors["input_ids"].shape == (2, 7 + len(piece.ids))
    assert tensors["input_ids"][0, 3 : 3 + len(piece.ids)].tolist() == piece.ids
    assert tensors["attention_mask"].all()
    assert ("mm_token_type_ids" in tensors) == case.types
    if case.types:
        kinds = [piece.kind if yes else 0 for yes in piece.vision]
        assert tensors["mm_token_type_ids"][0].tolist() == [0] * 3 + kinds + [0] * 4
    arm = Arm("v2drop", "v2drop", Schedule.parse(case.schedule))
    result = passes.answer(arm, 3)
    assert result.vision_tokens == 2 * sum(piece.vision)
    assert (result.answer.text, len(result.answer.token_ids)) == ("", 3)
    assert len(result.drops) == len(case.drops)
    times = passes.time(arm, CpuClock(), 2)
    assert times.prefill_s > 0
    assert times.transfer_s > 0
    missing = ("preprocess_s", "processor_s", "media_s", "time_to_first_token_s", "end_to_end_s")
    assert [getattr(times, part) for part in missing] == [None] * len(missing)


LARGEST = 512  # pixels of a side that a toy is given unasked
TOO_SMALL = {"phi4_multimodal"}  # the toy's own side is below what its processor takes
SHORT = 600  # tokens of a prompt that a toy answers in no time


@pytest.mark.parametrize("name", [n for n in NAMES if get_family(n).synthetic])
def test_what_a_family_makes_up_fits_its_model(name):
    """Several images and, where there are any, a video: as many ids as features, every time.

    Of all the prompts the short ones are run, or the shortest: some families make a picture of any
    size large.
    """
    family = get_family(name)
    loaded = replace(loaded_case(name), family=family)
    asked = [SyntheticInput(((64, 48),)), SyntheticInput()]
    second = (64, 48) if CASES[name].alike else (32, 64)
    asked += [SyntheticInput(((64, 48), second))] if "images" in family.media else []
    asked += [SyntheticInput(((64, 48),), 4)] if "video" in family.media else []
    prompts = []
    for given in asked:
        vision = getattr(loaded.model.config, "vision_config", None)
        side = getattr(vision, "image_size", math.inf)
        if not given.sizes and (max(side) if isinstance(side, (list, tuple)) else side) > LARGEST:
            continue  # a fair size for a 7B model is a long prompt for a toy
        if not given.sizes and name in TOO_SMALL:
            continue
        inputs = synthetic_inputs(loaded, given)
        covered = sum(grid.t * grid.h * grid.w for grid in inputs.vision.grids[0])
        assert covered == inputs.vision.counts[0] > 0
        prompts.append(inputs.tensors)
    lengths = [prompt["input_ids"].shape[1] for prompt in prompts]
    for prompt, length in zip(prompts, lengths, strict=True):
        if length <= max(SHORT, min(lengths)):
            with torch.no_grad():
                out = loaded.model(**prompt)
            assert out.logits.isfinite().all()


def test_the_same_seed_is_the_same_prompt_and_leaves_the_generator_alone():
    loaded = loaded_case("llava")
    family = replace(loaded.family, synthetic=get_family("llava").synthetic)
    loaded = replace(loaded, family=family)
    before = torch.get_rng_state()
    first, again, other = (
        synthetic_inputs(loaded, SyntheticInput(seed=seed)).tensors for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for key in ("input_ids", "pixel_values"):
        assert torch.equal(first[key], again[key])
    assert not torch.equal(first["input_ids"], other["input_ids"])


@pytest.mark.parametrize("name", CASES)
def test_random_words_are_words(name):
    case = CASES[name]
    config = case.config(TEXT, case.ids)
    words = random_words(config, 4000)
    named = {*case.ids.values(), *(TEXT[f"{kind}_token_id"] for kind in ("bos", "eos", "pad"))}
    found = set(words.tolist())
    assert not found & named
    assert max(found) < TEXT["vocab_size"]
    assert len(found) > TEXT["vocab_size"] / 2


def test_the_size_is_the_towers_unless_it_is_named():
    config = CASES["llava"].config(TEXT, CASES["llava"].ids)
    assert media_of(SyntheticInput(), config) == (SyntheticMedia(16, 16),)
    config.vision_config.image_size = [8, 16]  # height first, as InternVL's
    assert media_of(SyntheticInput(frames=2), config) == (SyntheticMedia(16, 8, 2),)
    any_size = CASES["qwen2_vl"].config(TEXT, CASES["qwen2_vl"].ids)
    assert media_of(SyntheticInput(), any_size) == (SyntheticMedia(448, 448),)
    sizes = parse_sizes(["30x20", " 7X9 "])
    assert media_of(SyntheticInput(sizes), config) == (SyntheticMedia(30, 20), SyntheticMedia(7, 9))


@pytest.mark.parametrize(
    "text", ["", "336", "336x", "x336", "0x5", "-3x5", "3.5x5", "a x b", "1e3x5"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(MediaArgumentError, match="is no size"):
        parse_sizes([text])


def test_sizes_and_counts_that_mean_nothing_are_refused():
    with pytest.raises(MediaArgumentError, match="too large"):
        SyntheticInput(((99_999, 99_999),))
    with pytest.raises(MediaArgumentError, match="several --image-size"):
        SyntheticInput(((8, 8), (9, 9)), 3)
    for nothing in ({"text_tokens": 0}, {"frames": 0}):
        with pytest.raises(MediaArgumentError, match="at least 1"):
            SyntheticInput(**nothing)


def test_what_a_family_does_not_take_is_refused():
    family = get_family("llava")
    assert maker(SyntheticInput(), family) is family.synthetic
    with pytest.raises(UnsupportedModelError, match="no synthetic input for llava"):
        maker(SyntheticInput(), replace(family, synthetic=None))
    with pytest.raises(MediaArgumentError, match="no video"):
        maker(SyntheticInput(frames=2), replace(family, media=("image", "images")))
    with pytest.raises(MediaArgumentError, match="one image"):
        maker(SyntheticInput(((8, 8), (8, 8))), replace(family, media=("image",)))


def test_loading_needs_no_processor(tmp_path, monkeypatch):
    import v2drop_cli.models.loading as loading

    def never(*args):
        raise AssertionError("a processor was asked for")

    monkeypatch.setattr(loading, "dummy_processor", never)
    file = str(save_config(tmp_path / "model") / "config.json")
    loaded = load(file, device="cpu", weights="dummy", synthetic=SyntheticInput())
    assert loaded.processor is None
    assert loaded.decode([1, 2]) == ""
    with pytest.raises(UsageError, match="no processor"):
        loaded.prepare([], "what?")
    with pytest.raises(UsageError, match="synthetic input for trained weights"):
        load("tiny", synthetic=SyntheticInput())


def test_a_profile_says_that_it_was_synthetic(tmp_path):
    given = SyntheticInput(((24, 24), (30, 20)), text_tokens=9)
    folder = str(save_config(tmp_path / "model"))
    loaded = load(folder, device="cpu", weights="dummy", synthetic=given)
    arms = ArmOptions(ScheduleOptions(schedules=("1:0.5",)))
    options = ProfileOptions(
        given.prompt, "small", arms, StopRule(3, 0.5, 0.0), False, 3, 2, 0, synthetic=given
    )
    report = profile(loaded, (), options)
    assert report.request.prompt == "(9 random tokens)"
    assert [(m.path, m.kind, m.width, m.height, m.synthetic) for m in report.request.media] == [
        (None, "image", 24, 24, True), (None, "image", 30, 20, True),
    ]  # fmt: skip
    assert [c.code for c in report.warnings] == ["dummy_weights", "synthetic_input", "device_cpu"]
    timing = report.arms[0].timing
    assert timing.prefill_s is not None
    assert timing.media_s is timing.processor_s is timing.preprocess_s is None
    assert timing.time_to_first_token_s is timing.end_to_end_s is None
