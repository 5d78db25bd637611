"""Lazy signals: what a method may look at, gathered only when it looks.

Nothing here runs for a method that needs hidden states alone, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.here import Here
from v2drop_cli.instrument.tower_row import TowerRow
from v2drop_cli.methods.base import (
    ATTENTION,
    EMBEDDINGS,
    GRIDS,
    HIDDEN,
    KEYS,
    NORMED,
    PREVIOUS_HIDDEN,
    QUESTION,
    TEXT,
    TOWER,
    TowerLayer,
)
from v2drop_cli.models.splitting import of_all_heads
from v2drop_cli.records import Grid

# Signals that read the arguments of the model's call.
FROM_THE_CALL = frozenset({QUESTION, GRIDS, TOWER})


@dataclass(frozen=True, slots=True)
class RowSignals:
    """What a method may look at of one batch row's alive vision tokens.

    The class of :class:`~v2drop_cli.methods.signal_protocols.Signals`.

    Attributes:
        entering: ``[W, D]`` this row's hidden states entering the drop layer.
        entered_before: ``[W, D]`` the ones that entered the layer before, or ``None`` if no
            method asked for them.
        vision: ``[n]`` long, columns of the alive vision tokens.
        here: where this is, for all signals but hidden states.
    """

    entering: Tensor
    entered_before: Tensor | None
    vision: Tensor
    here: Here | None = None

    def hidden(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` hidden states entering the drop layer.

        Of the alive vision tokens; or of the text at positions ``rows``, as :meth:`text` gives.
        """
        return self.entering[self._columns(rows, HIDDEN)]

    def normed(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` the same states after the decoder's last norm."""
        reader = self._here(NORMED).reader
        if reader.final_norm is None:
            raise UnsupportedModelError(
                f"nobody has shown which norm of {reader.family.name} is the last one",
                hint="take a method that needs no normed states",
            )
        normed: Tensor = reader.final_norm(self.hidden(rows))
        return normed.to(self.entering.device)

    def previous_hidden(self) -> Tensor:
        """``[n, D]`` hidden states that entered the layer before."""
        # On a model spread over devices, the layer before may have run elsewhere.
        before = self._before()
        return before[self.vision.to(before.device)].to(self.entering.device)

    def measured(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``[n]``: ``measure(hidden, previous_hidden)`` of all columns, then the tokens' own."""
        return measure(self.entering, self._before().to(self.entering.device))[self.vision]

    def embeddings(self) -> Tensor:
        """``[Q, D]`` what the decoder was given, of all columns of this forward."""
        here = self._here(EMBEDDINGS)
        found = here.forward.embeddings
        if found is None:
            raise InstrumentError("this model hands its decoder no inputs_embeds by keyword")
        return found[here.row].to(self.entering.device)

    def text(self) -> Tensor:
        """``[m]`` long: positions of this forward's text, ascending."""
        return self._here(TEXT).text()

    def text_after(self) -> Tensor:
        """``[m]`` long: positions of the text after the last picture."""
        here = self._here(TEXT)
        text = here.text()
        return text[len(text) - here.forward.after[here.row] :]

    def input_ids(self) -> Tensor:
        """``[Q]`` long: the ids of this forward; ``text`` says which are no vision tokens."""
        here = self._here(QUESTION)
        ids: Tensor = here.forward.arguments["input_ids"][here.row]
        return ids.to(self.entering.device)

    def grids(self) -> tuple[Grid, ...] | None:
        """How this row's vision tokens lie over the pixels; ``None`` where that is not known."""
        here = self._here(GRIDS)
        reader, arguments = here.reader, here.forward.arguments
        return reader.encodings.grids(reader.family, reader.config, arguments, here.row)

    def order(self) -> Tensor:
        """``[n]`` long: which of this row's vision tokens the alive ones are, for the grids."""
        here = self._here(GRIDS)
        return torch.searchsorted(here.forward.vision[here.row], here.original(self.vision))

    def keys(self, layer: int, rows: Tensor | None = None) -> Tensor:
        """``[G, n, d]`` keys in the drop layer or the one before, rotated.

        Of the alive vision tokens; or of the text at positions ``rows``.
        """
        here, states = self._at(KEYS, layer)
        attended, how = here.attended(layer, states), here.reader.family.projections
        found = of_all_heads(attended.keys(how), how.attention(attended.module))
        return found.to(self.entering.device)[:, self._columns(rows, KEYS)]

    def attention(self, rows: Tensor, layer: int) -> Tensor:
        """``[H, r, n]``: how much ``rows`` attend to the alive tokens, in float32.

        Args:
            rows: ``[r]`` long, positions of text, as in :meth:`text`.
            layer: the drop layer, or the one before.
        """
        here, states = self._at(ATTENTION, layer)
        attended = here.attended(layer, states)
        columns = here.alive(rows).to(attended.states.device)
        how = here.reader.family.projections
        found = of_all_heads(attended.rows(how, columns), how.attention(attended.module))
        return found.to(self.entering.device)[..., self.vision]

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` gave the first time in this forward that the row was asked for ``name``."""
        if self.here is None:
            return make()
        notes, key = self.here.forward.notes, (self.here.row, name)
        if key not in notes:
            notes[key] = make()
        return notes[key].to(self.entering.device)

    def tower(self, layer: TowerLayer) -> TowerRow:
        """What ``layer`` of the vision tower knows of the alive tokens' patches."""
        here = self._here(TOWER)
        watch, config = here.reader.tower, here.reader.config
        mask = here.reader.family.vision_mask(config, here.forward.arguments)
        assert watch is not None
        assert mask is not None
        own = mask[here.row].nonzero()[:, 0]
        order = torch.searchsorted(own, here.original(self.vision).to(own.device))
        found = watch.row(layer, mask, here.row, order, here.forward.arguments)
        # On a model spread over devices, the tower may have run elsewhere.
        return replace(found, device=self.entering.device)

    def _at(self, need: str, layer: int) -> tuple[Here, Tensor]:
        """The input of ``layer``, if that is at hand."""
        here = self._here(need)
        why = here.reader.family.projections.refusal(here.reader.config)
        if why is not None:
            raise UnsupportedModelError(
                f"no {need} of {here.reader.family.name}: {why}",
                hint="use a method that looks at hidden states alone, such as v2drop",
            )
        here.reader.call.refuse_no_columns(layer, need)
        if layer == here.layer:
            return here, self.entering
        if layer == here.layer - 1:
            return here, self._before()
        raise InstrumentError(
            f"a drop at layer {here.layer} has no {need} of layer {layer}",
            hint=f"ask for layer {here.layer}, or for the one before it",
        )

    def _columns(self, rows: Tensor | None, need: str) -> Tensor:
        """Alive columns of the alive vision tokens, or of the text at positions ``rows``."""
        return self.vision if rows is None else self._here(need).alive(rows)

    def _here(self, need: str) -> Here:
        if self.here is None or need not in self.here.reader.needs:
            raise InstrumentError(f"{need} was not prepared: add it to Method.needs")
        return self.here

    def _before(self) -> Tensor:
        if self.entered_before is None:
            raise InstrumentError(f"{PREVIOUS_HIDDEN} was not recorded: add it to Method.needs")
        return self.entered_before
