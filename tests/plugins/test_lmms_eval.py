"""`--model v2drop` without lmms-eval: stand-ins for what it imports and for its requests.

With lmms-eval itself it runs in `.ci/lmms-eval`, for it needs an environment of its own.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from v2drop_cli.errors import MediaError, UsageError
from v2drop_cli.plugins import manifest

ROOT = Path(__file__).parents[2]


class Base:
    """As lmms-eval's own base, as far as its subclasses see."""

    is_simple = True

    def __init__(self):
        self._rank, self._world_size, self.task_dict = 0, 1, {}

    def clean(self):
        pass


class Logger:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda text: self.lines.append((level, text))


@pytest.fixture
def plugin(monkeypatch):
    """The module, imported as if lmms-eval were there."""
    logger = Logger()
    pieces = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.model": {"lmms": Base},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": SimpleNamespace},
        "loguru": {"logger": logger},
    }
    for name, holds in pieces.items():
        module = ModuleType(name)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "v2drop_cli.plugins.lmms_eval", raising=False)
    found = importlib.import_module("v2drop_cli.plugins.lmms_eval")
    yield found
    sys.modules.pop("v2drop_cli.plugins.lmms_eval", None)


@pytest.fixture
def model(plugin, folder):
    made = plugin.V2Drop(pretrained=folder, device="cpu", schedule="2:0.5;4:0.3", batch_size="2")
    made.task_dict = {"colors": {"test": documents()}}
    return made


def documents():
    pictures = [Image.new("RGB", (24, 24), color) for color in ("red", "green", "blue")]
    return [{"image": picture, "answer": "a cat"} for picture in pictures]


def request(number, settings=None, context="what color?", visual=lambda doc: [doc["image"]]):
    settings = {"max_new_tokens": 2} if settings is None else settings
    return SimpleNamespace(args=(context, settings, visual, number, "colors", "test"))


@pytest.fixture
def heard(model, monkeypatch):
    """What the model is asked; its answers are said in turn."""
    batches = []

    def answers(asked):
        batches.append(asked)
        return [f"answer {len(batches)}.{place} END more" for place in range(len(asked))]

    monkeypatch.setattr(type(model.one_arm), "answers", lambda self, asked: answers(asked))
    return batches


def test_lmms_eval_finds_it(plugin):
    [point] = [p for p in entry_points(group="lmms_eval.models") if p.name == "v2drop"] or [None]
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'v2drop = "v2drop_cli.plugins.manifest:lmms_eval_manifest"' in declared
    if point is not None:  # an installation from before it was declared has none
        assert point.load() is manifest.lmms_eval_manifest
    found = manifest.lmms_eval_manifest()
    assert found.model_id == "v2drop"
    module, name = found.simple_class_path.rsplit(".", 1)
    assert issubclass(getattr(importlib.import_module(module), name), Base)


def test_a_request_is_answered_as_the_model_answers(model):
    asked = [request(number) for number in range(3)]
    said = list(model.generate_until(asked))
    alone = [next(model.generate_until([one])) for one in asked]
    assert said == alone
    assert len(said) == 3
    assert (model._rank, model._world_size) == (0, 1)
    assert model.one_arm.told.prompts == 6
    assert model.one_arm.told.layer_average / 6 < model.one_arm.told.vision_tokens / 6


def test_answers_come_batch_by_batch_in_order(model, heard):
    """So that a killed run has kept all but a batch."""
    stream = model.generate_until([request(number) for number in range(3)])
    assert heard == []
    assert next(stream) == "answer 1.0 END more"
    assert [len(batch) for batch in heard] == [2]
    assert list(stream) == ["answer 1.1 END more", "answer 2.0 END more"]
    assert [len(batch) for batch in heard] == [2, 1]
    assert [one.media[0].frames[0].getpixel((0, 0)) for one in (*heard[0], *heard[1])] == [
        (255, 0, 0), (0, 128, 0), (0, 0, 255),
    ]  # fmt: skip


def test_an_answer_ends_where_the_task_says_but_not_at_what_nobody_chose(model, heard):
    def said(**settings):
        return next(model.generate_until([request(0, {"max_new_tokens": 9, **settings})]))

    assert said(until=["END", "answer 9"]).endswith(" ")
    assert said(until="END").endswith("0 ")
    assert said(until=["\n\n", ""]).endswith("more")
    assert said(until=None).endswith("more")
    assert [batch[0].max_new_tokens for batch in heard] == [9] * 4
    next(model.generate_until([request(0, {})]))
    next(model.generate_until([request(0, {"max_gen_toks": 5})]))
    assert [batch[0].max_new_tokens for batch in heard[4:]] == [1024, 5]


def test_places_for_pictures_are_no_words(model, heard):
    next(model.generate_until([request(0, context="<image>\nwhat is <image> this?\n")]))
    assert heard[0][0].text == "what is  this?"


@pytest.mark.parametrize(
    "settings",
    [{"do_sample": True, "temperature": 0.7}, {"temperature": 0.1}, {"num_beams": 3}],
    ids=str,
)
def test_what_is_not_greedy_is_refused_with_the_way_on(plugin, model, settings):
    with pytest.raises(UsageError, match="greedy") as refused:
        next(model.generate_until([request(0, settings)]))
    level, line = plugin.logger.lines[-1]
    assert level == "error"
    assert refused.value.message in line
    assert refused.value.hint in line


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0},
        {"do_sample": False, "temperature": 0.7},
        {"num_beams": 1},
    ],
    ids=str,
)
def test_what_comes_to_greedy_is_greedy(model, heard, settings):
    assert next(model.generate_until([request(0, settings)]))


def test_what_a_task_shows(plugin, model, heard):
    """Pictures, lists of them, files; nothing at all; and what nobody can look at."""
    picture = documents()[0]["image"]
    shown = [picture, [None, picture.convert("L")], str(ROOT / "sample_media" / "scene.png")]
    next(model.generate_until([request(0, visual=lambda doc: shown)]))
    [[asked]] = heard
    assert [(one.kind, one.frames[0].mode) for one in asked.media] == [("image", "RGB")] * 3
    assert asked.media[0].width == 24
    assert asked.media[2].width == 336
    model._frames = 3
    clip = str(ROOT / "sample_media" / "clip.mp4")
    next(model.generate_until([request(0, visual=lambda doc: [clip])]))
    assert [(one.kind, len(one.frames)) for one in heard[1][0].media] == [("video", 3)]
    for nothing in (None, lambda doc: None, lambda doc: []):
        next(model.generate_until([request(0, visual=nothing)]))
        assert heard[-1][0].media == ()
    with pytest.raises(UsageError, match="dict"):
        next(model.generate_until([request(0, visual=lambda doc: [{"array": []}])]))
    with pytest.raises(MediaError):
        next(model.generate_until([request(0, visual=lambda doc: [__file__])]))


def test_a_loss_stands_for_a_likelihood(model):
    def judged(target):
        visual = lambda doc: [doc["image"]]  # noqa: E731
        arguments = ("what is it?", target, visual, 0, "colors", "test")
        return next(model.loglikelihood([SimpleNamespace(args=arguments)]))

    found = judged("a cat")
    loss, greedy = found
    assert loss > 0
    assert greedy is False
    assert isinstance(found, str)  # or lmms-eval makes it one, and what it says is lost
    assert found == str((loss, greedy)) == judged(lambda doc: doc["answer"])
    other, _ = judged("a dog")
    assert other != loss
    losses, _ = zip(*[found, judged("a dog")], strict=True)  # as lmms-eval does
    assert losses == (loss, other)


def test_the_model_is_let_go(model):
    model.clean()
    assert not hasattr(model, "one_arm")


def test_a_task_of_several_rounds_asks_on(model, heard):
    told = []

    def go_on(document, previous_output, round_idx, previous_round_info):
        told.append((previous_output, round_idx, previous_round_info))
        over = round_idx == 3
        shown = [document["image"]] * round_idx
        return shown, f"<image> round {round_idx}", over, previous_output, {"known": round_idx}

    arguments = ("first", {"until": "END"}, lambda doc: [], go_on, 1, "colors", "test")
    said = list(model.generate_until_multi_round([SimpleNamespace(args=arguments)]))
    assert said == [["answer 1.0 ", "answer 2.0 ", "answer 3.0 "]]
    assert [(batch[0].text, len(batch[0].media)) for batch in heard] == [
        ("first", 0), ("round 1", 1), ("round 2", 2),
    ]  # fmt: skip
    assert told[0] == (["answer 1.0 "], 1, None)
    assert told[2] == (["answer 1.0 ", "answer 2.0 ", "answer 3.0 "], 3, {"known": 2})


def test_of_several_processes_each_has_its_own_device(plugin, folder, monkeypatch):
    several = SimpleNamespace(process_index=1, num_processes=2, device="cpu")
    monkeypatch.setattr(plugin, "_accelerator", lambda: several)
    asked = []
    monkeypatch.setattr(plugin, "load", lambda name, options: asked.append(options) or loaded)
    loaded = SimpleNamespace(caveats=(SimpleNamespace(message="beware"),), device="cpu")
    made = plugin.V2Drop(pretrained=folder, method="dense")
    assert (made._rank, made._world_size, asked[0].device) == (1, 2, "cpu")
    assert ("warning", "beware") in plugin.logger.lines
    assert asked[0].accepts is None
    plugin.V2Drop(pretrained=folder, device="cuda:1")
    assert asked[1].device == "cuda:1"
    assert asked[1].accepts is not None


def test_a_wrong_argument_is_told_with_its_hint(plugin):
    with pytest.raises(UsageError):
        plugin.V2Drop(pretrained="tiny", schedul="3:0.5")
    level, line = plugin.logger.lines[-1]
    assert level == "error"
    assert "schedul" in line
