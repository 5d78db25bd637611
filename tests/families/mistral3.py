from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.mistral3 import CASE as BASE
from v2drop_cli.prove.cases.mistral3 import MERGE, PATCH

TEMPLATE = (
    "<s>{% for message in messages %}[INST]{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '[IMG]' }}{% endfor %}[/INST]{% endfor %}"
)


def pixtral_processor(merge: int):
    def make(tokenizer):
        from transformers import PixtralImageProcessor, PixtralProcessor

        images = PixtralImageProcessor(
            size={"longest_edge": 64}, patch_size={"height": PATCH, "width": PATCH}
        )
        return PixtralProcessor(
            image_processor=images,
            tokenizer=tokenizer,
            patch_size=PATCH,
            spatial_merge_size=merge,
        )

    return make


CASE = extended(
    BASE,
    tokens={"image_token_id": "[IMG]"},
    processor=pixtral_processor(MERGE),
    specials=("[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"),
    template=TEMPLATE,
)
