"""How a timed generation decodes: launched from Python, or recorded once and replayed.

*Eager* is what transformers does: a cache that grows, every kernel launched by Python. At
batch 1 a GPU then mostly waits for the next launch, and a smaller KV cache cannot show.
*Compiled* takes the launches away and leaves the kernels: the eager steps run once while a CUDA
graph records them, over a cache that does not move, and every later generation replays the
graph. The recorded kernels are the eager ones at the eager shapes, step for step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UsageError
from v2drop_cli.generate.fixed_cache import FixedCache, states_of
from v2drop_cli.generate.greedy import (
    Start,
    decode,
    greedy,
    next_positions,
    prefill,
    ready,
)
from v2drop_cli.instrument.hooks import Before, Call, hooked
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.decoders import answer_window, indexed, windows
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.records import COMPILED, EAGER
from v2drop_cli.units import Seconds

SERVED_ATTENTION = ("sdpa",)
"""What ``compiled`` serves. The others read back or upload sizes and masks inside a step."""


class Generation(Protocol):
    """Generations of one arm on one prompt, all of the same length."""

    capture_s: Seconds | None

    def tokens(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Begin a generation; nothing runs before the first token is asked for."""
        ...

    def kv_bytes(self) -> int:
        """Bytes of the last generation's KV cache."""
        ...


class Graph(Protocol):
    """Work recorded once, then done again without Python."""

    def rehearse(self, work: Callable[[], object]) -> None:
        """Do ``work`` once, unrecorded: libraries set themselves up on first use."""
        ...

    def capture(self, work: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Record ``work``; its tensors hold results after each :meth:`replay`."""
        ...

    def replay(self) -> None:
        """Do it again, on what the same input tensors hold now. Never waits."""
        ...


@cache
def _side_stream(device: torch.device) -> Any:
    """Where everything is rehearsed and recorded.

    One for all: torch keeps a cuBLAS workspace for each stream for ever, and what grows with every
    arm would be taken for memory of that arm. Ending a graph frees it, so of the graphs
    recorded here none may be replayed once another one is gone: memory and energy passes, whose
    graphs end with them, come before the timed ones.
    """
    cuda: Any = torch.cuda
    return cuda.Stream(device)


class CudaGraph:
    """A CUDA graph of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graph: Any = torch.cuda.CUDAGraph()

    def rehearse(self, work: Callable[[], object]) -> None:
        """Do ``work`` on a side stream, as recording will."""
        cuda: Any = torch.cuda
        side, main = _side_stream(self._device), cuda.current_stream(self._device)
        side.wait_stream(main)
        with cuda.stream(side):
            work()
        main.wait_stream(side)

    def capture(self, work: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Record ``work``.

        Raises:
            InstrumentError: something in it cannot be recorded.
        """
        cuda: Any = torch.cuda
        main, side = cuda.current_stream(self._device), _side_stream(self._device)
        try:
            with cuda.device(self._device), cuda.graph(self._graph, stream=side):
                return work()
        except RuntimeError as error:
            cuda.set_stream(main)  # which torch forgets when ending the recording fails too
            # Ending a capture that failed raises in its turn; what went wrong came before.
            cause = error.__context__ or error
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            told = (str(cause).splitlines() or [type(cause).__name__])[0]
            raise InstrumentError(
                f"this model's decoding cannot be recorded: {told}",
                hint="--decode eager",
            ) from error

    def replay(self) -> None:
        """Launch the whole graph."""
        self._graph.replay()


class Eager:
    """One launch after the other, a new dynamic cache for every generation."""

    capture_s: Seconds | None = None

    def __init__(self, loaded: LoadedModel, inputs: Inputs, n_tokens: int) -> None:
        self._loaded, self._n_tokens = loaded, n_tokens
        self._positions = _next_positions(loaded, inputs).to(loaded.device)
        self._cache: Any = None

    def tokens(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """As :func:`v2drop_cli.generate.greedy`."""
        self._cache = new_cache(self._loaded)
        return greedy(self._loaded.model, tensors, self._cache, self._n_tokens, self._positions)

    def kv_bytes(self) -> int:
        """Bytes of prompt and tokens."""
        return cache_bytes(self._cache)


class Compiled:
    """All steps after the prefill in one graph, recorded here.

    Args:
        loaded: the model.
        inputs: the prompt; later ones must have the same tokens.
        n_tokens: of each generation, the prefill's included.
        graph: what records.
        applied: makes the context in which the arm runs, for the recording; :meth:`tokens` is
            to be called in another one like it.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        inputs: Inputs,
        n_tokens: int,
        graph: Graph,
        applied: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._model, self._graph = loaded.model, graph
        self._layers = loaded.family.layers(loaded.model)
        self._cache = FixedCache(loaded.model.config, n_tokens - 1)
        self._positions = _next_positions(loaded, inputs).to(loaded.device)
        began = time.perf_counter()
        tensors = ready(loaded, inputs)
        with applied():
            # Kept: the graph will read them where they lie.
            self._masks = self._rehearse(tensors, n_tokens - 1)
        self._steps = self._capture(n_tokens - 1)
        self.capture_s: Seconds | None = time.perf_counter() - began

    def _rehearse(self, tensors: Mapping[str, Tensor], steps: int) -> list[Any]:
        """Generate once, then prefill again; return every layer's mask at every step."""
        masks: list[Any] = []

        def noted(mask: Any) -> Any:
            masks.append(mask)
            return mask

        self._start = self._prefill(tensors)
        self._lengths = self._cache.lengths
        with hooked(*self._masks_pass_through(noted)):
            self._graph.rehearse(lambda: self._decode(steps))
        self._cache.rewind()
        self._prefill(tensors)
        return masks

    def _capture(self, steps: int) -> list[Tensor]:
        """Record the steps, outside of the arm's context: of dropping they need the masks only.

        Each layer gets the very mask that it got before. Left alone, transformers would make
        masks while it is recorded that it leaves out otherwise, and other kernels would run.
        """
        if not steps:
            return []
        rehearsed = iter(self._masks)
        with hooked(*self._masks_pass_through(lambda mask: next(rehearsed))):
            return self._graph.capture(lambda: self._decode(steps))

    def _masks_pass_through(self, change: Callable[[Any], Any]) -> Iterator[Before]:
        """Hooks that hand every layer what ``change`` makes of its mask."""

        def hook(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
            return args, {**kwargs, "attention_mask": change(kwargs.get("attention_mask"))}

        return (Before(layer, hook) for layer in self._layers)

    def _prefill(self, tensors: Mapping[str, Tensor]) -> Start:
        return prefill(self._model, tensors, self._cache, self._positions)

    def _decode(self, steps: int) -> list[Tensor]:
        return list(decode(self._model, self._start, self._cache, steps))

    def tokens(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Prefill as ever, then one replay; its tokens hold until the next one.

        Raises:
            InstrumentError: another number of tokens survived than when it was recorded.
        """
        self._cache.rewind()
        return self._replayed(tensors)

    def _replayed(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        token = self._prefill(tensors).token
        yield token
        if not self._steps:
            return
        self._start.token.copy_(token)
        self._graph.replay()
        if self._cache.lengths != self._lengths:  # looked at while the device works
            raise InstrumentError("this prompt has other lengths than the recorded one")
        yield from self._steps

    def kv_bytes(self) -> int:
        """Bytes of the fixed cache: prompt and tokens, from the start."""
        return self._cache.nbytes


def check_decoding(loaded: LoadedModel, decode: str) -> None:
    """Raise for a way of decoding that this device or attention does not have.

    Raises:
        UsageError: ``compiled`` without a GPU, or with an attention that cannot be recorded.
    """
    if decode != COMPILED:
        return
    if loaded.device.type != "cuda":
        raise UsageError(
            f"--decode compiled records CUDA graphs, which {loaded.device} does not have",
            hint=f"--decode {EAGER}, or --device cuda",
        )
    if windows(loaded.model.config) or answer_window(loaded.model.config):
        raise UsageError(
            "--decode compiled has no cache for sliding windows", hint=f"--decode {EAGER}"
        )
    if indexed(loaded.model.config.get_text_config()):
        raise UsageError(
            "--decode compiled has no cache for the keys of an index", hint=f"--decode {EAGER}"
        )
    if loaded.attn_implementation not in SERVED_ATTENTION:
        raise UsageError(
            f"--decode compiled does not serve {loaded.attn_implementation} attention",
            hint=f"--attn-implementation {' or '.join(SERVED_ATTENTION)}",
        )


def new_graph(device: torch.device) -> Graph:
    """What records on ``device``."""
    return CudaGraph(device)


def _next_positions(loaded: LoadedModel, inputs: Inputs) -> Tensor:
    return next_positions(loaded.model, inputs.tensors, loaded.family.first_position)


def new_cache(loaded: LoadedModel) -> Any:
    """An empty KV cache for ``loaded``."""
    from transformers import DynamicCache

    return DynamicCache(config=loaded.model.config)


def cache_bytes(cache: Any) -> int:
    """Bytes that the layers of a KV cache hold: keys, values, an index's keys, running states."""
    held = [t for layer in cache.layers for t in (*_columns(layer), *states_of(layer))]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


# Of an index, its keys; of a layer whose window is on the answer alone, those of the prompt.
_COLUMNS = ("keys", "values", "indexer_keys", "prefill_keys", "prefill_values")


def _columns(layer: Any) -> list[Tensor]:
    kept = (getattr(layer, name, None) for name in _COLUMNS)
    return [tensor for tensor in kept if tensor is not None]
