"""Every answer of an evaluation as CSV: a line per row and arm."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from v2drop_cli.records.journal import RowResult

_HEAD = (
    *("row", "group", "arm", "score", "answer", "answer_tokens", "vision_tokens"),
    *("layer_average_vision_tokens", "prefill_s", "decode_s_per_token"),
    *("kl", "agreement", "first_divergence", "broken"),
)


def answers_to_csv(results: Sequence[RowResult], asked: int) -> str:
    """The first ``asked`` rows; a broken one has a single line, without an arm."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEAD)
    for result in results:
        if result.row >= asked:
            continue
        if result.broken is not None:
            writer.writerow((result.row, result.group, *[None] * (len(_HEAD) - 3), result.broken))
        for label, said in result.arms.items():
            writer.writerow(
                (
                    *(result.row, result.group, label, said.score, said.text, len(said.tokens)),
                    *(said.vision_tokens, said.layer_average, said.prefill_s),
                    *(said.decode_s_per_token, said.kl, said.agreement, said.first_divergence),
                    None,
                )
            )
    return stream.getvalue()
