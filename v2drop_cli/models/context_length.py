"""How long a prompt a model was made for.

Beyond it nothing fails: rotary positions go on for ever, and so does the text, but the model has
seen nothing of the kind, and what it says may be rubbish. So a reader is told.

What is counted are tokens, also for models whose pictures take fewer positions than tokens
(M-RoPE): their makers state the number as the length of a sequence, and as many keys are what
attention was trained to spread over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from v2drop_cli.records import Caveat, CaveatKind


def context_of(config: Any) -> int | None:
    """Tokens that a model was made for; ``None`` where its configuration does not say.

    Scaled rotary positions stretch what the text model was trained on. Configurations state the
    length before or after stretching, so the longer of the two counts.
    """
    text = config.get_text_config()
    stated = getattr(text, "max_position_embeddings", None)
    if not stated:
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    kinds = [kind for kind in rope.values() if isinstance(kind, Mapping)] or [rope]
    return max(int(stated), min(_stretched(kind, int(stated)) for kind in kinds))


def _stretched(rope: Mapping[str, Any], stated: int) -> int:
    if rope.get("rope_type", "default") == "default":
        return stated
    trained = rope.get("original_max_position_embeddings") or stated
    return int(trained * (rope.get("factor") or 1.0))


def beyond_context(config: Any, prompt: int, new: int) -> Caveat | None:
    """What to say of ``prompt`` tokens and ``new`` ones after them, if they are too many."""
    context = context_of(config)
    if context is None or prompt + new <= context:
        return None
    return CaveatKind.BEYOND_CONTEXT.caveat(prompt=prompt, new=new, context=context)
