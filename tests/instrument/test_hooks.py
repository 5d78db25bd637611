"""Hooks: on for the duration, off whatever happens, and on no module but their own."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.hooks import After, Before, hooked, is_hooked


class Double(nn.Module):
    def forward(self, x, *, plus=0):
        if plus is None:
            raise ValueError("asked to fail")
        return 2 * x + plus


def attached(module):
    return len(module._forward_pre_hooks) + len(module._forward_hooks)


def test_a_hook_before_may_change_the_call_or_leave_it():
    module, seen = Double(), []

    def change(args, kwargs):
        seen.append((args, kwargs))
        return (args[0] + 1,), {"plus": 10}

    with hooked(Before(module, change)):
        assert module(1, plus=5) == 14
    assert seen == [((1,), {"plus": 5})]
    with hooked(Before(module, lambda args, kwargs: None)):
        assert module(1, plus=5) == 7
    assert module(1) == 2


def test_a_hook_after_may_change_the_output_or_leave_it():
    module = Double()
    with hooked(After(module, lambda output: output + 100)):
        assert module(1) == 102
    with hooked(After(module, lambda output: None)):
        assert module(1) == 2


@pytest.mark.parametrize(("always", "calls"), [(True, [None]), (False, [])])
def test_after_a_failure_only_a_hook_that_always_runs_is_told(always, calls):
    module, seen = Double(), []
    with hooked(After(module, seen.append, always=always)), pytest.raises(ValueError, match="fail"):
        module(1, plus=None)
    assert seen == calls
    seen.clear()
    with hooked(After(module, seen.append)), pytest.raises(ValueError, match="fail"):
        module(1, plus=None)
    assert seen == []


def test_all_hooks_are_off_after_the_context_and_after_an_exception():
    one, two = Double(), Double()
    hooks = Before(one, lambda *_: None), After(one, lambda _: None), Before(two, lambda *_: None)
    with hooked(*hooks):
        assert (attached(one), attached(two)) == (2, 1)
    assert (attached(one), attached(two)) == (0, 0)
    with pytest.raises(RuntimeError, match="inside"), hooked(*hooks):
        raise RuntimeError("inside")
    assert (attached(one), attached(two)) == (0, 0)
    with pytest.raises(AttributeError), hooked(hooks[0], Before(None, lambda *_: None)):
        pass
    assert attached(one) == 0


def test_only_hooks_of_this_package_before_a_forward_count():
    module = Double()
    assert not is_hooked(module)
    with hooked(After(module, lambda _: None)):
        assert not is_hooked(module)
    with hooked(Before(module, lambda *_: None)):
        assert is_hooked(module)
    module.register_forward_pre_hook(lambda *_: None)
    assert not is_hooked(module)


def test_a_copy_of_a_hooked_module_does_nothing_of_it():
    module = Double()
    with hooked(Before(module, lambda args, kwargs: ((9,), {})), After(module, lambda x: x + 100)):
        other = copy.deepcopy(module)
    assert other(1) == 2
    assert not is_hooked(other)


def test_a_replica_that_shares_the_hooks_is_refused():
    module, replica, seen = Double(), Double(), []
    with hooked(Before(module, lambda *_: None), After(module, seen.append, always=True)):
        replica._forward_pre_hooks = module._forward_pre_hooks
        replica._forward_hooks = module._forward_hooks
        replica._forward_pre_hooks_with_kwargs = module._forward_pre_hooks_with_kwargs
        replica._forward_hooks_always_called = module._forward_hooks_always_called
        with pytest.raises(InstrumentError, match="replica of Double") as caught:
            replica(1)
        assert caught.value.hint
        assert seen == []  # it was called for the replica, and did nothing
        module(1)
        assert seen == [2]


def test_a_replicas_output_is_left_alone():
    module, replica = Double(), Double()
    with hooked(After(module, lambda output: output + 100)):
        replica._forward_hooks = module._forward_hooks
        assert replica(1) == 2
        assert module(1) == 102


def test_hooks_are_values():
    hook = Before(Double(), lambda *_: None)
    with pytest.raises(FrozenInstanceError):
        hook.module = None
    with pytest.raises(FrozenInstanceError):
        After(Double(), torch.neg).always = True


def test_a_compiled_module_runs_its_hooks_and_does_not_trace_them():
    module, seen = Double(), []

    def look(*_):
        seen.append(torch.compiler.is_compiling())

    torch.compiler.reset()
    with hooked(Before(module, look), After(module, look)):
        assert torch.compile(module, backend="eager")(torch.tensor(1)) == 2
    assert seen == [False, False]
