"""``--model_args`` of lmms-eval: a model, how to load it, and one way of dropping.

    pretrained=llava-1.5-7b,schedule=3:0.5;17:0.3;22:0,method=v2drop

lmms-eval splits its text at commas, so a schedule's commas are written as semicolons there. What
looks like a number or a truth value comes as one, and is made text again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.methods.registry import ALL
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records import DENSE

_WHERE_AND_HOW_MUCH = ("schedule", "ratios", "preset", "budget")
_OWN = ("pretrained", "method", "layers", "seed", "frames", "batch_size", *_WHERE_AND_HOW_MUCH)
_LOADING = tuple(
    field.name for field in fields(LoadOptions) if field.name not in ("synthetic", "accepts")
)
_TRUTH = ("trust_remote_code", "allow_pickle", "allow_unproven")
_OTHER_NAMES = {"model": "pretrained", "max_frames_num": "frames"}
"""What other models of lmms-eval call the same."""
_IGNORED = ("max_batch_size",)
"""lmms-eval hands it to every model; it is for batch sizes that are searched for."""


@dataclass(frozen=True, slots=True)
class ModelArgs:
    """What was asked for.

    Attributes:
        pretrained: alias, Hub id or path.
        load: how to load it.
        arms: how to drop, by one method and one schedule; ``None`` for the dense model.
        frames: of a video, at most.
        batch_size: prompts answered at once, at most.
    """

    pretrained: str
    load: LoadOptions
    arms: ArmOptions | None
    frames: int
    batch_size: int

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> ModelArgs:
        """From what lmms-eval makes of its text.

        Raises:
            UsageError: an argument that is unknown, or means nothing; the line names it.
        """
        named = {
            _OTHER_NAMES.get(name, name): value
            for name, value in given.items()
            if value is not None and name not in _IGNORED
        }
        for name in named:
            if name not in (*_OWN, *_LOADING):
                raise unknown_name("model argument", name, (*_OWN, *_LOADING))
        seed = _number(named, "seed", 0, least=0)
        pretrained = str(named.get("pretrained", "tiny"))
        load = LoadOptions(**{**_loading(named), "seed": seed})
        load.check(pretrained)
        return cls(
            pretrained=pretrained,
            load=load,
            arms=_arms(named, seed),
            frames=_number(named, "frames", 8),
            batch_size=_number(named, "batch_size", 1),
        )


def _arms(named: Mapping[str, Any], seed: int) -> ArmOptions | None:
    method = _text(named.get("method", "v2drop"))
    asked = [name for name in _WHERE_AND_HOW_MUCH if name in named]
    if len(asked) > 1:
        raise UsageError(
            f"{' and '.join(asked)} together are several schedules, and a model here has one",
            hint="run lmms-eval once for each",
        )
    if method == DENSE:
        if asked or "layers" in named:
            raise UsageError(
                f"method={DENSE} drops nothing, so {(*asked, 'layers')[0]} means nothing",
                hint="leave out one of the two",
            )
        return None
    if method == ALL:
        raise UsageError(
            f"method={ALL} is several methods, and a model here has one",
            hint="run lmms-eval once for each; v2drop eval compares them",
        )
    texts = {name: (_text(named[name]),) for name in asked}
    layers = _text(named["layers"]) if "layers" in named else None
    schedules = ScheduleOptions(
        texts.get("schedule", ()),
        layers,
        texts.get("ratios", ()),
        texts.get("preset", ()),
        texts.get("budget", ()),
    )
    arms = ArmOptions(schedules, methods=(method,), seed=seed)
    arms.check()
    return arms


def _loading(named: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _LOADING:
        if name not in named:
            continue
        value = named[name]
        if name in _TRUTH:
            if not isinstance(value, bool):
                raise UsageError(f"{name}={value} is neither true nor false", hint=f"{name}=true")
        elif name == "revision" and not isinstance(value, str):
            raise UsageError(
                f"lmms-eval reads revision={value} as a number, so it is not what was typed",
                hint="name a branch or a tag, or more letters of the commit",
            )
        else:
            value = str(value)
        found[name] = value
    return found


def _text(value: Any) -> str:
    """As it would be typed on the command line.

    >>> _text("3:0.5;17:0.3"), _text(192), _text(0.5)
    ('3:0.5,17:0.3', '192', '0.5')
    """
    return str(value).replace(";", ",")


def _number(named: Mapping[str, Any], name: str, usual: int, least: int = 1) -> int:
    value = str(named.get(name, usual))
    if not (value.isascii() and value.isdigit()) or int(value) < least:
        raise UsageError(
            f"{name}={value} is no whole number from {least} on", hint=f"for example {name}={usual}"
        )
    return int(value)
