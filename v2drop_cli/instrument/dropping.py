"""``dropping``: a loaded model drops vision tokens while the context is open."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn

from v2drop_cli.errors import (
    InstrumentError,
    UnsupportedModelError,
    UsageError,
)
from v2drop_cli.instrument.cache import refuse_rebuilt
from v2drop_cli.instrument.context import DropState
from v2drop_cli.instrument.encodings import Encodings, noting
from v2drop_cli.instrument.entry import start_over, teller, with_entry
from v2drop_cli.instrument.forward import as_padding
from v2drop_cli.instrument.here import Reader
from v2drop_cli.instrument.hooks import After, Before, Call, hooked, is_hooked
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.numbering import Numbering, renumbers
from v2drop_cli.instrument.refusals import (
    refuse_compiled,
    refuse_packed,
    refuse_paged,
    refuse_recomputation,
    refuse_router_logits,
)
from v2drop_cli.instrument.running import Running
from v2drop_cli.instrument.temperature import temperature_hooks
from v2drop_cli.instrument.token_states import as_entered, by_token
from v2drop_cli.instrument.tower import TowerWatch
from v2drop_cli.instrument.trace import DropTrace
from v2drop_cli.methods.base import EMBEDDINGS, GRIDS, TOWER, Method
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.arguments import CACHE, cache_of, parameters_of
from v2drop_cli.models.base import Family, LoadedModel
from v2drop_cli.models.parts import final_norm
from v2drop_cli.models.registry import family_for
from v2drop_cli.schedule import Schedule
from v2drop_cli.schedule_file import schedule_of
from v2drop_cli.tensors import droppable, true_positions

UNSEEN = (
    "pixels were encoded inside a dropping() context, but no call of the model had them, so "
    "nothing was dropped: call the model itself, model(...), because model.forward(...) and "
    "functions compiled before skip hooks"
)


@contextmanager
def dropping(
    model: nn.Module | LoadedModel,
    schedule: str | Schedule | None = None,
    *,
    method: str | Method = "v2drop",
    seed: int = 0,
    mark: Callable[[str], None] | None = None,
    allow_unproven: bool = False,
) -> Iterator[DropTrace]:
    """Drop vision tokens inside ``model`` for the duration (V2Drop, arXiv 2509.01552, §3).

    The model's own ``forward`` and ``generate`` do the rest: sampling, beams, streaming,
    batches of any mix. Outputs keep their full length; at the positions of dropped tokens they
    are zero and mean nothing. ``output_hidden_states`` shows the shortened layers as they ran.

    Several turns on one KV cache: keep one context open. A later prefill with new images
    applies the schedule to the new images' tokens; earlier turns' tokens stay as they are, and
    a later prefill without images drops nothing. All images of a row compete for its places.

    One forward at a time: two threads need two models. Call the model, not its ``forward``: that
    skips the hooks, and nothing is dropped (a warning says so when the context ends). Copies of
    the model made inside the context do not drop. The trace grows with every drop; clear it in
    long loops.

    Args:
        model: a loaded transformers model of a known family, or what :func:`v2drop_cli.load` gave.
        schedule: text form (``"3:0.5,17:0.3,22:0"``), ``"@FILE"``, the name of a preset
            (``"paper-192"``), or a :class:`Schedule`; without one, the method's own. A drop at
            layer 0 shortens the decoder's own input.
        method: a name (``v2drop``, ``random``, ``uniform`` …), one with parameters
            (``"name:key=value,key=value"``), two in a row (``"random+v2drop"``), or a
            :class:`Method`.
        seed: for methods that draw at random.
        mark: called with ``"drop begins"`` and ``"drop ends"`` around the work that dropping
            adds to a prefill, for a clock; must not wait for the device.
        allow_unproven: drop also in a decoder in which nobody has proven dropping; a
            :class:`LoadedModel` brings what it was loaded with.

    Yields:
        The trace: ``trace.events[0].kept`` are the prompt positions of the vision tokens kept
        at the first drop, one tuple per batch row.

    Raises:
        ScheduleError: the schedule does not fit the model's layers, or drops at layer 0 by a
            method that compares with the layer before.
        UnknownNameError: no such method, parameter or preset.
        UnsupportedModelError: no family serves this model, or it is refused by name.
        InstrumentError: the model is inside another ``dropping`` context already; later, from
            the model's call, if it is called in a way that cannot be served.
    """
    target = Target.of(model, allow_unproven)
    family, n_layers = target.family, len(target.layers)
    chosen = get_method(method) if isinstance(method, str) else method
    if not isinstance(chosen, Method):
        raise UsageError(f"{chosen!r} is no method", hint="pass a name, or a Method instance")
    shape = Shape.of(family, n_layers, family.droppable(target.config))
    parsed = chosen.schedule(None, shape) if schedule is None else named_schedule(schedule, shape)
    parsed = with_entry(parsed, chosen)
    family.check(parsed, target.config, n_layers)
    chosen.check(parsed)
    chosen = _attached(chosen, model)
    whole = model.model if isinstance(model, LoadedModel) else model
    with noting(whole) if GRIDS in chosen.needs else nullcontext(Encodings()) as encodings:
        reader = replace(_reader(chosen, parsed, target, whole), encodings=encodings)
        state = DropState(parsed, chosen, reader, seed, mark)
        if EMBEDDINGS in chosen.needs and target.multimodal is target.decoder:
            state.first_hooked = 0  # where they are first seen
        watched = [] if reader.tower is None else reader.tower.hooks()
        with hooked(*_hooks(state, target), *watched):
            yield state.trace
    if state.encoded:
        warnings.warn(UNSEEN, stacklevel=3)


def _attached(method: Method, model: nn.Module | LoadedModel) -> Method:
    """``method`` with what the decoder of ``model`` lacks."""
    if isinstance(model, LoadedModel):
        found: Any = method.attach(model.model, model.processor)
    else:
        found = method.attach(model, None)
    if not isinstance(found, Method):
        raise InstrumentError(
            f"{type(method).__name__}.attach returned {type(found).__name__}, not a method",
            hint="attach returns the method that is to be asked: itself, or another one",
        )
    return found


def _reader(method: Method, schedule: Schedule, target: Target, model: nn.Module) -> Reader:
    """What signals are read with; only what the method needs is looked for."""
    tower, numbering = None, None
    if TOWER in method.needs:
        tower = TowerWatch.of(target.family, target.config, model, method)
    if renumbers(method, schedule):
        numbering = Numbering.of(method, target.config, target.decoder)
    return Reader(
        call=LayerCall.of(
            target.config, target.layers, cuts_blocks=target.family.windows_cut_blocks
        ),
        needs=method.needs,
        family=target.family,
        config=target.config,
        layers=target.layers,
        tower=tower,
        numbering=numbering,
        final_norm=final_norm(target.decoder),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """A model to drop in, taken apart.

    Attributes:
        config: the whole model's.
        family: how to talk to it.
        multimodal: the module whose forward takes the ids and the pixels.
        decoder: the text decoder.
        layers: its blocks.
    """

    config: Any
    family: Family
    multimodal: nn.Module
    decoder: nn.Module
    layers: Sequence[nn.Module]

    @classmethod
    def of(cls, model: nn.Module | LoadedModel, allow_unproven: bool) -> Target:
        """Find the parts of ``model``; raise for what cannot be served."""
        whole = model.model if isinstance(model, LoadedModel) else model
        allow_unproven |= isinstance(model, LoadedModel) and model.allow_unproven
        config: Any = getattr(whole, "config", None)
        if config is None:
            raise UnsupportedModelError(
                f"{type(whole).__name__} is no transformers model: it has no config",
                hint="pass the model itself, not a wrapper around it",
            )
        family = family_for(config, allow_unproven=allow_unproven)
        multimodal, decoder = family.multimodal(whole), family.decoder(whole)
        refuse_compiled(whole, multimodal, decoder)
        if is_hooked(multimodal):
            raise InstrumentError(
                "this model is inside a dropping() context already",
                hint="leave the outer context first; compare methods one after the other",
            )
        return cls(config, family, multimodal, decoder, family.layers(whole))

    @property
    def encoders(self) -> list[nn.Module]:
        """What runs before the decoder if there are pixels: the vision tower, the projector.

        Where one module is both, the parts of it that take pixels.
        """
        children = self.multimodal.children()
        if self.multimodal is self.decoder:
            pixels = {placeholder.pixels for placeholder in self.family.placeholders}
            return [part for part in children if pixels & parameters_of(type(part).forward)]
        return [child for child in children if all(m is not self.decoder for m in child.modules())]


def _hooks(state: DropState, target: Target) -> list[Before | After]:
    """All hooks of one context; layers before the one that is compared with need none."""
    running = Running(target.multimodal, target.decoder)
    return [
        Before(target.multimodal, partial(_forward_call, state, running, target)),
        Before(target.decoder, partial(_decoder_call, state, running)),
        After(target.decoder, partial(_decoder_output, state, running), always=True),
        After(target.multimodal, partial(_forward_ends, state, running), always=True),
        *(
            Before(layer, partial(_layer_call, state, running, i))
            for i, layer in enumerate(target.layers)
            if i >= state.first_hooked
        ),
        *temperature_hooks(state, target.layers),
        *(After(encoder, partial(_encoded, state, running)) for encoder in target.encoders),
    ]


def _encoded(state: DropState, running: Running, output: Any) -> None:
    """Pixels were encoded; outside a call of the model, which may still come, or never."""
    state.encoded |= not running.whole


def _forward_ends(state: DropState, running: Running, output: Any) -> None:
    if running.leave():
        state.abandon()


def named_schedule(schedule: str | Schedule, shape: Shape) -> Schedule:
    """A schedule in text form, or by the name of one of the family's presets."""
    if isinstance(schedule, Schedule):
        return schedule
    if str(schedule) in shape.presets or re.fullmatch(r"[a-zA-Z][\w-]*", str(schedule)):
        return shape.preset(schedule)
    return schedule_of(schedule)


def _forward_call(
    state: DropState,
    running: Running,
    target: Target,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Call | None:
    """Before the model: find this forward's vision tokens. Changes nothing."""
    running.enter()
    refuse_recomputation(target.decoder)
    given: Mapping[str, Any] = kwargs
    if args:
        named = signature(target.multimodal.forward).bind_partial(*args, **kwargs).arguments
        given = {**kwargs, **named}
    refuse_paged(given)
    cache = cache_of(target.multimodal, given)
    given = {**given, CACHE: cache}
    ids, attention_mask = given.get("input_ids"), given.get("attention_mask")
    if ids is None:
        if any(placeholder.filled(given) for placeholder in target.family.placeholders):
            raise InstrumentError(
                "dropping finds vision tokens by input_ids, and got inputs_embeds only",
                hint="pass input_ids and the pixels, and let the model merge them",
            )
        state.abandon()  # the decoder's own hook begins it
        return None
    mask = target.family.vision_mask(target.config, given)
    state.pictures.look(cache, ids.shape[1], mask, given)
    state.book.check(cache, set(range(state.first_hooked)) - state.call.no_columns)
    if min(state.drops) <= teller(cache):
        start_over(cache)
        refuse_rebuilt(cache, as_padding(attention_mask), ids.shape[1])
    vision: tuple[Tensor, ...] = ()
    if mask is not None:
        state.encoded = False
        refuse_router_logits(given, state.call.config)
        refuse_packed(given, str(state.call.config._attn_implementation))
        vision = true_positions(droppable(mask, as_padding(attention_mask)))
    blocks = target.family.blocks(target.config, given)
    state.begin(vision, attention_mask, ids.shape[1], blocks)
    state.look(given)
    return None


def _decoder_call(
    state: DropState, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    """Before the decoder: a call without ids is text, and may be the next turn on a cache."""
    if not running.enter_decoder() or state.forward is None:
        tokens = kwargs.get("inputs_embeds")
        tokens = kwargs.get("input_ids", args[0] if args else None) if tokens is None else tokens
        if tokens is not None:
            state.begin((), kwargs.get("attention_mask"), tokens.shape[1])
    changed = state.look_at_input(kwargs)
    return None if changed is None else (args, changed)


def _layer_call(
    state: DropState, running: Running, layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    running.check()
    entering, kwargs = state.call.by_name(args, kwargs)
    first, scored = state.call.states_first, bool({layer, layer + 1} & state.drops.keys())
    hidden = by_token(entering, scored=scored, states_first=first)
    changed = state.enter_layer(layer, hidden, kwargs)
    if changed is None:
        return None
    left, new_kwargs = changed
    if left is hidden:
        return (entering,), new_kwargs
    return (as_entered(left, entering, states_first=first),), new_kwargs


def _decoder_output(state: DropState, running: Running, output: Any) -> Any:
    """Put survivors back in place, so that callers see the length they know."""
    if output is None:  # it raised
        _forward_ends(state, running, output)
        return None
    hidden = output[0] if isinstance(output, tuple) else output.last_hidden_state
    full = state.finish(hidden)
    if not running.whole:  # called alone, so nobody else says that the forward ended
        running.leave()
    if full is None:
        return None
    if isinstance(output, tuple):
        return (full, *output[1:])
    output.last_hidden_state = full
    return output
