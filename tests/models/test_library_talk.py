"""What libraries warn of reaches the reader, whoever loads; what is harmless does not."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings

import pytest
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging

import v2drop_cli as v2drop
from tests.checkpoints import edit_json, save_checkpoint
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.models import library_talk, loading
from v2drop_cli.models.library_talk import listening
from v2drop_cli.models.names import ASSETS

TRANSFORMERS = logging.getLogger("transformers.modeling_utils")
SCENE = ASSETS.parents[2] / "sample_media" / "scene.png"


def said(talk):
    assert {caveat.code for caveat in talk.caveats} <= {"library_warning"}
    return [caveat.message for caveat in talk.caveats]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_warnings_are_heard_at_any_verbosity_and_all_is_as_before(level, capsys):
    before = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.log_levels[level])
    handlers = [*logging.getLogger("transformers").handlers]
    filters = [*warnings.filters]
    try:
        asked = transformers_logging.get_verbosity()
        with listening() as talk:
            TRANSFORMERS.info("nothing of note")
            TRANSFORMERS.warning("the \x1b[31mtokenizer\x1b[0m\nis wrong")
            TRANSFORMERS.error("and worse")
            logging.getLogger("huggingface_hub.file_download").warning("a part is missing")
            logging.getLogger("transformers_modules.own.code").warning("my own code")
        assert transformers_logging.get_verbosity() == asked
    finally:
        transformers_logging.set_verbosity(before[0])
    assert said(talk) == [
        "transformers: the tokenizer is wrong",
        "transformers: and worse",
        "huggingface_hub: a part is missing",
        "transformers_modules: my own code",
    ]
    assert hub_logging.get_verbosity() == before[1]
    assert logging.getLogger("transformers").handlers == handlers
    assert warnings.filters == filters
    assert capsys.readouterr() == ("", "")


def test_each_thing_is_said_once_and_to_every_model():
    for _ in range(2):
        with listening() as talk:
            for _ in range(3):
                TRANSFORMERS.warning_once("only one time a process")
                warnings.warn("twice", UserWarning, stacklevel=1)
        assert said(talk) == ["transformers: only one time a process", "test_library_talk: twice"]


def test_python_warnings_are_heard_but_those_of_other_times():
    with listening() as talk:
        warnings.warn("the answer may be wrong", RuntimeWarning, stacklevel=1)
        for kind in (DeprecationWarning, FutureWarning, ResourceWarning, ImportWarning):
            warnings.warn("old", kind, stacklevel=1)
    assert said(talk) == ["test_library_talk: the answer may be wrong"]


def test_long_texts_are_cut():
    with listening() as talk:
        TRANSFORMERS.warning("word " * 1000)
    [line] = said(talk)
    assert 250 < len(line) <= 300


def test_what_is_printed_does_not_reach_stdout(capsys):
    with listening():
        print("[ERROR] a docstring is missing")
    assert capsys.readouterr() == ("", "[ERROR] a docstring is missing\n")


def test_after_a_failure_all_is_as_before():
    stdout, handlers = sys.stdout, [*logging.getLogger("transformers").handlers]
    with pytest.raises(KeyError), listening():
        raise KeyError
    assert sys.stdout is stdout
    assert logging.getLogger("transformers").handlers == handlers


def test_the_list_of_the_harmless_is_short_and_gives_reasons():
    assert len(library_talk._HARMLESS) < 10
    for pattern, why in library_talk._HARMLESS:
        assert re.compile(pattern)
        assert len(why.split()) > 2


@pytest.fixture
def checkpoint(tmp_path):
    return save_checkpoint(tmp_path / "model")


def test_what_is_said_while_loading_reaches_every_caller(checkpoint, monkeypatch, capsys):
    real = loading.load_trained

    def talkative(*args):
        TRANSFORMERS.warning("you are using a model of type a to instantiate type b")
        return real(*args)

    monkeypatch.setattr(loading, "load_trained", talkative)
    [caveat] = v2drop.load(str(checkpoint), device="cpu").caveats
    assert caveat.code == "library_warning"
    assert caveat.message.endswith("of type a to instantiate type b")
    assert capsys.readouterr() == ("", "")


def test_a_warning_of_transformers_itself(checkpoint):
    """Of rotary settings that mean nothing to it: the model may be another than was trained."""
    text = json.loads((checkpoint / "config.json").read_text())["text_config"]
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 0.5}
    edit_json(checkpoint / "config.json", text_config={**text, "rope_parameters": rope})
    messages = [caveat.message for caveat in v2drop.load(str(checkpoint), device="cpu").caveats]
    assert messages
    assert all(text.startswith("transformers: ") for text in messages)
    assert any("factor" in text and "0.5" in text for text in messages)


def test_what_is_said_while_processing_and_answering_reaches_the_report(checkpoint, monkeypatch):
    loaded = v2drop.load(str(checkpoint), device="cpu")
    process, generate = type(loaded.processor).__call__, loaded.model.generate

    def processed(*args, **kwargs):
        TRANSFORMERS.warning("pixels were scaled twice")
        return process(*args, **kwargs)

    def generated(*args, **kwargs):
        warnings.warn("some sequences are too long", UserWarning, stacklevel=1)
        return generate(*args, **kwargs)

    monkeypatch.setattr(type(loaded.processor), "__call__", processed)
    monkeypatch.setattr(loaded.model, "generate", generated)
    passes = Passes(Subject(loaded, [load_image(SCENE)], "what?"), Nvml(loaded.device))
    for _ in range(2):
        passes.answer(Arm("dense", None, None), 2)
    texts = [c.message for c in passes.caveats() if c.code == "library_warning"]
    assert texts == [
        "transformers: pixels were scaled twice",
        "test_library_talk: some sequences are too long",
    ]
