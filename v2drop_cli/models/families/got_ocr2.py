"""GOT-OCR 2.0 and PP-Chart2Table: a page as one square of 16 x 16 tokens (arXiv 2409.01704).

The tower sees 1024 x 1024 pixels; two convolutions make one token of 4 x 4 patches. Every
``<imgpad>`` is one and all of them are droppable; ``<img>`` and ``</img>`` are text and stay. The
models take no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import ask, process_images, refuse_video
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.picture_limits import check_media
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.models.templates import Turn
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# What the projector's two convolutions of stride 2 make one of, each way.
_MERGED = 4
# The turns that GOT-OCR's own processor writes: the published checkpoint has no template.
CHAT_TEMPLATE = (
    "<|im_start|>system\nYou should follow the instructions carefully and explain your answers in "
    "detail.<|im_end|>{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<img><imgpad></img>\n' }}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _side(config: Any) -> int:
    """Tokens along one side of a page."""
    vision = config.vision_config
    return int(-(-(vision.image_size // vision.patch_size) // _MERGED))


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    side = _side(config)
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    return tuple((Grid(1, side, side),) * (count // side**2) for count in counts)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn; GOT-OCR's processor takes pictures as one list, and is told its tokens."""
    if config.model_type != "got_ocr2":
        return process_images(processor, config, media, prompt)
    refuse_video(config, media)
    check_media(processor, media)
    pictures = [item.frames[0] for item in media]
    turn = Turn(["image"] * len(pictures), prompt, CHAT_TEMPLATE)
    return ask(processor, turn, {"images": pictures, "num_image_tokens": _side(config) ** 2})


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """The delimiters' ids are right below the placeholder's, as in the published tokenizer."""
    size, token = config.vision_config.image_size, config.image_token_id
    ids = [[token - 2, *[token] * _side(config) ** 2, token - 1] for _ in media]
    return Synthetic(ids, {"pixel_values": noise(len(media), 3, size, size)} if media else {})


GOT_OCR2 = Family(
    name="got_ocr2",
    model_types=("got_ocr2", "pp_chart2table"),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
