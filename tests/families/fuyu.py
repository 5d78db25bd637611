from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.fuyu import CASE as BASE
from v2drop_cli.prove.cases.fuyu import PATCH

TEMPLATE = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{{ item['text'] + '\n' if item['type'] == 'text' else '|SPEAKER|' }}{% endfor %}{% endfor %}"
)


def processor(tokenizer):
    """Pictures of at most 8 x 8 patches. Its tokenizer puts a token of its own before a picture,
    which the processor takes off again."""
    from tokenizers import AddedToken, Regex, normalizers
    from transformers import FuyuImageProcessor, FuyuProcessor

    places = [AddedToken(name, special=True, normalized=True) for name in SPECIALS]
    tokenizer.add_tokens(places, special_tokens=True)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(
        Regex(r"^\|SPEAKER\|(?=.)"), "_|SPEAKER|"
    )
    side = {"height": 8 * PATCH, "width": 8 * PATCH}
    images = FuyuImageProcessor(size=side, patch_size={"height": PATCH, "width": PATCH})
    return FuyuProcessor(image_processor=images, tokenizer=tokenizer)


SPECIALS = ("|SPEAKER|", "|NEWLINE|")
CASE = extended(
    BASE,
    tokens={"image_token_id": "|SPEAKER|"},
    processor=processor,
    specials=("|NEWLINE|", "<0x04>"),
    template=TEMPLATE,
    several=False,
)
