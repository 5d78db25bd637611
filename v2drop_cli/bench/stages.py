"""One timed answer, taken apart into its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from v2drop_cli.generate.decoding import Eager, Generation
from v2drop_cli.generate.greedy import ready
from v2drop_cli.instrument.context import DROP_BEGINS, DROP_ENDS
from v2drop_cli.instrument.hooks import After, Before, hooked
from v2drop_cli.measure.clock import Clock, Marks
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs

_TOWER = ("tower begins", "tower ends")
_PROJECTOR = ("projector begins", "projector ends")


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds of one trial. The stages are on the device's timeline, ``wall_s`` on the host's.

    Attributes:
        preprocess_s: processor and transfer to the device, wall clock; ``None`` where no processor
            ran.
        vision_s: start of the forward to the language model's first layer: vision tower,
            projector, merging into the prompt.
        prefill_s: from there to the first new token.
        decode_s_per_token: mean over the later tokens; ``None`` when there are none.
        generate_s: start of the forward to the last token.
        wall_s: as ``generate_s``, on the host, until the device had nothing left to do.
        media_s: decoding the media files, wall clock; ``None`` where nothing was decoded.
        processor_s: of ``preprocess_s``, before the transfer.
        transfer_s: of ``preprocess_s``, to the device.
        tower_s: of ``vision_s``, the vision tower; ``None`` where the family does not tell it
            apart, or it did not run.
        projector_s: of ``vision_s``, the projector, likewise.
        drop_s: of ``prefill_s``, what dropping adds; 0 where nothing was dropped.
        host_wait_s: of ``wall_s``, from the last launch until the device was done; ``None``
            where work is done when the call returns.
    """

    preprocess_s: float | None
    vision_s: float
    prefill_s: float
    decode_s_per_token: float | None
    generate_s: float
    wall_s: float
    media_s: float | None = None
    processor_s: float | None = None
    transfer_s: float | None = None
    tower_s: float | None = None
    projector_s: float | None = None
    drop_s: float | None = None
    host_wait_s: float | None = None

    @property
    def merging_s(self) -> float | None:
        """The rest of ``vision_s``: embedding the text and putting the vision tokens into it."""
        if self.tower_s is None or self.projector_s is None:
            return None
        # A GPU's events are half a microsecond apart at best, so the difference may dip below 0.
        return max(0.0, self.vision_s - self.tower_s - self.projector_s)

    @property
    def end_to_end_s(self) -> float | None:
        """From the files to the last token, on the host's clock."""
        if self.media_s is None or self.preprocess_s is None:
            return None
        return self.media_s + self.preprocess_s + self.wall_s

    @property
    def time_to_first_token_s(self) -> float | None:
        """Preprocess, vision and prefill together; ``None`` where one of them did not run."""
        if self.preprocess_s is None:
            return None
        return self.preprocess_s + self.vision_s + self.prefill_s


def time_stages(
    loaded: LoadedModel,
    inputs: Inputs,
    clock: Clock,
    n_tokens: int,
    generation: Generation | None = None,
) -> StageTimes:
    """Generate ``n_tokens`` tokens for ``inputs`` (host tensors) and time the stages.

    Fixed work: greedy, no early stop. Hooks mark the clock around the vision tower and the
    projector and where the language model begins; nothing inside the timed region waits for
    the device. Without ``generation``, decoding is eager.
    """
    generation = generation or Eager(loaded, inputs, n_tokens)
    began = time.perf_counter()
    tensors = ready(loaded, inputs)
    tokens = generation.tokens(tensors)
    seen: list[None] = []

    def at_decoder(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not seen:
            clock.mark("decoder")
            seen.append(None)

    begins = Before(_first_of_decoder(loaded), at_decoder)
    with hooked(begins, *_around(loaded, clock)):
        clock.start()  # waits for the transfer
        transfer_s = time.perf_counter() - began
        clock.mark("start")
        for step, _ in enumerate(tokens):
            if step == 0:
                clock.mark("first token")
        clock.mark("end")
        marks = clock.finish()
    between = marks.between
    decode_s = between("first token", "end")
    return StageTimes(
        preprocess_s=transfer_s,
        vision_s=between("start", "decoder"),
        prefill_s=between("decoder", "first token"),
        decode_s_per_token=decode_s / (n_tokens - 1) if n_tokens > 1 else None,
        generate_s=between("start", "end"),
        wall_s=marks.wall_s,
        transfer_s=transfer_s,
        tower_s=_spans(marks, *_TOWER),
        projector_s=_spans(marks, *_PROJECTOR),
        drop_s=_spans(marks, DROP_BEGINS, DROP_ENDS) or 0.0,
        host_wait_s=marks.waited_s,
    )


def _first_of_decoder(loaded: LoadedModel) -> Any:
    """What runs first of the decoder: itself, or its first layer if it encodes pictures, too."""
    family, model = loaded.family, loaded.model
    decoder = family.decoder(model)
    return family.layers(model)[0] if decoder is family.multimodal(model) else decoder


def _around(loaded: LoadedModel, clock: Clock) -> Iterator[Before | After]:
    """Hooks that mark begin and end of the parts before the decoder, where they are known."""
    family, model = loaded.family, loaded.model
    for module, (begins, ends) in (
        (family.vision_tower(model), _TOWER),
        (family.projector(model), _PROJECTOR),
    ):
        if module is not None:
            yield Before(module, partial(_mark, clock, begins))
            yield After(module, partial(_mark, clock, ends))


def _mark(clock: Clock, name: str, *_: Any) -> None:
    """A hook that changes nothing."""
    clock.mark(name)


def _spans(marks: Marks, begins: str, ends: str) -> float | None:
    """Seconds of all spans together: a tower may run once a picture."""
    return marks.total(begins, ends) if begins in marks else None
