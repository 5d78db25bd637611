"""How much vision tokens have to do with the question, before the decoder has read either.

There are two ways to tell. Every model has the decoder's own embeddings of the question. The text
tower of the CLIP whose vision tower the model sees with is a checkpoint of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.methods.clip_files import ClipParts, check_clip_name, clip_parts
from v2drop_cli.methods.diversity import units
from v2drop_cli.records import Caveat, CaveatKind

# Of the benchmarks of LLaVA-1.5: how to answer, which says nothing of what to look for.
_ANSWER_FORMATS = (
    "When the provided information is insufficient, respond with 'Unanswerable'.",
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
)
# A word that every tokenizer knows; a template's words around it are not the question's.
_STAND_IN = "harmless"


@dataclass(frozen=True, eq=False, slots=True)
class ByClip:
    """Relates a question to patches of the vision tower, in the space that CLIP was trained for.

    Attributes:
        clip: the parts of the checkpoint that this takes.
        words: the model's own tokenizer, which turns a prompt's ids back to text.
        around: words of the chat template before and after a question.
    """

    clip: ClipParts
    words: Any
    around: tuple[str, str]

    @classmethod
    def of(cls, checkpoint: str, model: Any, processor: Any) -> ByClip:
        """The CLIP in ``checkpoint`` for ``model``, on its device.

        Raises:
            UsageError: there is no processor, so the question's words are not known; or the
                checkpoint is of another vision tower.
            ModelError: the checkpoint cannot be loaded.
            UnsupportedModelError: the model does not see with a CLIP.
        """
        words = getattr(processor, "tokenizer", None)
        if words is None:
            raise UsageError(
                f"text={checkpoint} needs the words of the question, and this model came without "
                "its processor",
                hint="pass dropping() what v2drop.load returned, or leave text out",
            )
        check_sees_with_clip(checkpoint, model.config)
        sees, clip = model.config.vision_config, clip_parts(checkpoint)
        if clip.patch_width != sees.hidden_size:
            raise UsageError(
                f"{checkpoint} is not the CLIP that this model sees with: its patches have "
                f"{clip.patch_width} channels, the model's {sees.hidden_size}",
                hint="pass the CLIP that the vision tower was taken from",
            )
        # The weights of an offloaded model are fetched for each call, and on no device before.
        device = clip.device if model.device.type == "meta" else model.device
        return cls(clip.to(device), words, _around(processor))

    def relevance(self, ctx: DropContext) -> Tensor:
        """``[n]`` float32: minus the mean cosine of each token's patch to the question's segments.

        Patches are those of layer −2 of the tower, in CLIP's post-norm and visual projection.
        Reading the question's words waits for the device.
        """
        patches = self.clip.projected(ctx.signals.tower(-1).hidden().float())
        asked = units(self.clip.embedded(self.question(ctx))).mean(dim=0)
        return -(units(patches) @ asked).to(ctx.positions.device)

    def question(self, ctx: DropContext) -> str:
        """The question as the user typed it, without the sentence that says how to answer."""
        ids = ctx.signals.input_ids()[_asked(ctx)].tolist()
        text = self.words.decode(ids, skip_special_tokens=True).strip()
        before, after = self.around
        return without_answer_format(text.removesuffix(after).removeprefix(before))


class ByQuestion(BeforeDecoder):
    """A method that relates tokens to the question.

    It reads the question by CLIP's text tower, or else by the decoder's own embeddings.

    Attributes:
        text: a CLIP checkpoint; empty for the decoder's embeddings. A subclass has it as a field,
            at the place where its other parameters leave it.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse a checkpoint that is not there, before a model is loaded."""
        if self.text:
            check_clip_name(self.text)

    def check_model(self, config: Any) -> None:
        """Refuse ``text`` for a model that does not see with a CLIP."""
        if self.text:
            check_sees_with_clip(self.text, config)

    def clip(self, model: Any, processor: Any) -> ByClip | None:
        """What reads the question, if anybody but the decoder does."""
        return ByClip.of(self.text, model, processor) if self.text else None

    def caveats(self) -> tuple[Caveat, ...]:
        """That the question was not read by CLIP, where it was not."""
        if self.text:
            return ()
        return (CaveatKind.QUESTION_BY_DECODER.caveat(method=self.name),)


def check_sees_with_clip(checkpoint: str, config: Any) -> None:
    """Refuse a text tower for a model whose vision tower is of another kind.

    Raises:
        UnsupportedModelError: it is.
    """
    kind = getattr(getattr(config, "vision_config", None), "model_type", "other one")
    if kind != "clip_vision_model":
        raise UnsupportedModelError(
            f"text={checkpoint} is the text tower of the CLIP that a model sees with, and this "
            f"model's vision tower is a {kind}",
            hint="leave text out: the decoder's own embeddings stand in for it",
        )


def by_decoder(ctx: DropContext) -> Tensor:
    """``[n]`` float32: minus the mean cosine of each token to the question's embeddings.

    The chat template's end is among them: without a tokenizer it cannot be told from the question.
    A prompt without text leaves all tokens equally relevant.
    """
    rows, tokens = _asked(ctx), units(ctx.signals.hidden())
    if not len(rows):
        return tokens.new_zeros(len(tokens))
    return -(tokens @ units(ctx.signals.hidden(rows)).mean(dim=0))


def _asked(ctx: DropContext) -> Tensor:
    """Positions of the question: the text after the last picture, or all text if there is none."""
    rows = ctx.signals.text_after()
    return rows if len(rows) else ctx.signals.text()


def without_answer_format(question: str) -> str:
    """``question`` without the sentences of LLaVA's benchmarks on how to answer.

    >>> without_answer_format("Is it red? Answer the question using a single word or phrase.")
    'Is it red?'
    """
    for sentence in _ANSWER_FORMATS:  # in any case: some tokenizers know small letters only
        question = re.sub(re.escape(sentence), "", question, flags=re.IGNORECASE)
    return question.strip()


def _around(processor: Any) -> tuple[str, str]:
    """Words that the processor's chat template puts before and after a question about a picture.

    None where it has no template that shows a picture: all words of the prompt then count.
    """
    content = [{"type": "image"}, {"type": "text", "text": _STAND_IN}]
    try:
        text: str = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
    except Exception:  # whatever a template raises, or that there is none
        return "", ""
    before, _, after = text.partition(_STAND_IN)
    words, image = processor.tokenizer, str(getattr(processor, "image_token", ""))

    def plain(part: str) -> str:
        ids = words(part, add_special_tokens=False)["input_ids"]
        return str(words.decode(ids, skip_special_tokens=True)).strip()

    return plain(before.rpartition(image)[2] if image else before), plain(after)
