"""The model's tokenizer: byte-level BPE in which every word of the task is one token."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from v2drop_cli.tasks.drawn import questions
from v2drop_cli.tasks.drawn.clips import DIRECTIONS
from v2drop_cli.tasks.drawn.scenes import COLOR_NAMES, KINDS

BOS, EOS, PAD, IMAGE = "<s>", "</s>", "<pad>", "<image>"
VOCAB_SIZE = 640
# LLaVA-1.5's own format: images first, one line break, the text.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'].upper() + ':' }}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}"
    "{% if loop.first %}{{ ' ' }}{% endif %}{{ '<image>' }}"
    "{% if loop.last %}{{ '\\n' }}{% endif %}"
    "{% else %}{{ ' ' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def prompt(question: str, images: int) -> str:
    """The text the chat template gives for one question about ``images`` pictures."""
    return f"USER: {IMAGE * images}\n{question} ASSISTANT:"


def corpus() -> Iterator[str]:
    """Every phrasing and every word of the task, in the surroundings they occur in."""
    phrasings = [value for value in vars(questions).values() if isinstance(value, tuple)]
    texts = [
        text[0] if isinstance(text, tuple) else text
        for text in itertools.chain.from_iterable(phrasings)
    ]
    for text in texts:
        if isinstance(text, str):
            blank = text.format_map(
                dict.fromkeys(("color", "kind", "media", "thing", "things", "side"), "")
            )
            yield prompt(blank, 1)
    words = [
        *COLOR_NAMES,
        *KINDS,
        *(f"{kind}s" for kind in KINDS),
        *DIRECTIONS,
        "nothing",
        "yes",
        "no",
        "a",
        "an",
        "shapes",
        "image",
        "video",
        "moving",
        "0",
        "1",
        "2",
        "3",
        "4",
    ]
    for word in words:
        yield f" {word} {word},"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer; it normalises to lower case and keeps special tokens as they are."""
    special = [
        AddedToken(token, special=True, normalized=False) for token in (PAD, BOS, EOS, IMAGE)
    ]
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    core.train_from_iterator(corpus(), trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=2048,
        padding_side="left",
        extra_special_tokens={"image_token": IMAGE},
        chat_template=CHAT_TEMPLATE,
    )
