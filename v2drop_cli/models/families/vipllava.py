"""ViP-LLaVA: LLaVA whose projector sees several of CLIP's states at once (arXiv 2312.00784).

Tokens are LLaVA-1.5's: every ``<image>`` is one patch of a square picture, and all of them are
droppable. Frames of a video go in as images. CLIP's class token is left out, whatever the
configuration says: the model's code cuts it off.
"""

from __future__ import annotations

import dataclasses
import functools

import torch

from v2drop_cli.models.families.llava import LLAVA, process
from v2drop_cli.models.projections import SQUARE

# The turns of the published checkpoints, for those saved without a template.
CHAT_TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions."
    "{% for message in messages %}###{{ 'Human' if message['role'] == 'user' else 'Assistant' }}: "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>\\n' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}###Assistant:{% endif %}"
)

VIPLLAVA = dataclasses.replace(
    LLAVA,
    name="vipllava",
    model_types=("vipllava",),
    process=functools.partial(process, fallback=CHAT_TEMPLATE),
    tower=dataclasses.replace(SQUARE, patches=lambda config, count: torch.arange(1, count)),
    preset_source="arXiv 2509.01552 for LLaVA-1.5-7B, scaled by depth",
)
