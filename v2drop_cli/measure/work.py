"""What an answer costs at least: arithmetic and memory traffic of the decoder, from its shapes.

FLOPs are counted as ``torch.utils.flop_counter`` counts them: two per multiply-add of every
matrix product, attention over all pairs of columns. A causal kernel may skip the upper half of
those pairs, so a measured prefill can beat the count's attention part, never its linear part.
Norms, rotary tables, activations and the scoring itself are left out: they are no matrix
products. Bytes are weights read once and keys and values moved once; activations are left out,
so a floor made from them is one that nothing can go below. Of a mixture of experts only those
that one token takes are counted: in FLOPs that is exact, in bytes the least there can be.
Layers that fold tokens into a state keep no columns: see :mod:`~v2drop_cli.measure.states`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from v2drop_cli.measure.counted import COUNTED
from v2drop_cli.measure.group_index import GroupIndex, group_indexes
from v2drop_cli.measure.latents import Latents, latents
from v2drop_cli.measure.layer_sizes import layer_heads, layer_sizes, stream_products
from v2drop_cli.measure.odd_weights import odd_products, rows_read
from v2drop_cli.measure.states import FoldedState, folded_state
from v2drop_cli.models.decoders import windows
from v2drop_cli.records import Limit
from v2drop_cli.tensors import address

_PER_MULTIPLY_ADD = 2
_TRANSFERS_PER_CLOCK = 2  # double data rate
_BITS_PER_BYTE = 8
_HZ_PER_KHZ = 1000

# Models whose prompts go through the layers that share keys by their last token alone.
_LAST_ALONE = frozenset({"gemma4", "gemma4_unified"})
# Models whose code runs every expert on every token, scaled by what the router says of it.
_ALL_EXPERTS = frozenset({"llama4"})


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
        latents: per layer, where the cache holds compressed keys and values, ``None`` for one that
            folds tokens; else empty.
        windows: per layer, the size of its sliding window, ``None`` without; empty if none has one.
        layers: per layer, its own :attr:`kv_heads` and :attr:`head_dim`; empty where all are alike.
        heads_of: per layer, its own :attr:`heads`; empty where all have as many.
        last_alone: per layer, whether a prompt's last token alone runs through it; empty where all
            tokens run through all layers.
        states: per layer, what it folds tokens into; ``None`` for one that attends. Empty where
            all do.
        indexes: per layer, what scores groups of its columns, ``None`` without. Empty where no
            layer has such an index.
    """

    layer_products: tuple[int, ...]
    head_products: int
    weight_bytes: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_item_bytes: int
    latents: tuple[Latents | None, ...] = ()
    windows: tuple[int | None, ...] = ()
    layers: tuple[tuple[int, int], ...] = ()
    states: tuple[FoldedState | None, ...] = ()
    heads_of: tuple[int, ...] = ()
    last_alone: tuple[bool, ...] = ()
    indexes: tuple[GroupIndex | None, ...] = ()

    def asked(self, columns: Sequence[int]) -> list[int]:
        """Of a prompt's ``columns`` per layer, those that are processed for its last logits."""
        alone = self.last_alone or (False,) * len(columns)
        return [1 if only else count for only, count in zip(alone, columns, strict=True)]

    def held(self, columns: Sequence[int]) -> list[int]:
        """Of ``columns`` per layer, those that the next token may look back to."""
        if not self.windows:
            return list(columns)
        pairs = zip(columns, self.windows, strict=True)
        return [count if size is None else min(count, size - 1) for count, size in pairs]

    def flops(
        self, queries: Sequence[int], columns: Sequence[int], rows: int, answers: int = 1
    ) -> int:
        """FLOPs of one forward.

        Args:
            queries: per layer, tokens it processes.
            columns: per layer, columns they attend to, themselves included.
            rows: batch size.
            answers: tokens of a row that the language head runs on.
        """
        linear = sum(p * q for p, q in zip(self.layer_products, queries, strict=True))
        if self.states:
            folds = zip(self.states, queries, strict=True)
            linear += sum(state.products * q for state, q in folds if state is not None)
        pairs = [q * c for q, c in zip(queries, columns, strict=True)]
        widths = [2 * size for _, size in self._sizes(columns)]  # scores, then values
        asked = zip(self.indexes, queries, columns, strict=False)
        choosing = sum(one.scoring(q, c) for one, q, c in asked if one is not None)
        if self.latents:
            widths = [0 if one is None else one.keys + one.values for one in self.latents]
            expanded = zip(self.latents, columns, pairs, strict=True)
            for one, c, n in expanded:
                linear += 0 if one is None else one.expanding * c
                choosing += 0 if one is None else one.choosing * n
        heads = self.heads_of or (self.heads,) * len(columns)
        attention = sum(h * w * n for h, w, n in zip(heads, widths, pairs, strict=True)) + choosing
        return _PER_MULTIPLY_ADD * rows * (linear + attention + answers * self.head_products)

    def kv_bytes(self, columns: Sequence[int], rows: int) -> int:
        """Keys and values of ``columns`` per layer, and the states of layers that keep none."""
        numbers = [2 * heads * size for heads, size in self._sizes(columns)]
        if self.latents:
            numbers = [0 if one is None else one.held for one in self.latents]
        if self.indexes:
            pairs = zip(numbers, self.indexes, strict=True)
            numbers = [n if one is None else n + one.held for n, one in pairs]
        held = self.kv_item_bytes * sum(n * c for n, c in zip(numbers, columns, strict=True))
        return rows * (held + sum(state.nbytes for state in self.states if state is not None))

    def _sizes(self, columns: Sequence[int]) -> list[tuple[int, int]]:
        """Per layer, heads of keys and values, and the size of one; none where it folds tokens."""
        sizes = self.layers or ((self.kv_heads, self.head_dim),) * len(columns)
        states = self.states or (None,) * len(columns)
        pairs = zip(sizes, states, strict=True)
        return [size if state is None else (0, 0) for size, state in pairs]


def limit(
    shape: DecoderShape,
    columns: Sequence[int],
    rows: int,
    bandwidth: float | None,
    answers: int = 1,
) -> Limit:
    """The cost of a prefill and of the first token after it.

    Args:
        shape: the decoder's.
        columns: per layer, prompt columns of one row that it processes.
        rows: batch size.
        bandwidth: of the device's memory in bytes a second, or ``None`` if unknown.
        answers: tokens of a row that the language head runs on in a prefill: one, or all of them.
    """
    prompt, one = shape.held(columns), [1] * len(columns)
    held = [c + 1 for c in prompt]
    # A full window reads all that it holds, and writes the new column in place of the oldest.
    decode_bytes = shape.weight_bytes + shape.kv_bytes(held, rows)
    return Limit(
        prefill_flops=shape.flops(shape.asked(columns), columns, rows, answers),
        prefill_bytes=shape.weight_bytes + shape.kv_bytes(prompt, rows),
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
    heads_of = layer_heads(layers)
    heads = heads_of[0] if heads_of else int(config.num_attention_heads)
    states = [folded_state(layer) for layer in layers]
    attending = [layer for layer, state in zip(layers, states, strict=True) if state is None]
    compressed = latents(attending)
    sizes = () if compressed else layer_sizes(layers, heads)
    if compressed:  # whose layers may differ, and say so themselves
        kv_heads, head_dim = heads, compressed[0].keys
    else:
        kv_heads, head_dim = sizes[0] if sizes else _sizes_of(config, heads)
    products = [_products(layer) for layer in layers]
    known = [found for found in products if found is not None]
    if len(known) < len(products):
        return None
    asked = dict(zip(layers, heads_of or (heads,) * len(layers), strict=True))
    plain = all(_attends_with(x, asked[x] * head_dim, kv_heads * head_dim) for x in attending)
    if not compressed and not sizes and not plain:
        return None
    found = dict(zip(attending, compressed, strict=False))
    spread = tuple(found.get(layer) for layer in layers) if compressed else ()
    expanding = [0 if one is None else one.expanding for one in spread] or [0] * len(known)
    parameters = {address(p): p for part in (*layers, head) for p in part.parameters()}
    return DecoderShape(
        layer_products=tuple(f.active - e for f, e in zip(known, expanding, strict=True)),
        head_products=head.weight.numel(),
        weight_bytes=sum(p.numel() * p.element_size() for p in parameters.values())
        - sum(found.idle_bytes for found in known),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        kv_item_bytes=head.weight.element_size(),
        latents=spread,
        windows=windows(config),
        layers=sizes,
        states=tuple(states) if any(states) else (),
        heads_of=heads_of,
        last_alone=_last_alone(layers, config),
        indexes=group_indexes(layers),
    )


def _last_alone(layers: Sequence[Any], config: Any) -> tuple[bool, ...]:
    """Gemma 4's layers that share keys; flash and flex kernels are given whole prompts there."""
    whole = str(config._attn_implementation).startswith(("flash", "flex"))
    shares = [getattr(getattr(x, "self_attn", None), "is_kv_shared_layer", False) for x in layers]
    narrow = not whole and any(shares) and all(_folder(layer) in _LAST_ALONE for layer in layers)
    return tuple(map(bool, shares)) if narrow else ()


def _sizes_of(config: Any, heads: int) -> tuple[int, int]:
    """Heads of keys and values, and the size of one; not asked of layers that differ."""
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    return kv_heads, int(getattr(config, "head_dim", None) or config.hidden_size // heads)


def _is_counted(layer: Any) -> bool:
    """Whether its class is one of transformers whose work is known.

    The class says what runs; a configuration may name one model and be run by another's code.
    """
    return _folder(layer) in COUNTED


def _folder(layer: Any) -> str:
    """The model of transformers whose code ``layer`` is; empty for somebody else's."""
    outside, _, name = type(layer).__module__.partition("transformers.models.")
    return "" if outside else name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class _Products:
    """Of one layer: weights that a token meets, and bytes of experts that it does not."""

    active: int
    idle_bytes: int = 0


def _products(layer: Any) -> _Products | None:
    """``None`` where a parameter takes part in a way that is not known here."""
    active, idle_bytes = stream_products(layer), 0
    routers = [module for module in layer.modules() if _is_router(module)]
    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.ModuleList) and name.endswith("experts"):
            return None  # which of them a token meets is not to be seen
        if isinstance(module, torch.nn.Conv1d):
            continue  # counted with the state
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2:
                continue  # norms and biases are no matrix products
            odd = odd_products(module, own, parameter)
            if odd is not None:
                active += odd
                continue
            read = rows_read(layer, name)
            if read is not None:
                idle_bytes += (len(parameter) - read) * parameter[0].nbytes
                continue
            if isinstance(module, torch.nn.Linear) or module in routers:
                active += parameter.numel()
            elif parameter.ndim == 3 and len(routers) == 1:
                experts, (known, taken) = parameter.shape[0], _routed(routers[0])
                if experts != known:
                    return None
                taken = experts if _folder(layer) in _ALL_EXPERTS else taken
                one = parameter.numel() // experts
                active += taken * one
                idle_bytes += (experts - taken) * one * parameter.element_size()
            else:
                return None
    return _Products(active, idle_bytes)


def _is_router(module: Any) -> bool:
    """One weight row per expert, and how many of them a token takes."""
    weight = getattr(module, "weight", None)
    plain = isinstance(getattr(module, "top_k", None), int) and getattr(weight, "ndim", 0) == 2
    return plain or hasattr(module, "per_expert_scale")


def _routed(router: Any) -> tuple[int, int]:
    """How many experts there are, and how many a token takes; Gemma 4's router asks its config."""
    if hasattr(router, "per_expert_scale"):
        return len(router.per_expert_scale), int(router.config.top_k_experts)
    return len(router.weight), int(router.top_k)


def _attends_with(layer: Any, queries: int, keys: int) -> bool:
    """Whether the layer has one attention, with projections of these widths."""
    found: dict[str, list[int]] = {}
    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.Linear):
            found.setdefault(name.rpartition(".")[2], []).append(module.out_features)
    for fused in {"qkv_proj", "query_key_value"} & found.keys():
        return found[fused] == [queries + 2 * keys]
    # Qwen3.5 makes a gate beside each query, by the same map.
    made = [found.get(f"{part}_proj") for part in "qkv"]
    return made in ([[queries], [keys], [keys]], [[2 * queries], [keys], [keys]])
