"""How a decoder calls its layers: what is known of it, and refusing what is not.

Every served decoder calls ``layer(hidden, attention_mask=…, position_embeddings=…,
position_ids=…, cache=…)``. A layer after a drop is given new values for just these. A release of
transformers that hands layers anything else along the sequence would be served wrongly, so it is
refused at the first drop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.models.arguments import CACHE, cache_name, parameters_of
from v2drop_cli.models.decoders import no_columns

# What is made anew for a shortened layer; other arguments are handed on as they are.
_REMADE = frozenset({"attention_mask", "position_embeddings", "position_ids"})
_COS_AND_SIN = 2
_HINT = "v2drop doctor says which transformers are tested; install one of them"


@dataclass(frozen=True, slots=True)
class LayerCall:
    """The call of one decoder's layers.

    Attributes:
        config: the decoder's; its attention implementation decides the form of masks.
        cache_name: what its layers call the KV cache.
        named: the parameters that the layers name in their forward.
        no_columns: the layers that keep no keys of their tokens: they fold them into a running
            state, or look at one token at a time.
    """

    config: Any
    cache_name: str = CACHE
    named: frozenset[str] = frozenset()
    no_columns: frozenset[int] = frozenset()

    @classmethod
    def of(cls, config: Any, layers: Sequence[nn.Module]) -> LayerCall:
        """What the classes of ``layers`` say of themselves.

        Raises:
            InstrumentError: they take no KV cache under a known name.
        """
        names = {cache_name(layer) for layer in layers}
        assert len(names) == 1, names
        named = frozenset.union(*(parameters_of(type(layer).forward) for layer in layers))
        text = config.get_text_config()
        return cls(text, names.pop(), named, no_columns(text))

    def cache(self, kwargs: Mapping[str, Any]) -> Any:
        """The KV cache that a layer was handed, or ``None``."""
        return kwargs.get(self.cache_name)

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
                f"layer {layer} of this decoder has no {need}: it keeps a running state instead",
                hint="drop at another layer, or take a method that looks at no attention and no "
                "keys, such as v2drop",
            )

    def check(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse a call with arguments along the sequence that nobody would shorten.

        Raises:
            InstrumentError: the call is not the one that this package was tested with.
        """
        if self.cache_name not in kwargs:
            raise InstrumentError(f"this decoder hands its layers no {self.cache_name}", hint=_HINT)
        for name, value in kwargs.items():
            along = name in self.named - _REMADE - {self.cache_name}
            if along and isinstance(value, Tensor) and value.dim():
                raise InstrumentError(
                    f"this decoder hands its layers {name}, and dropping does not know how to "
                    "shorten it",
                    hint=_HINT,
                )


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


def rotary_tables(kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The cosines and sines that a layer was handed.

    Raises:
        InstrumentError: it was handed none, or something else: DeepSeek-V2 and Llama 4 have one
            table of complex numbers.
    """
    tables = kwargs.get("position_embeddings")
    if isinstance(tables, tuple) and len(tables) == _COS_AND_SIN:
        return tables
    found = "no rotary tables" if tables is None else "rotary tables in a form that is not known"
    raise InstrumentError(f"this decoder's layers are handed {found}", hint=_HINT)
