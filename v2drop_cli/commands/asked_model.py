"""What ``eval`` and ``tune`` say of the model they ask: in the document, and to go on by."""

from __future__ import annotations

from typing import Any

from v2drop_cli.bench.asking import How
from v2drop_cli.methods.mixing import fingerprint
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import AS_IT_IS
from v2drop_cli.records.evaluation import EvalRequest


def request_to(loaded: LoadedModel, name: str, how: How, batch_size: int) -> EvalRequest:
    """What was asked of ``loaded``, which was asked for as ``name``."""
    return EvalRequest(
        model=name,
        resolved_id=loaded.source,
        revision=loaded.revision,
        weights=loaded.weights,
        attn_implementation=loaded.attn_implementation,
        dtype=str(loaded.dtype).removeprefix("torch."),
        device=str(loaded.device),
        fake_quant=loaded.fake_quant or AS_IT_IS,
        seed=how.seed,
        max_new_tokens=how.max_new_tokens,
        batch_size=batch_size,
        frames=how.frames,
    )


def settings_of(loaded: LoadedModel) -> dict[str, Any]:
    """What a run that is gone on with must have in common: known once the model is there."""
    return {
        "checkpoint": [loaded.source, loaded.revision, fingerprint(loaded.model)],
        "weights": loaded.weights,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": loaded.device.type,
        "attention": loaded.attn_implementation,
        "fake quantisation": loaded.fake_quant,
    }
