"""What one block of the vision tower knows of the alive vision tokens of one batch row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.attention import beside_weights, softmax_rows
from v2drop_cli.instrument.tower_merging import Merged
from v2drop_cli.methods.base import Kept
from v2drop_cli.models.projections import Crops, Layout, Projections


@dataclass(frozen=True, slots=True)
class RowCrops:
    """The pictures of one row, and which patches of them its alive tokens stand for.

    Attributes:
        first: the row's first picture, among all that were encoded for the forward.
        counts: pictures of each of the row's images.
        patches: patches that a picture hands on.
        crop: ``[n]`` long, the picture of each alive token, counted through the row; -1 for a
            separator.
        patch: ``[n]`` long, its patch among those handed on.
        place: ``[n]`` long, the same among all that the tower has, its class token included.
        separators: ``[n]`` bool, ``None`` where every token stands for a patch.
    """

    first: int
    counts: tuple[int, ...]
    patches: int
    crop: Tensor
    patch: Tensor
    place: Tensor
    separators: Tensor | None

    @classmethod
    def of(cls, layout: Layout, start: int, count: int, order: Tensor, handed: Tensor) -> RowCrops:
        """The row whose ``count`` vision tokens begin at ``start`` among those of all images.

        Args:
            layout: all images of the forward.
            start: where the row's tokens begin.
            count: how many the row has.
            order: ``[n]`` long, the alive ones, counted through the row's.
            handed: ``[k]`` long, which of a picture's patches are handed on.
        """
        first, images = 0, list(layout)
        while images and start > 0:
            gone = images.pop(0)
            start, first = start - len(gone.crop), first + gone.count
        own: list[Crops] = []
        while images and count > 0:
            own.append(images.pop(0))
            count -= len(own[-1].crop)
        if start or count:
            raise InstrumentError("the vision tokens of a row are not those of whole images")
        crop = _counted(own).to(order.device)[order]
        patch = torch.cat([image.patch for image in own]).to(order.device)[order]
        mixed = any(bool((image.crop < 0).any()) for image in own)  # read on the host
        return cls(
            first=first,
            counts=tuple(image.count for image in own),
            patches=len(handed),
            crop=crop,
            patch=patch,
            place=handed.to(order.device)[patch],
            separators=crop < 0 if mixed else None,
        )


@dataclass(frozen=True, slots=True)
class TowerRow:
    """One block of the tower.

    The class of :class:`~v2drop_cli.methods.signal_protocols.TowerSignals`.

    Attributes:
        how: how the block makes queries and keys.
        module: the block; ``None`` for what enters the projector or leaves the tower.
        projector: the model's own.
        states: ``[pictures of the row, patches, D]`` what entered.
        row: which patches the alive tokens stand for.
        class_token: place of the class token among the patches, ``None`` without one.
        merged: what became of the row's pictures before this block; ``None`` if the method merges
            nothing. Then ``states`` have each merged patch in all its places.
        device: where the decoder's states are, and with them all that is told; ``None`` for where
            the tower's are.
    """

    how: Projections
    module: Any
    projector: Any
    states: Tensor
    row: RowCrops
    class_token: int | None
    merged: Merged | None = None
    device: torch.device | None = None
    _keys: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def crops(self) -> tuple[int, ...]:
        """Pictures that each of the row's images was encoded as."""
        return self.row.counts

    @property
    def patches(self) -> int:
        """Patches that one such picture hands on."""
        return self.row.patches

    def crop(self) -> Tensor:
        """``[n]`` long: the picture of each token, counted through the row; -1 for a separator."""
        return self._told(self.row.crop)

    def patch(self) -> Tensor:
        """``[n]`` long: its patch among those handed on; 0 for a separator."""
        return self._told(self.row.patch)

    def by_crop(self) -> list[Tensor]:
        """Per picture of the row, ``[n_c]`` long: which tokens are its own.

        With several pictures the host reads how many each has, and waits for the device.
        """
        crop, total = self.row.crop, sum(self.row.counts)
        if total == 1 and self.row.separators is None:
            return [self._told(torch.arange(len(crop), device=crop.device))]
        order = torch.argsort(crop, stable=True)
        counts = torch.zeros(total + 1, dtype=torch.int64, device=crop.device)
        counts.scatter_add_(0, crop + 1, torch.ones_like(crop))
        own: tuple[Tensor, ...] = torch.split(self._told(order), counts.tolist())
        return list(own)[1:]

    def hidden(self) -> Tensor:
        """``[n, D]`` what entered at the tokens' patches; zero for a separator."""
        return self._own(self.states[self.row.crop, self.row.place], dim=0)

    def class_hidden(self) -> Tensor:
        """``[pictures, D]`` what entered at the class token of each picture of the row.

        Raises:
            UnsupportedModelError: this tower has no class token.
        """
        return self._told(self.states[:, self._class_token()])

    def keys(self) -> Tensor:
        """``[H, n, d]`` the block's keys of the tokens' patches; zero for a separator."""
        return self._own(self._of_tokens(self._all_keys()), dim=1)

    def class_attention(self) -> Tensor:
        """``[H, n]`` how much each picture's class token attends to the tokens' patches.

        Of a merged patch, that is in the place that stands for it, and zero in the others.

        Raises:
            UnsupportedModelError: this tower has no class token.
        """
        asked = self._made("queries", self.states[:, self._class_token()])  # [H, pictures, d]
        scaling = self.how.scaling(self.how.attention(self.module))
        there = None if self.merged is None else self.merged.stands.to(asked.device)
        rows = [
            softmax_rows(asked[:, i, None], keys, scaling, None if there is None else there[i])
            for i, keys in enumerate(self._all_keys().unbind(1))
        ]
        return self._own(self._of_tokens(torch.cat(rows, dim=1)), dim=1)

    def left(self) -> Kept:
        """The alive tokens that merging left, and what went into which."""
        if self.merged is None:
            return Kept(
                torch.arange(len(self.row.crop), device=self.device or self.row.crop.device)
            )
        there = self.merged.index.device
        left = self.merged.left(self.row.crop.to(there), self.row.place.to(there))
        sources = None if left.sources is None else self._told(left.sources)
        return replace(left, index=self._told(left.index), sources=sources)

    def _all_keys(self) -> Tensor:
        """``[H, pictures, patches, d]`` the block's keys of the row's pictures, made once."""
        if not self._keys:
            made = self._made("keys", self.states.flatten(0, 1))
            self._keys.append(made.view(len(made), *self.states.shape[:2], -1))
        return self._keys[0]

    def project(self, features: Tensor) -> Tensor:
        """``[k, D]`` what the model's own projector makes of ``features [k, D of the tower]``."""
        return self._told(project(self.projector, features.to(self.states.dtype)))

    def _class_token(self) -> int:
        if self.class_token is None:
            raise UnsupportedModelError("this model's vision tower has no class token")
        return self.class_token

    def _of_tokens(self, values: Tensor) -> Tensor:
        """``[H, n, …]`` of values ``[H, pictures, patches, …]``."""
        crop, place = (index.to(values.device) for index in (self.row.crop, self.row.place))
        return values[:, crop, place]

    def _own(self, values: Tensor, dim: int) -> Tensor:
        """``values`` of all tokens, along ``dim``, with those of separators made zero."""
        if self.row.separators is None:
            return self._told(values)
        shape = [1] * values.dim()
        shape[dim] = -1
        separators = self.row.separators.to(values.device)
        return self._told(values.masked_fill(separators.view(shape), 0))

    def _told(self, values: Tensor) -> Tensor:
        """``values`` where whoever asks can compute with them."""
        return values if self.device is None else values.to(self.device)

    def _made(self, what: str, states: Tensor) -> Tensor:
        if self.module is None:
            raise InstrumentError("only blocks have keys and attention, no projector or output")
        make = self.how.keys if what == "keys" else self.how.queries
        states = beside_weights(self.module, states)
        made: Tensor = make(self.how.attention(self.module), self.how.norm(self.module)(states))
        return made


def _counted(images: Layout) -> Tensor:
    """``[k]`` long: the picture of each token, counted through ``images``; -1 for separators."""
    crops, before = [], 0
    for image in images:
        crops.append(torch.where(image.crop < 0, -1, image.crop + before))
        before += image.count
    return torch.cat(crops)


def project(projector: Any, features: Tensor) -> Tensor:
    """``[…, D]`` what ``projector`` makes of features in the model's dtype."""
    # Not by calling it: hooks on it, such as a clock's, are for the model's own features.
    projected: Tensor = projector.forward(beside_weights(projector, features))
    return projected


def settled(layouts: Sequence[Layout], projected: Tensor, features: Tensor) -> Layout:
    """Of several layouts, the one in which the tokens' patches became the tokens' features.

    Args:
        layouts: of the same number of tokens and pictures.
        projected: ``[pictures, patches, D]`` what the projector makes of all that was handed on.
        features: ``[k, D]`` what the model made, of all tokens.
    """

    def off(layout: Layout) -> float:
        """How far the features are from those that the tokens would have."""
        crop = _counted(layout).to(projected.device)
        patch = torch.cat([image.patch for image in layout]).to(projected.device)
        own = (crop >= 0).nonzero()[:, 0]
        made = projected[crop[own], patch[own]].float()
        return float((made - features.to(projected.device)[own].float()).abs().sum())

    return min(layouts, key=off)
