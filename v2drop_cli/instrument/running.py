"""Who is in a forward of the model: one thread at a time, and one call at a time.

An interrupt (``KeyboardInterrupt``) leaves a forward without torch calling any hook. So nothing
that was noted at a forward's start is believed on its own: where it is in the way, the thread's
stack says whether that forward still runs.
"""

from __future__ import annotations

import sys
from threading import Lock, Thread, current_thread
from types import FrameType

from torch import nn

from v2drop_cli.errors import InstrumentError

_CALL = nn.Module._call_impl.__code__
# What torch.compile has inlined has no frame of its own, but runs below one of dynamo's.
_COMPILED = "torch/_dynamo/eval_frame.py"


class Running:
    """The forward that is running, if any.

    Args:
        model: the hooked module whose forward takes the ids and the pixels.
        decoder: the text decoder in it, which may be called alone.
    """

    def __init__(self, model: nn.Module, decoder: nn.Module) -> None:
        self.model, self.decoder = model, decoder
        self._thread: Thread | None = None
        self._whole = False  # whether the model itself was called, not its decoder alone
        self._refused = 0  # calls inside the running one that were refused, and have not ended
        self._lock = Lock()

    @property
    def whole(self) -> bool:
        """Whether this thread is inside a call of the model itself, as far as was noted."""
        return self._whole and self._mine

    def enter(self) -> None:
        """A call of the model begins.

        Raises:
            InstrumentError: another thread's is running, or it is a call inside a call.
        """
        with self._lock:
            self._refuse_other_thread()
            if self.whole and _calls(_caller(), self.model) > 1:
                self._refused += 1
                raise InstrumentError(
                    "the model is called from within its own forward, inside a dropping() context",
                    hint="a hook or a method of yours does it: call a copy of the model instead",
                )
            self._thread, self._whole, self._refused = current_thread(), True, 0

    def enter_decoder(self) -> bool:
        """A call of the decoder begins; whether it is a part of a call of the model.

        Raises:
            InstrumentError: another thread's forward is running.
        """
        with self._lock:
            self._refuse_other_thread()
            part = self.whole and _runs(_caller(), self.model)
            self._thread, self._whole = current_thread(), part
            return part

    def check(self) -> None:
        """A layer is entered.

        Raises:
            InstrumentError: the running forward is another thread's.
        """
        if not self._mine:
            with self._lock:
                self._refuse_other_thread()

    def leave(self) -> bool:
        """A call ends; whether it was the running one, whose bookkeeping ends with it."""
        with self._lock:
            if not self._mine:
                return False
            if self._refused:
                self._refused -= 1
                return False
            self._thread, self._whole = None, False
            return True

    @property
    def _mine(self) -> bool:
        return self._thread is current_thread()

    def _refuse_other_thread(self) -> None:
        thread = self._thread
        if thread is None or self._mine:
            return
        frame = sys._current_frames().get(thread.ident or 0)
        if _runs(frame, self.model) or _runs(frame, self.decoder):
            raise InstrumentError(
                "two threads run forwards of one model inside one dropping() context",
                hint="one after the other, or a model for each thread",
            )


# Plain loops: one of them runs in every forward.


def _runs(frame: FrameType | None, module: nn.Module) -> bool:
    """Whether a call of ``module`` is on the stack that ends in ``frame``."""
    compiled = False
    while frame is not None:
        code = frame.f_code
        if code is _CALL and frame.f_locals.get("self") is module:
            return True
        compiled = compiled or code.co_filename.endswith(_COMPILED)
        frame = frame.f_back
    return compiled


def _calls(frame: FrameType | None, module: nn.Module) -> int:
    """How many calls of ``module`` are on the stack that ends in ``frame``."""
    found = 0
    while frame is not None:
        found += frame.f_code is _CALL and frame.f_locals.get("self") is module
        frame = frame.f_back
    return found


def _caller() -> FrameType | None:
    """The frame that called this hook: hooks run below a frame of dynamo's of their own."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(_COMPILED):
        frame = frame.f_back
    return sys._getframe() if frame is None else frame.f_back
