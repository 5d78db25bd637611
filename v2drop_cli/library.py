"""``v2drop_cli.profile``: what ``v2drop profile`` measures, asked for with few arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypedDict, Unpack

from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.stopping import StopRule
from v2drop_cli.bench.watch import Watch
from v2drop_cli.commands.profile import ProfileOptions
from v2drop_cli.commands.profile import profile as measure
from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.media import Media
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.names import default_prompt
from v2drop_cli.records import Report
from v2drop_cli.schedule import Schedule


class Settings(TypedDict, total=False):
    """What :func:`profile` takes by keyword; what is left out is as on the command line.

    Attributes:
        schedule: where tokens are dropped and how many stay: a text form (``"1:0.5,6:0.3"``), a
            preset (``"paper-192"``), a :class:`Schedule`, or several of them.
        budget: or how many vision tokens a layer holds on average: ``"192"``, ``"33%"``.
        method: name of a method, or of several: ``"v2drop"``, ``["v2drop", "uniform"]``; one with
            parameters, ``"first+second"`` for two in a row, ``"all"`` for every one that can run.
        seed: of the order of the arms, and of methods that draw at random.
        repeats: rounds to take at least, whatever the time.
        precision: measure until each prefill ratio is known this precisely (0.01 is 1 %),
        max_time_s: or until the rounds have taken this many seconds.
        with_random: measure random selection beside the methods.
        max_new_tokens: length of the answers, at most.
        new_tokens: tokens generated in each timed trial.
        warmup: rounds that are not counted.
        batch_size: how many times the prompt is in a batch.
        decode: ``"eager"`` or ``"compiled"``.
        explain: also tell how tokens moved before each drop of ``v2drop``.
    """

    schedule: str | Schedule | Sequence[str | Schedule]
    budget: str | Sequence[str]
    method: str | Sequence[str]
    seed: int
    repeats: int | None
    precision: float
    max_time_s: float
    with_random: bool
    max_new_tokens: int
    new_tokens: int
    warmup: int
    batch_size: int
    decode: str
    explain: bool


def profile(
    loaded: LoadedModel,
    media: Media | Sequence[Media],
    options: str | ProfileOptions | None = None,
    watch: Watch | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """Measure a model on one prompt with and without dropping, until the numbers can be quoted.

    Ctrl-C after the first round ends the measuring, not the report: it is marked partial.

    Args:
        loaded: what :func:`v2drop_cli.load` gave.
        media: what it looks at: :func:`v2drop_cli.load_image`, :func:`v2drop_cli.load_video`.
        options: the question; ``None`` asks what the command line would. Or all options at once.
        watch: whom to tell how far it is.
        **settings: see :class:`Settings`.

    Raises:
        UnknownNameError: no such setting, method or preset.
        ScheduleError: a schedule does not fit the model or the prompt.
        UsageError: this device cannot decode in the way asked for; or settings beside options.
        DeviceMemoryError: the device ran out of memory.
        KeyboardInterrupt: interrupted before there was anything to report.
    """
    shown = [media] if isinstance(media, Media) else list(media)
    if isinstance(options, ProfileOptions):
        if settings:
            raise UsageError(
                f"{', '.join(settings)} given twice: beside ProfileOptions, which hold them",
                hint="put them into the ProfileOptions, or give the question instead of those",
            )
        return measure(loaded, shown, options, watch)
    if options is None:
        kinds = {item.kind for item in shown}
        options = default_prompt(loaded.source, "video" if kinds == {"video"} else "image")
    return measure(loaded, shown, _options(loaded.source, options, settings), watch)


def _options(model: str, question: str, settings: Settings) -> ProfileOptions:
    """The command's options, each setting where it belongs; checked before anything is measured."""
    given: dict[str, Any] = dict(settings)
    for name in given:
        if name not in Settings.__annotations__:
            raise unknown_name("setting", name, Settings.__annotations__)
    schedules = [str(item) for item in _several(given.pop("schedule", ()))]
    arms = ArmOptions(
        ScheduleOptions(
            schedules=tuple(text for text in schedules if ":" in text),
            presets=tuple(text for text in schedules if ":" not in text),
            budgets=_several(given.pop("budget", ())),
        ),
        **_part(given, ArmOptions, {"methods": _several(given.pop("method", "v2drop"))}),
    )
    arms.check()
    stop = StopRule(**_part(given, StopRule, {}))
    return ProfileOptions(question, model, arms, stop, **given)


def _part(given: dict[str, Any], kind: type, known: Mapping[str, Any]) -> dict[str, Any]:
    """Take what ``kind`` has a field for out of ``given``, beside what is ``known``."""
    names = [field.name for field in fields(kind) if field.name in given]
    return {**known, **{name: given.pop(name) for name in names}}


def _several(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str | Schedule) else tuple(value)
