"""``dropping``: a loaded model drops vision tokens while the context is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.hooks import After, Before, Call, hooked, is_hooked
from v2drop_cli.instrument.state import DropState
from v2drop_cli.instrument.trace import DropTrace
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import Family
from v2drop_cli.models.registry import family_for
from v2drop_cli.schedule import Schedule


@contextmanager
def dropping(
    model: nn.Module,
    schedule: str | Schedule,
    *,
    method: str | Method = "v2drop",
    seed: int = 0,
    mark: Callable[[str], None] | None = None,
) -> Iterator[DropTrace]:
    """Drop vision tokens inside ``model`` for the duration (V2Drop, arXiv 2509.01552, §3).

    The model's own ``forward`` and ``generate`` do the rest: sampling, beams, streaming,
    batches of any mix. Outputs keep their full length; at the positions of dropped tokens they
    are zero and mean nothing. ``output_hidden_states`` shows the shortened layers as they ran.

    Several turns on one KV cache: keep one context open. A later prefill with new images
    applies the schedule to the new images' tokens; earlier turns' tokens stay as they are, and
    a later prefill without images drops nothing. All images of a row compete for its places.

    Args:
        model: a loaded transformers model of a known family.
        schedule: text form (``"3:0.5,17:0.3,22:0"``) or a :class:`Schedule`.
        method: a name (``v2drop``, ``random``, ``uniform`` …) or a :class:`Method`.
        seed: for methods that draw at random.
        mark: called with ``"drop begins"`` and ``"drop ends"`` around the work that dropping
            adds to a prefill, for a clock; must not wait for the device.

    Yields:
        The trace: ``trace.events[0].kept`` are the prompt positions of the vision tokens kept
        at the first drop, one tuple per batch row.

    Raises:
        ScheduleError: the schedule does not fit the model's layers.
        UnknownNameError: no such method.
        UnsupportedModelError: no family serves this model, or it is refused by name.
        InstrumentError: the model is inside another ``dropping`` context already; later, from
            the model's call, if it is called in a way that cannot be served.
    """
    config: Any = model.config
    family = family_for(config)
    layers = family.layers(model)
    parsed = Schedule.parse(schedule)
    parsed.check(n_layers=len(layers), first_droppable=family.first_droppable_layer(config))
    chosen = get_method(method) if isinstance(method, str) else method
    multimodal = family.multimodal(model)
    if is_hooked(multimodal):
        raise InstrumentError(
            "this model is inside a dropping() context already",
            hint="leave the outer context first; compare methods one after the other",
        )
    text_config = config.get_text_config()
    state = DropState(parsed, chosen, text_config, seed, mark)
    first = parsed.drops[0].layer
    hooks = [
        Before(layer, partial(_layer_call, state, i))
        for i, layer in enumerate(layers)
        if i >= first - 1
    ]
    with hooked(
        Before(multimodal, partial(_forward_call, state, family, config)),
        After(family.decoder(model), partial(_decoder_output, state)),
        *hooks,
    ):
        yield state.trace


def _forward_call(
    state: DropState, family: Family, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    """Before the model: find this forward's vision tokens. Changes nothing."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    has_pixels = any(kwargs.get(name) is not None for name in family.vision_inputs)
    if ids is None:
        if has_pixels:
            raise InstrumentError(
                "dropping finds vision tokens by input_ids, and got inputs_embeds only",
                hint="pass input_ids and the pixels, and let the model merge them",
            )
        embeds = kwargs.get("inputs_embeds")
        state.begin((), kwargs.get("attention_mask"), 0 if embeds is None else embeds.shape[1])
        return None
    # A placeholder id without pixels is text (a model may even generate it): never dropped.
    vision = family.vision_tokens(config, ids).index if has_pixels else ()
    state.begin(vision, kwargs.get("attention_mask"), ids.shape[1])
    return None


def _layer_call(
    state: DropState, layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    changed = state.enter_layer(layer, args[0], kwargs)
    if changed is None:
        return None
    hidden, new_kwargs = changed
    return (hidden, *args[1:]), new_kwargs


def _decoder_output(state: DropState, output: Any) -> Any:
    """Put survivors back in place, so that callers see the length they know."""
    hidden = output[0] if isinstance(output, tuple) else output.last_hidden_state
    full = state.finish(hidden)
    if full is None:
        return None
    if isinstance(output, tuple):
        return (full, *output[1:])
    output.last_hidden_state = full
    return output
