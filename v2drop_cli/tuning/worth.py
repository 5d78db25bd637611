"""What an arm costs and is worth, of rows that it was asked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from v2drop_cli.judge.paired import wilson
from v2drop_cli.measure.work import decoder_shape, limit
from v2drop_cli.models.arguments import heads_one_token
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.parts import language_head
from v2drop_cli.records.evaluation import Score
from v2drop_cli.records.tuning import Cost, Quality
from v2drop_cli.tuning.asked_again import Asked

Flops = Callable[[Asked], int | None]
"""Of one row's prefill; ``None`` where shapes do not say it."""


def flops_of(loaded: LoadedModel) -> Flops:
    """What tells the FLOPs of a row's prefill on ``loaded``."""
    config = loaded.model.config.get_text_config()
    shape = decoder_shape(loaded.family.layers(loaded.model), language_head(loaded.model), config)
    alone = heads_one_token(loaded.model)
    known: dict[tuple[int, tuple[int, ...]], int] = {}

    def flops(row: Asked) -> int | None:
        if shape is None:
            return None
        key = row.text, row.held
        if key not in known:
            columns = [row.text + vision for vision in row.held]
            answers = 1 if alone else row.text + row.vision
            known[key] = limit(shape, columns, 1, None, answers).prefill_flops
        return known[key]

    return flops


def cost(rows: Sequence[Asked], flops: Flops) -> Cost:
    """What the arm costs on ``rows``."""
    work = [each for each in map(flops, rows) if each is not None]
    return Cost(
        share=_mean([row.share for row in rows]),
        prefill_flops=sum(work) / len(work) if len(work) == len(rows) else None,
        prefill_s=statistics.median(row.prefill_s for row in rows),
    )


def quality(led: Sequence[Asked], said: Sequence[Asked]) -> Quality:
    """What the arm is worth: ``led`` along dense's answers, ``said`` its own, or none."""
    scores = [row.score for row in said if row.score is not None]
    mean = _mean(scores) if scores else 0.0
    return Quality(
        kl=_mean([row.kl for row in led if row.kl is not None]) if led else None,
        agreement=_mean([row.agreement for row in led if row.agreement is not None])
        if led
        else None,
        score=Score(None, len(scores), mean, wilson(mean, len(scores))) if scores else None,
    )


def loss(found: Quality, dense: Quality, by_score: bool) -> float | None:
    """What is lost of dense's score, or of the places at which the likeliest token is dense's.

    ``None`` where dense has no score that could be lost.
    """
    if by_score:
        if found.score is None or dense.score is None or not dense.score.mean:
            return None
        return max(0.0, 1 - found.score.mean / dense.score.mean)
    return 1 - (found.agreement if found.agreement is not None else 1.0)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
