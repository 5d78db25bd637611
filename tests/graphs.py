"""A CUDA graph without CUDA: the operations of the recorded work, done again on the same memory.

As on a GPU, replaying runs no Python of the model and knows no new tensors: whatever the
recorded steps read from outside must still be alive and lie where it lay. What could not be
recorded there, reading numbers back or uploading them, is refused.
"""

from __future__ import annotations

from unittest import mock

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
HOST_READS = {
    aten._local_scalar_dense.default,  # item, bool, int, tolist
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
}
ASKED = "transformers.utils.import_utils.is_cuda_stream_capturing"
UPLOADS = {aten.lift_fresh.default}  # torch.tensor(number)


class HostMethods(TorchFunctionMode):
    """Methods that hand numbers to the host without an operation that a dispatch mode sees."""

    NAMES = frozenset({"tolist", "cpu", "numpy", "__array__", "item"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", None) in self.NAMES:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Place:
    """Where a tensor lies. Memory from outside of the recording is not kept alive."""

    def __init__(self, tensor, own) -> None:
        self.storage = tensor.untyped_storage()
        if self.storage._cdata not in own:
            self.storage, self.outside = None, StorageWeakRef(self.storage)
        self.shape = (tensor.storage_offset(), tensor.shape, tensor.stride())
        self.dtype = tensor.dtype

    def tensor(self):
        storage = self.storage
        if storage is None:
            assert not self.outside.expired(), "the recorded steps read memory that was freed"
            storage = torch.UntypedStorage._new_with_weak_ptr(self.outside.cdata)
        return torch.empty(0, dtype=self.dtype).set_(storage, *self.shape)


class Tape(TorchDispatchMode):
    """Stands in for :class:`v2drop_cli.generate.decoding.CudaGraph`; logs what is asked of it."""

    def __init__(self, *, uploads: bool = False) -> None:
        super().__init__()
        self.refused = HOST_READS if uploads else HOST_READS | UPLOADS
        self.ops, self.places, self.log = [], [], []
        self.own, self.seen = {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in self.refused, f"{func} cannot be recorded"
        if func is aten.index.Tensor:
            assert all(i is None or i.dtype != torch.bool for i in args[1]), "a host read"
        kwargs = kwargs or {}
        for tensor in tensors_in((args, kwargs)):
            self.seen[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        out = func(*args, **kwargs)
        for tensor in tensors_in(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.seen or func in UPLOADS:
                self.own[storage._cdata] = self.seen[storage._cdata] = storage
        self.ops.append((func, args, kwargs, out))
        return out

    def rehearse(self, work):
        self.log.append("rehearse")
        work()

    def capture(self, work):
        self.log.append("capture")
        # transformers asks, and makes other masks while it is so.
        with mock.patch(ASKED, return_value=True):
            assert not self.ops
            with self, HostMethods() as methods:
                results = work()
        assert methods.found == [], "cannot be recorded"
        # Views share memory, so there is nothing to do again for them.
        kept = [op for op in self.ops if not op[0].is_view]
        self.places = tree_map_only(torch.Tensor, lambda t: Place(t, self.own), kept)
        self.ops.clear()
        self.seen.clear()
        return results

    @torch.no_grad()
    def replay(self):
        self.log.append("replay")
        for op in self.places:
            func, args, kwargs, out = tree_map_only(Place, Place.tensor, op)
            again = func(*args, **kwargs)
            for old, new in zip(tensors_in(out), tensors_in(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def tensors_in(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
