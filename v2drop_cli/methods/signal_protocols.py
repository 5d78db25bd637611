"""What a method may look at: the signals of one row, and those of the vision tower.

The instrument has the classes that gather them; a method is written against these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Kept, TowerLayer


class Signals(Protocol):
    """What the instrument can say of one row's alive vision tokens. Gathered when asked."""

    def hidden(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` hidden states entering the drop layer, in the model's dtype.

        Of the alive vision tokens; or of the text at positions ``rows``, as :meth:`text` gives.
        """

    def normed(self, rows: Tensor | None = None) -> Tensor:
        """``[n, D]`` the same states after the decoder's last norm, the one before the head."""

    def previous_hidden(self) -> Tensor:
        """``[n, D]`` hidden states that entered the layer before."""

    def measured(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``[n]``: ``measure(hidden, previous_hidden)``, each token for itself.

        ``measure`` is given all W columns of the row, ``[W, D]`` twice, and returns ``[W]``:
        picking the tokens' rows first would copy both. It must change neither.
        """

    def embeddings(self) -> Tensor:
        """``[Q, D]`` what the decoder was given, of all columns of this forward."""

    def text(self) -> Tensor:
        """``[m]`` long: positions of this forward's text, ascending."""

    def text_after(self) -> Tensor:
        """``[m]`` long: positions of the text after the last picture."""

    def input_ids(self) -> Tensor:
        """``[Q]`` long: the ids of this forward; :meth:`text` says which are no vision tokens."""

    def grids(self) -> tuple[Grid, ...] | None:
        """How this row's vision tokens lie over the pixels; ``None`` where that is not known."""

    def order(self) -> Tensor:
        """``[n]`` long: which of this row's vision tokens the alive ones are, for the grids."""

    def keys(self, layer: int, rows: Tensor | None = None) -> Tensor:
        """``[G, n, d]`` keys at the drop layer or the one before, rotated.

        Of the alive vision tokens; or of the text at positions ``rows``.
        """

    def attention(self, rows: Tensor, layer: int) -> Tensor:
        """``[H, r, n]``: how much ``rows`` attend to the alive tokens, in float32.

        At the drop layer, or at the one before (that takes :data:`PREVIOUS_HIDDEN` as well). Only
        these rows are computed; the layer itself runs with its own kernel.
        """

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` gave at the row's first drop, for later drops of the forward as well."""

    def tower(self, layer: TowerLayer) -> TowerSignals:
        """A block of the vision tower, one of :attr:`Method.tower_layers`. Waits for the device.

        ``tower("projector")`` shows what the projector is given, ``tower("output")`` what the
        tower returns; they have no keys and no attention.
        """


class TowerSignals(Protocol):
    """What one block of the vision tower knows of the alive tokens' patches.

    Where an image is cut into tiles, some tokens are separators, which stand for no patch: their
    states, keys and attention are zero.
    """

    @property
    def crops(self) -> tuple[int, ...]:
        """Pictures that each of the row's images was encoded as: 1, or a thumbnail and tiles."""

    @property
    def patches(self) -> int:
        """Patches that one such picture hands on, square in raster order."""

    def crop(self) -> Tensor:
        """``[n]`` long: the picture of each token, counted through the row; -1 for a separator."""

    def patch(self) -> Tensor:
        """``[n]`` long: its patch, 0 to ``patches - 1``; 0 for a separator."""

    def by_crop(self) -> list[Tensor]:
        """Per picture of the row, ``[n_c]`` long: which tokens are its own. Separators are not."""

    def hidden(self) -> Tensor:
        """``[n, D]`` hidden states entering the block."""

    def class_hidden(self) -> Tensor:
        """``[pictures, D]`` those of the class token of each picture of the row."""

    def keys(self) -> Tensor:
        """``[H, n, d]`` its keys."""

    def class_attention(self) -> Tensor:
        """``[H, n]`` how much the class token of each token's picture attends to its patch."""

    def left(self) -> Kept:
        """What :meth:`Method.merge_patches` left, for layer 0's drop. Waits for the device."""

    def project(self, features: Tensor) -> Tensor:
        """``[k, D]`` what the model's own projector makes of any ``[k, D of the tower]``."""
