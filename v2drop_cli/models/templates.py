"""Which chat template a checkpoint means, and whether it can show pictures.

Checkpoints keep templates in many ways: one text, several by name, none, or one that only the
tokenizer knows. A template made for text alone drops pictures, prints them as Python writes them,
or raises; each of these would otherwise surface much later, as an error about tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2drop_cli.errors import ModelError

DEFAULT = "default"
_SHOWN = {"image": "picture", "video": "video"}
_HINT = (
    "put the chat_template.jinja of the published checkpoint into its folder, "
    "or pass a checkpoint that has one as --model"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One user turn.

    Attributes:
        kinds: ``image`` or ``video`` for each thing shown, in order; they come first.
        prompt: the question after them.
        fallback: a template for checkpoints that have none of their own.
        template: a template to use instead of the checkpoint's own.
    """

    kinds: Sequence[str]
    prompt: str
    fallback: str | None = None
    template: str | None = None

    @property
    def content(self) -> list[dict[str, str]]:
        """As chat templates take it."""
        return [*({"type": kind} for kind in self.kinds), {"type": "text", "text": self.prompt}]


def render(processor: Any, turn: Turn) -> str:
    """The text of ``turn``, one placeholder for each picture or video.

    The processor's template counts. If it has none, the tokenizer's does, but only if it shows
    pictures: many tokenizers still carry the template of the text model they come from.

    Raises:
        ModelError: the checkpoint has no template that shows what this turn shows.
    """
    own = turn.template or pick(getattr(processor, "chat_template", None))
    if own is not None:
        return _rendered(processor, turn, own)
    tokenizers = pick(getattr(getattr(processor, "tokenizer", None), "chat_template", None))
    if tokenizers is not None:
        try:
            return _rendered(processor, turn, tokenizers)
        except ModelError:
            if turn.fallback is None:
                raise
    if turn.fallback is not None:
        return _rendered(processor, turn, turn.fallback)
    raise ModelError(f"this checkpoint has no chat template for {_plural(turn)}", hint=_HINT)


def pick(templates: Any) -> str | None:
    """One template out of what a checkpoint holds: a text, or several by name.

    >>> pick({"default": "a", "reranker": "b"})
    'a'
    >>> pick([{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}])
    'a'

    Raises:
        ModelError: several, and none of them is the default; or something else than templates.
    """
    if not templates:
        return None
    if isinstance(templates, str):
        return templates
    if not isinstance(templates, Mapping):
        try:
            templates = {item["name"]: item["template"] for item in templates}
        except (TypeError, KeyError) as error:
            raise ModelError(
                "this checkpoint's chat template is neither a text nor several with names",
                hint="save the one for conversations as chat_template.jinja in its folder",
            ) from error
    if DEFAULT in templates or len(templates) == 1:
        return str(templates.get(DEFAULT) or next(iter(templates.values())))
    raise ModelError(
        f"this checkpoint has several chat templates and no default: {', '.join(templates)}",
        hint="save the one for conversations as chat_template.jinja in its folder",
    )


def _rendered(processor: Any, turn: Turn, template: str) -> str:
    try:
        text: str = processor.apply_chat_template(
            [{"role": "user", "content": turn.content}],
            add_generation_prompt=True,
            chat_template=template,
        )
    except Exception as error:  # whatever a template does with content it was not made for
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"this checkpoint has no chat template for {_plural(turn)}; its own fails: {first}",
            hint=_HINT,
        ) from error
    _check_shown(processor, turn, text)
    return text


def _check_shown(processor: Any, turn: Turn, text: str) -> None:
    """Refuse a text without exactly one placeholder for each thing shown."""
    # A template for text alone prints the list of content as Python writes it.
    printed = repr(turn.content[-1]) in text
    if _words(turn.prompt) not in _words(text):
        raise ModelError("this checkpoint's chat template leaves the question out", hint=_HINT)
    for kind, name in _SHOWN.items():
        token, shown = place_of(processor, kind), turn.kinds.count(kind)
        found = text.count(token) if token else shown
        if found != shown or printed:
            raise ModelError(
                f"this checkpoint has no chat template for {_plural(turn)}: "
                f"its own writes {found} places for {shown} {name}{'s' * (shown != 1)}",
                hint=_HINT,
            )


def place_of(processor: Any, kind: str) -> str | None:
    """What templates write for a picture or video; Qianfan-OCR's have a word of their own."""
    token = getattr(processor, f"{kind}_placeholder_token", None)
    token = token or getattr(processor, f"{kind}_token", None)
    return token if isinstance(token, str) and token else None


def _words(text: str) -> str:
    """Templates may cut blanks off, and break lines."""
    return " ".join(text.split())


def _plural(turn: Turn) -> str:
    return " and ".join(f"{_SHOWN[kind]}s" for kind in dict.fromkeys(turn.kinds)) or "lists of text"
