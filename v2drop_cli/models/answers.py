"""Where an answer begins in what ``generate`` returned: each row is a prompt and its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from v2drop_cli.errors import UsageError

_REMEMBERED = 1024
"""Prompts, the latest ones: more than the rows of any batch that a device holds."""


class Generated(Protocol):
    """What ``generate`` returns with ``return_dict_in_generate=True``."""

    sequences: Tensor


def decoded(
    processor: Any, prompts: Prompts, output: Sequence[int] | Tensor | Generated
) -> str | list[str]:
    """The text of one answer's ids, or the answers in what ``generate`` returned."""

    def text(token_ids: Sequence[int]) -> str:
        if processor is None:
            return ""
        found: str = processor.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return found.strip()

    if isinstance(output, Sequence):
        return text(output)
    rows = _rows_of(output)
    if processor is None:
        return [""] * len(rows)
    padding = processor.tokenizer.pad_token_id
    return [text(prompts.answer(row, padding)) for row in rows]


def _rows_of(output: Tensor | Generated) -> list[list[int]]:
    """The token ids of each row of what ``generate`` returned.

    Raises:
        UsageError: it is no table of token ids.
    """
    ids = output if isinstance(output, Tensor) else getattr(output, "sequences", None)
    if not isinstance(ids, Tensor) or ids.dim() != 2:
        raise UsageError(
            "decode takes what generate returned, [batch, length], or the ids of one answer",
            hint="loaded.decode(model.generate(**inputs)), or loaded.decode([17, 4, 2])",
        )
    rows: list[list[int]] = ids.tolist()
    return rows


@dataclass(slots=True)
class Prompts:
    """The prompts that a model prepared, so that answers can be told from them."""

    _ids: deque[Tensor] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def remember(self, ids: Tensor) -> None:
        """Keep ``ids [B, L]``, one prompt a row. Costs nothing: it may be part of a timed call."""
        self._ids.append(ids)

    def answer(self, row: Sequence[int], padding: int | None) -> Sequence[int]:
        """What follows the prompt that ``row`` begins with, the longest if there are several.

        Args:
            row: a prompt and its answer, perhaps with padding before them.
            padding: the id that pads, where there is one.

        Raises:
            UsageError: it begins with no prompt that is known.
        """
        pads = 0
        while pads < len(row) and row[pads] == padding:
            pads += 1
        prompts = [prompt for ids in self._ids for prompt in ids.tolist()]
        for prompt in sorted(prompts, key=len, reverse=True):
            for start in (0, pads):
                if row[start : start + len(prompt)] == prompt:
                    return row[start + len(prompt) :]
        raise UsageError(
            "this output begins with no prompt that loaded.prepare made, so where its answer "
            "begins is not known",
            hint="decode the answer's ids alone: loaded.decode(output[0, prompt_length:].tolist())",
        )
