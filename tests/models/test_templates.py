"""Whose chat template is used, and what happens where it cannot show pictures."""

from __future__ import annotations

import json
import shutil

import pytest

import v2drop_cli as v2drop
from tests.checkpoints import small_llava
from tests.models.test_families import shown
from v2drop_cli.errors import ModelError
from v2drop_cli.models.families.llava import LLAVA
from v2drop_cli.models.names import ASSETS
from v2drop_cli.models.templates import Turn, pick, render

TEXT_ONLY = (
    "{% for m in messages %}{{ m['role'].upper() }}: {{ m['content'] }} {% endfor %}ASSISTANT:"
)
SHOWING = "{{ bos_token }}<image>{{ messages[0]['content'][-1]['text'] }} OTHER:"
DROPPING = "{{ messages[0]['content'][-1]['text'] }}"
CHOKING = "{{ messages[0]['content'] + '!' }}<image>"
RAISING = "{{ raise_exception('only text is supported') }}"


@pytest.fixture
def checkpoint(tmp_path):
    """The embedded model, to be spoilt."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(ASSETS / "tiny", folder)
    return folder


def text_of(loaded, n=1):
    prepared = loaded.prepare([shown("image")] * n, "why?")
    return loaded.processor.tokenizer.decode(prepared.tensors["input_ids"][0]).lower()


# transformers does not close the files of further templates.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_the_default_of_several_templates_is_used(checkpoint):
    plain = text_of(v2drop.load(str(checkpoint), device="cpu"))
    more = checkpoint / "additional_chat_templates"
    more.mkdir()
    (more / "reranker.jinja").write_text(RAISING)
    assert text_of(v2drop.load(str(checkpoint), device="cpu")) == plain


def test_a_list_of_templates_in_the_tokenizers_settings(checkpoint):
    """As old checkpoints keep them; the processor has none."""
    plain = text_of(v2drop.load(str(checkpoint), device="cpu"))
    file, own = checkpoint / "tokenizer_config.json", checkpoint / "chat_template.jinja"
    settings = json.loads(file.read_text())
    settings["chat_template"] = [
        {"name": "default", "template": own.read_text()},
        {"name": "tool_use", "template": RAISING},
    ]
    file.write_text(json.dumps(settings))
    own.unlink()
    assert text_of(v2drop.load(str(checkpoint), device="cpu")) == plain


@pytest.mark.parametrize("held", [{"a": "1", "b": "2"}, [{"name": "a", "template": "1"}, {"name": "b", "template": "2"}]])  # fmt: skip # noqa: E501
def test_several_templates_without_a_default_are_refused_by_name(held):
    with pytest.raises(ModelError, match="no default: a, b") as refused:
        pick(held)
    assert "chat_template.jinja" in refused.value.hint


def test_one_template_needs_no_name():
    assert pick({"only": "1"}) == pick("1") == "1"
    assert pick(None) is pick({}) is pick([]) is None


@pytest.mark.parametrize("template", [TEXT_ONLY, DROPPING, CHOKING, RAISING])
def test_a_template_without_pictures_is_refused_in_one_line(checkpoint, template):
    (checkpoint / "chat_template.jinja").write_text(template)
    loaded = v2drop.load(str(checkpoint), device="cpu")
    with pytest.raises(ModelError, match="no chat template for pictures") as refused:
        text_of(loaded)
    assert "\n" not in refused.value.message
    assert "chat_template.jinja" in refused.value.hint


def test_a_place_for_one_picture_of_two_is_refused():
    model, processor = small_llava(1)
    processor.chat_template = SHOWING
    with pytest.raises(ModelError, match="writes 1 places for 2 pictures"):
        LLAVA.prepare(processor, model.config, [shown("image")] * 2, "why?")
    with pytest.raises(ModelError, match="writes 1 places for 0 pictures"):
        LLAVA.prepare(processor, model.config, [], "why?")


def test_a_text_template_prints_the_list_without_pictures_too():
    model, processor = small_llava(1)
    processor.chat_template = TEXT_ONLY
    with pytest.raises(ModelError, match="lists of text"):
        LLAVA.prepare(processor, model.config, [], "why?")


class Bare:
    """A processor with nothing but templates."""

    image_token = "<image>"

    def __init__(self, own, tokenizers):
        self.chat_template, self.tokenizer = own, self
        self.tokenizer = type("Tokenizer", (), {"chat_template": tokenizers})()

    def apply_chat_template(self, messages, add_generation_prompt, chat_template):
        assert add_generation_prompt
        if chat_template == "raises":
            raise TypeError("can only concatenate str\nand more")
        return f"{chat_template}{messages[0]['content'][-1]['text']}"


@pytest.mark.parametrize(
    ("own", "tokenizers", "fallback", "used"),
    [
        ("<image>a", "<image>b", "<image>c", "a"),
        (None, "<image>b", "<image>c", "b"),
        (None, "text", "<image>c", "c"),  # left over from the text model
        (None, "raises", "<image>c", "c"),
        (None, None, "<image>c", "c"),
    ],
)
def test_whose_template_is_used(own, tokenizers, fallback, used):
    turn = Turn(["image"], "why?", fallback)
    assert render(Bare(own, tokenizers), turn) == f"<image>{used}why?"


@pytest.mark.parametrize(
    ("own", "tokenizers", "fallback"),
    [
        ("text", "<image>b", "<image>c"),  # what a checkpoint says itself is not passed over
        ("raises", None, "<image>c"),
        (None, "text", None),
        (None, None, None),
    ],
)
def test_no_template_for_pictures(own, tokenizers, fallback):
    with pytest.raises(ModelError, match=r"no chat template for pictures[^\n]*$"):
        render(Bare(own, tokenizers), Turn(["image"], "why?", fallback))


def test_a_template_that_leaves_the_question_out_is_refused():
    _, processor = small_llava()
    processor.chat_template = "<image> describe this"
    with pytest.raises(ModelError, match="leaves the question out"):
        render(processor, Turn(["image"], "what color is it?"))


@pytest.mark.parametrize("templates", [7, ["a"], [{"template": "a"}]])
def test_what_is_no_template_is_said(templates):
    with pytest.raises(ModelError, match="neither a text nor several"):
        pick(templates)
