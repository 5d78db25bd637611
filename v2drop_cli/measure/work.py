"""What an answer costs at least: arithmetic and memory traffic of the decoder, from its shapes.

FLOPs are counted as ``torch.utils.flop_counter`` counts them: two per multiply-add of every
matrix product, attention over all pairs of columns. A causal kernel may skip the upper half of
those pairs, so a measured prefill can beat the count's attention part, never its linear part.
Norms, rotary tables, activations and the scoring itself are left out: they are no matrix
products. Bytes are weights read once and keys and values moved once; activations are left out,
so a floor made from them is one that nothing can go below. Of a mixture of experts only those
that one token takes are counted: in FLOPs that is exact, in bytes the least there can be.
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

COUNTED = frozenset({
    "apertus", "arcee", "aria", "beam", "bitnet", "cohere", "cohere2", "cohere2_moe", "cwm",
    "deepseek_ocr2", "dots1", "ernie4_5", "exaone4", "exaone_moe", "flex_olmo", "flint", "gemma",
    "gemma2", "gemma3", "glm", "glm4", "glm4_moe", "glm4v", "glm4v_moe", "glm_ocr", "granite",
    "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared", "helium",
    "hunyuan_v1_dense", "hunyuan_vl", "hy_v3", "hyperclovax", "internlm3", "iquestcoder", "jais2",
    "kolibri1", "laguna", "llama", "mellum", "minimax_m2", "ministral", "ministral3", "mistral",
    "mixtral", "nanochat", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "paddleocr_vl", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_5_vl", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_moe",
    "qwen3_vl", "qwen3_vl_moe", "seed_oss", "smollm3", "solar_open", "stablelm", "starcoder2",
    "vaultgemma",
})  # fmt: skip
"""Models of transformers whose decoder layers do what the formula says: tests hold each against
torch's counter. Shapes alone do not tell: DiffLlama has the projections of Llama, and multiplies
its attention with twice the values."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of a decoder.

    Attributes:
        layer_products: per layer, the weights of its linear maps: multiply-adds of one token.
        head_products: the same of the language head.
        weight_bytes: parameters of all layers and the language head; of experts, those of one
            token.
        heads: attention heads.
        kv_heads: heads of keys and values.
        head_dim: size of one head.
        kv_item_bytes: bytes of one number in the KV cache.
        head_tokens: tokens of a prompt's row that the language head runs on.
    """

    layer_products: tuple[int, ...]
    head_products: int
    weight_bytes: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_item_bytes: int
    head_tokens: int = 1

    def flops(
        self, queries: Sequence[int], columns: Sequence[int], rows: int, head_tokens: int = 1
    ) -> int:
        """FLOPs of one forward.

        Args:
            queries: per layer, tokens it processes.
            columns: per layer, columns they attend to, themselves included.
            rows: batch size.
            head_tokens: of a row, that the language head runs on.
        """
        linear = sum(p * q for p, q in zip(self.layer_products, queries, strict=True))
        pairs = sum(q * c for q, c in zip(queries, columns, strict=True))
        attention = 2 * self.heads * self.head_dim * pairs  # scores, then values
        return _PER_MULTIPLY_ADD * rows * (linear + attention + head_tokens * self.head_products)

    def kv_bytes(self, columns: Sequence[int], rows: int) -> int:
        """Keys and values of ``columns`` per layer."""
        return 2 * rows * self.kv_heads * self.head_dim * self.kv_item_bytes * sum(columns)


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
        prefill_flops=shape.flops(columns, columns, rows, shape.head_tokens),
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


def decoder_shape(layers: Sequence[Any], head: Any, config: Any) -> DecoderShape | None:
    """Read the sizes off a loaded decoder; ``None`` for one that is built some other way.

    Known are the layers of the models in :data:`COUNTED`: linear maps with softmax attention over
    equally wide keys and values, and mixtures of experts with a fixed number of experts a token.
    They must also be built like that: the projections' own shapes must say what ``config`` says,
    and nothing else may hold a matrix. A count that may be wrong is not given.

    Args:
        layers: its blocks.
        head: the language head.
        config: the text config of transformers.
    """
    if not all(_is_counted(layer) for layer in layers) or not isinstance(head, torch.nn.Linear):
        return None
    heads = int(config.num_attention_heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    widths = heads * head_dim, kv_heads * head_dim
    products = [_products(layer) for layer in layers]
    known = [found for found in products if found is not None]
    if len(known) < len(products):
        return None
    if not all(_attends_with(layer, *widths) for layer in layers):
        return None
    parameters = {p.data_ptr(): p for part in (*layers, head) for p in part.parameters()}
    return DecoderShape(
        layer_products=tuple(found.active for found in known),
        head_products=head.weight.numel(),
        weight_bytes=sum(p.numel() * p.element_size() for p in parameters.values())
        - sum(found.idle_bytes for found in known),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        kv_item_bytes=head.weight.element_size(),
    )


def _is_counted(layer: Any) -> bool:
    """Whether its class is one of transformers whose work is known.

    The class says what runs; a configuration may name one model and be run by another's code.
    """
    outside, models, name = type(layer).__module__.partition("transformers.models.")
    return bool(models) and not outside and name.partition(".")[0] in COUNTED


@dataclass(frozen=True, slots=True)
class _Products:
    """Of one layer: weights that a token meets, and bytes of experts that it does not."""

    active: int
    idle_bytes: int = 0


def _products(layer: Any) -> _Products | None:
    """``None`` where a parameter takes part in a way that is not known here."""
    active = idle_bytes = 0
    routers = [module for module in layer.modules() if _is_router(module)]
    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.ModuleList) and name.endswith("experts"):
            return None  # which of them a token meets is not to be seen
        for parameter in module.parameters(recurse=False):
            if parameter.ndim < 2:
                continue  # norms and biases are no matrix products
            if isinstance(module, torch.nn.Linear) or module in routers:
                active += parameter.numel()
            elif parameter.ndim == 3 and len(routers) == 1:
                experts, taken = parameter.shape[0], routers[0].top_k
                if experts != routers[0].weight.shape[0]:
                    return None
                one = parameter.numel() // experts
                active += taken * one
                idle_bytes += (experts - taken) * one * parameter.element_size()
            else:
                return None
    return _Products(active, idle_bytes)


def _is_router(module: Any) -> bool:
    """One weight row per expert, and how many of them a token takes."""
    weight = getattr(module, "weight", None)
    return isinstance(getattr(module, "top_k", None), int) and getattr(weight, "ndim", 0) == 2


def _attends_with(layer: Any, queries: int, keys: int) -> bool:
    """Whether the layer has one attention, with projections of these widths."""
    found: dict[str, list[int]] = {}
    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.Linear):
            found.setdefault(name.rpartition(".")[2], []).append(module.out_features)
    if "qkv_proj" in found:
        return found["qkv_proj"] == [queries + 2 * keys]
    return [found.get(f"{part}_proj") for part in "qkv"] == [[queries], [keys], [keys]]
