"""How a decoder calls its layers: what is known of it, and refusing what is not.

Every served decoder calls ``layer(hidden, attention_mask=…, position_embeddings=…,
position_ids=…, cache=…)``. A layer after a drop is given new values for just these. A release of
transformers that hands layers anything else along the sequence would be served wrongly, so it is
refused at the first drop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.models.arguments import CACHE, cache_name, parameters_of
from v2drop_cli.models.decoders import (
    answer_window,
    chunked,
    key_sources,
    layer_kinds,
    no_columns,
    own_masks,
    scaled_from,
    states_first,
    takes_choices,
    whole_tables,
    windows,
    without_rotary,
)
from v2drop_cli.tensors import gather_rows

# What is made anew for a shortened layer, and what is gathered: inputs of the layer's own for each
# token. Other arguments are handed on as they are.
_REMADE = frozenset({"attention_mask", "conv_mask", "position_embeddings", "position_ids"})
# What the layer before chose to attend to, where the next one has no index of its own.
_CHOICE = "prev_topk_indices"
_GATHERED = ("per_layer_input", "ple_input_ids")
_COS_AND_SIN = 2
# Rotary tables: cosines and sines, or one table of complex numbers.
Tables = tuple[Tensor, ...]
_HINT = "v2drop doctor says which transformers are tested; install one of them"


@dataclass(frozen=True, slots=True)
class LayerCall:
    """The call of one decoder's layers.

    Attributes:
        config: the decoder's; its attention implementation decides the form of masks.
        cache_name: what its layers call the KV cache.
        named: the parameters that the layers name in their forward.
        scaled_from: the first position at which its layers scale queries by ``position_ids``;
            ``None`` where they do not read them.
        windows: per layer, the size of its sliding window, ``None`` without; empty if none has one.
        chunked: whether these are chunks.
        answer_window: the size of a window on the answer alone; ``None`` without.
        kinds: per layer, its kind; empty if all are of one.
        cuts_blocks: whether a window cuts blocks that attend in both directions.
        order: those parameters in the order in which they may be handed by position.
        without_rotary: whether some layers are handed no rotary tables.
        no_columns: the layers that keep no keys of their tokens: they fold them into a running
            state, or look at one token at a time.
        sources: the layers that attend to keys of an earlier one, and of which.
        padding_name: what the mask of padding is called that these are handed.
        whole_tables: whether layers are handed the rotary tables of all columns, not of this
            forward's alone.
        takes_choices: the layers that attend to what an earlier one chose.
        states_first: whether layers hand on several states of each token, and these come first.
        own_masks: whether layers make masks of their own, and are told of padding alone.
        filler_id: the token id that begins a sequence of ids.
    """

    config: Any
    cache_name: str = CACHE
    named: frozenset[str] = frozenset()
    scaled_from: int | None = None
    windows: tuple[int | None, ...] = ()
    chunked: bool = False
    answer_window: int | None = None
    kinds: tuple[str, ...] = ()
    cuts_blocks: bool = True
    order: tuple[str, ...] = ()
    without_rotary: bool = False
    no_columns: frozenset[int] = frozenset()
    sources: Mapping[int, int] = field(default_factory=dict)
    padding_name: str = "attention_mask"
    whole_tables: bool = False
    takes_choices: frozenset[int] = frozenset()
    states_first: bool = False
    own_masks: bool = False
    filler_id: int = 0

    @classmethod
    def of(cls, config: Any, layers: Sequence[nn.Module], *, cuts_blocks: bool = True) -> LayerCall:
        """What the classes of ``layers`` say of themselves, and the configuration.

        Raises:
            InstrumentError: they take no KV cache under a known name.
        """
        names = {cache_name(layer) for layer in layers}
        assert len(names) == 1, names
        named = frozenset.union(*(parameters_of(type(layer).forward) for layer in layers))
        return cls(
            config.get_text_config(),
            names.pop(),
            named,
            scaled_from=scaled_from(config),
            windows=windows(config),
            chunked=chunked(config),
            answer_window=answer_window(config),
            kinds=layer_kinds(config),
            cuts_blocks=cuts_blocks,
            without_rotary=without_rotary(config),
            no_columns=no_columns(config.get_text_config()),
            sources=key_sources(config),
            order=tuple(signature(type(layers[0]).forward).parameters)[1:],
            padding_name="conv_mask" if "conv_mask" in named else "attention_mask",
            whole_tables=whole_tables(config.get_text_config()),
            states_first=states_first(config.get_text_config()),
            own_masks=own_masks(config.get_text_config()),
            takes_choices=takes_choices(config.get_text_config()),
            filler_id=_begins(config.get_text_config()),
        )

    @property
    def counts_places(self) -> bool:
        """Whether some layers must know where their columns are in the sequence, windows or not."""
        return self.whole_tables or bool(self.takes_choices)

    def window(self, layer: int) -> int | None:
        """How many columns of the whole sequence ``layer`` has in view; ``None``: all."""
        return self.windows[layer] if self.windows else None

    def kind(self, layer: int) -> str | None:
        """What tells ``layer`` from those that are handed other masks or rotary tables."""
        return self.kinds[layer] if self.kinds else None

    @property
    def fills_left(self) -> bool:
        """Whether rows with fewer survivors are filled up on the left.

        So they are where layers fold tokens into a state, and where the decoder goes on with the
        last column alone, which must be a row's last token.
        """
        return bool(self.no_columns or self.sources)

    def turns(self, kwargs: Mapping[str, Any]) -> bool:
        """Whether the layer that was handed ``kwargs`` turns queries and keys by rotary tables."""
        return kwargs.get("position_embeddings") is not None or not self.without_rotary

    def cache(self, kwargs: Mapping[str, Any]) -> Any:
        """The KV cache that a layer was handed, or ``None``."""
        return kwargs.get(self.cache_name)

    def by_name(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """The hidden states that a layer was handed, and all else by name.

        Raises:
            InstrumentError: something is handed by position that is not known.
        """
        more = dict(zip(self.order[1:], args[1:], strict=False))
        known = len(args) <= len(self.order) and set(more) <= _REMADE | set(_GATHERED)
        return only_hidden(args[:1] if known else args), {**kwargs, **more}

    def gathered(self, forward: Forward, kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the decoder hands a layer for each token, of the tokens that are left."""
        if forward.columns is None:
            return {}
        index, valid, found = forward.columns.index, forward.columns.valid, {}
        for name in _GATHERED:
            handed = kwargs.get(name)
            if handed is None:
                continue
            wide = handed if handed.dim() > index.dim() else handed[..., None]
            rows = gather_rows(wide, index.to(handed.device)).view(*index.shape, *handed.shape[2:])
            if not rows.is_floating_point() and valid is not None:
                # Token ids are looked at together, those of a filler among them.
                rows = torch.where(valid.to(rows.device), rows, self.filler_id)
            found[name] = rows
        return found

    def choice(self, layer: int, kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
        """What ``layer`` is handed of an earlier one's choice, by name; empty if it takes none."""
        handed = kwargs.get(_CHOICE) if layer in self.takes_choices else None
        return {} if handed is None else {_CHOICE: handed}

    def refuse_no_columns(self, layer: int, need: str) -> None:
        """Raise for a signal of an attention that ``layer`` does not have.

        Args:
            layer: the layer whose ``need`` was asked for.
            need: the signal, as in :mod:`v2drop_cli.methods.base`.

        Raises:
            UnsupportedModelError: it keeps no columns.
        """
        if layer in self.no_columns:
            raise UnsupportedModelError(
                f"layer {layer} of this decoder has no {need}: it keeps no keys of its tokens",
                hint="drop at another layer, or take a method that looks at no attention and no "
                "keys, such as v2drop",
            )

    @property
    def _shares_none(self) -> bool:
        return getattr(self.config, "num_kv_shared_layers", None) == 0

    def check(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse a call with arguments along the sequence that nobody would shorten.

        Raises:
            InstrumentError: the call is not the one that this package was tested with.
        """
        if self.cache_name not in kwargs:
            raise InstrumentError(f"this decoder hands its layers no {self.cache_name}", hint=_HINT)
        for name, value in kwargs.items():
            along = name in self.named - _REMADE - {self.cache_name, *_GATHERED, _CHOICE}
            # Gemma 4 leaves keys for later layers also where the configuration has none that share.
            unread = isinstance(value, Mapping) and self._shares_none
            if along and _holds_a_sequence(value) and not unread:
                raise InstrumentError(
                    f"this decoder hands its layers {name}, and dropping does not know how to "
                    "shorten it",
                    hint=_HINT,
                )


def _holds_a_sequence(value: Any) -> bool:
    """Whether ``value`` may go along the sequence: a tensor, or a mapping that has some in it."""
    return (
        bool(value.dim())
        if isinstance(value, Tensor)
        else isinstance(value, Mapping) and bool(value)
    )


def _begins(text: Any) -> int:
    """The end of what came before, as transformers takes it for the start of a row of ids."""
    end = getattr(text, "eos_token_id", None)
    end = end[0] if isinstance(end, list) and end else end
    return end if isinstance(end, int) else 0


def only_hidden(args: tuple[Any, ...]) -> Tensor:
    """The hidden states, the one thing that a layer is handed by position.

    Raises:
        InstrumentError: it was handed none, or more.
    """
    if len(args) != 1:
        raise InstrumentError(
            f"this decoder hands its layers {len(args)} arguments by position, not hidden states "
            "alone",
            hint=_HINT,
        )
    hidden: Tensor = args[0]
    return hidden


def rotary_tables(kwargs: Mapping[str, Any]) -> Tables:
    """The rotary tables that a layer was handed: :func:`as_tables`.

    Raises:
        InstrumentError: it was handed none, or something else.
    """
    handed = kwargs.get("position_embeddings")
    tables = as_tables(handed)
    if tables is not None:
        return tables
    found = "no rotary tables" if handed is None else "rotary tables in a form that is not known"
    raise InstrumentError(f"this decoder's layers are handed {found}", hint=_HINT)


def as_tables(handed: Any) -> Tables | None:
    """Cosines and sines, or one table of complex numbers alone, as DeepSeek-V2 and Llama 4 have it.

    ``None`` for any other form.
    """
    if isinstance(handed, tuple) and len(handed) == _COS_AND_SIN:
        return handed
    return (handed,) if isinstance(handed, Tensor) and handed.is_complex() else None


def as_handed(tables: Tables) -> Any:
    """``tables`` in the form in which a layer takes them: undoes :func:`as_tables`."""
    return tables if len(tables) == _COS_AND_SIN else tables[0]
