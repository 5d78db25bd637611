"""What an answer costs at least: arithmetic and memory traffic of the decoder, from its shapes.

FLOPs are counted as ``torch.utils.flop_counter`` counts them: two per multiply-add of every
matrix product, attention over all pairs of columns. A causal kernel may skip the upper half of
those pairs, so a measured prefill can beat the count's attention part, never its linear part.
Norms, rotary tables, activations and the scoring itself are left out: they are no matrix
products. Bytes are weights read once and keys and values moved once; activations are left out,
so a floor made from them is one that nothing can go below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from v2drop_cli.records import Limit

_PER_MULTIPLY_ADD = 2
_TRANSFERS_PER_CLOCK = 2  # double data rate
_BITS_PER_BYTE = 8
_HZ_PER_KHZ = 1000


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of a decoder.

    Attributes:
        layer_products: per layer, the weights of its linear maps: multiply-adds of one token.
        head_products: the same of the language head.
        weight_bytes: parameters of all layers and the language head.
        heads: attention heads.
        kv_heads: heads of keys and values.
        head_dim: size of one head.
        kv_item_bytes: bytes of one number in the KV cache.
    """

    layer_products: tuple[int, ...]
    head_products: int
    weight_bytes: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_item_bytes: int

    def flops(self, queries: Sequence[int], columns: Sequence[int], rows: int) -> int:
        """FLOPs of one forward; the language head runs on one token a row.

        Args:
            queries: per layer, tokens it processes.
            columns: per layer, columns they attend to, themselves included.
            rows: batch size.
        """
        linear = sum(p * q for p, q in zip(self.layer_products, queries, strict=True))
        pairs = sum(q * c for q, c in zip(queries, columns, strict=True))
        attention = 2 * self.heads * self.head_dim * pairs  # scores, then values
        return _PER_MULTIPLY_ADD * rows * (linear + attention + self.head_products)

    def kv_bytes(self, columns: Sequence[int], rows: int) -> int:
        """Keys and values of ``columns`` per layer."""
        return 2 * rows * self.kv_heads * self.head_dim * self.kv_item_bytes * sum(columns)


def decoder_shape(layers: Sequence[Any], head: Any, config: Any) -> DecoderShape:
    """Read the sizes off a loaded decoder.

    Args:
        layers: its blocks.
        head: the language head.
        config: the text config of transformers.
    """
    heads = int(config.num_attention_heads)
    parameters = {p.data_ptr(): p for part in (*layers, head) for p in part.parameters()}
    return DecoderShape(
        layer_products=tuple(_linear_weights(layer) for layer in layers),
        head_products=_linear_weights(head),
        weight_bytes=sum(p.numel() * p.element_size() for p in parameters.values()),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        kv_item_bytes=head.weight.element_size(),
    )


def limit(shape: DecoderShape, columns: Sequence[int], rows: int, bandwidth: float | None) -> Limit:
    """The cost of a prefill and of the first token after it.

    Args:
        shape: the decoder's.
        columns: per layer, prompt columns of one row that it processes.
        rows: batch size.
        bandwidth: of the device's memory in bytes a second, or ``None`` if unknown.
    """
    held, one = [c + 1 for c in columns], [1] * len(columns)
    decode_bytes = shape.weight_bytes + shape.kv_bytes(held, rows)
    return Limit(
        prefill_flops=shape.flops(columns, columns, rows),
        prefill_bytes=shape.weight_bytes + shape.kv_bytes(columns, rows),
        decode_flops_per_token=shape.flops(one, held, rows),
        decode_bytes_per_token=decode_bytes,
        decode_floor_s_per_token=decode_bytes / bandwidth if bandwidth else None,
    )


def memory_bandwidth(device: torch.device) -> float | None:
    """Peak bytes a second of a CUDA device's memory, from its clock and bus; else ``None``."""
    if device.type != "cuda":
        return None
    properties: Any = torch.cuda.get_device_properties(device)
    clock = getattr(properties, "memory_clock_rate", None)  # older torch does not tell
    width = getattr(properties, "memory_bus_width", None)
    if not clock or not width:
        return None
    return float(_TRANSFERS_PER_CLOCK * clock * _HZ_PER_KHZ * width / _BITS_PER_BYTE)


def _linear_weights(part: Any) -> int:
    maps = (module for module in part.modules() if isinstance(module, torch.nn.Linear))
    return sum(module.weight.numel() for module in maps)
