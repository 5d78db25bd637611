"""The study of variants as Markdown, for ``python -m benchmarks.tables``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.result import read, where

MEDIA = {"image": "pictures", "video": "clips"}
_MODELS = {"before": "before the price", "priced": "as shipped, with the price"}
_GROUPS = {
    "all": "all questions but descriptions",
    "hard": "hard questions, descriptions among them",
}
_SMALLEST = "1/9"
_PAIRED = ("v2drop", "v2drop-centred", "input deviation")


def main(model: str) -> Iterator[str]:
    """Every variant of the main study at every setting: pictures, clips, all and hard questions."""
    study = read(f"variants-{model}.json")
    if study is None:
        yield f"Not measured yet: {_MODELS[model]}."
        return
    for media, found in study["media"].items():
        for group, title in _GROUPS.items():
            asked = _first(found)["groups"][group]["asked"]
            what = f"{MEDIA[media].capitalize()}, {title}"
            yield f"**{what}** ({asked}, about {found['subjects']} drawn)"
            yield ""
            yield from _settings(found["settings"], group)
            yield ""
    yield _origin(study)


def _settings(settings: dict[str, Any], group: str) -> Iterator[str]:
    """Variants down, settings across."""
    heads = [f"{name} `{setting['schedule']}`" for name, setting in settings.items()]
    yield f"| keeps | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(heads)
    arms = list(next(iter(settings.values()))["groups"][group]["arms"])  # 1/9 has more
    for arm in arms:
        cells = [setting["groups"][group]["arms"].get(arm) for setting in settings.values()]
        shares = ("" if cell is None else _percent(cell["right"]) for cell in cells)
        yield f"| {arm} | {' | '.join(shares)} |"


def paired() -> Iterator[str]:
    """How much better than random selection, on the same questions, before and after."""
    studies = {model: read(f"variants-{model}.json") for model in _MODELS}
    known = {model: study for model, study in studies.items() if study is not None}
    if not known:
        yield "Not measured yet."
        return
    settings = _first_media(known)["settings"]
    heads = [f"{name} `{setting['schedule']}`" for name, setting in settings.items()]
    yield f"| model | questions | less random | {' | '.join(heads)} |"
    yield "| --- | --- | --- |" + " ---: |" * len(heads)
    for model, study in known.items():
        for media, found in study["media"].items():
            for group in _GROUPS:
                for arm in _PAIRED:
                    cells = (_less(one, group, arm) for one in found["settings"].values())
                    what = f"{MEDIA[media]}, {group}"
                    yield f"| {_MODELS[model]} | {what} | {arm} | {' | '.join(cells)} |"
    yield ""
    for study in known.values():
        yield _origin(study)
        yield ""


def tried(model: str) -> Iterator[str]:
    """Everything tried at the smallest budget, best first by the hard questions."""
    study = read(f"variants-{model}.json")
    if study is None:
        yield f"Not measured yet: {_MODELS[model]}."
        return
    for media, found in study["media"].items():
        groups = found["settings"][_SMALLEST]["groups"]
        asked = ", ".join(f"{groups[group]['asked']} {group}" for group in _GROUPS)
        yield f"**{MEDIA[media].capitalize()}** ({asked}, about {found['subjects']} drawn)"
        yield ""
        yield "| keeps | all | hard | hard, less random |"
        yield "| --- | ---: | ---: | ---: |"
        hard = groups["hard"]["arms"]
        for arm in sorted(hard, key=lambda name: -hard[name]["right"][0]):
            cells = (_percent(groups[group]["arms"][arm]["right"]) for group in _GROUPS)
            yield f"| {arm} | {' | '.join(cells)} | {_signed(hard[arm].get('less_random'))} |"
        yield ""
    yield _origin(study)


def textured(model: str) -> Iterator[str]:
    """The main study's variants on grounds that training had none of."""
    study = read(f"variants-textured-{model}.json")
    if study is None:
        yield f"Not measured yet: {_MODELS[model]}."
        return
    found = study["media"]["image"]
    for group, title in _GROUPS.items():
        asked = _first(found)["groups"][group]["asked"]
        yield f"**{title.capitalize()}** ({asked}, about {found['subjects']} drawn)"
        yield ""
        yield from _settings(found["settings"], group)
        yield ""
    yield _origin(study)


def kinds() -> Iterator[str]:
    """Every kind of question at the smallest budget, before and after."""
    studies = {model: read(f"variants-{model}.json") for model in _MODELS}
    known = {model: study for model, study in studies.items() if study is not None}
    if not known:
        yield "Not measured yet."
        return
    arms = ("dense", "v2drop", "v2drop-centred", "random")
    yield f"| model | questions | asked | {' | '.join(arms)} |"
    yield "| --- | --- | ---: |" + " ---: |" * len(arms)
    for model, study in known.items():
        for media, found in study["media"].items():
            groups = found["settings"][_SMALLEST]["groups"]
            for kind in (name for name in groups if name not in ("all", "hard", "easy")):
                if kind == "describe" and media == "video":
                    continue
                cells = groups[kind]["arms"]
                shares = " | ".join(_percent(cells[arm]["right"]) for arm in arms)
                what = f"{MEDIA[media]}: {kind}"
                yield f"| {_MODELS[model]} | {what} | {groups[kind]['asked']} | {shares} |"
    yield ""
    for study in known.values():
        yield _origin(study)
        yield ""


def _first_media(studies: dict[str, Any]) -> Any:
    return next(iter(next(iter(studies.values()))["media"].values()))


def _first(found: dict[str, Any]) -> Any:
    return next(iter(found["settings"].values()))


def _less(setting: dict[str, Any], group: str, arm: str) -> str:
    return _signed(setting["groups"][group]["arms"].get(arm, {}).get("less_random"))


def _percent(share: list[float]) -> str:
    middle, low, high = (100 * value for value in share)
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def _signed(share: list[float] | None) -> str:
    if share is None:
        return ""
    middle, low, high = (100 * value for value in share)
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def _origin(study: dict[str, Any]) -> str:
    return (
        f"Per cent right, 95 % intervals from drawing scenes again; checkpoint sha256 "
        f"`{study['checkpoint_sha256'][:12]}…`; {where(study)}"
    )


# Names of the parts of docs/variants.md.
PARTS: dict[str, Callable[[], Iterator[str]]] = {
    **{f"variants-{model}": partial(main, model) for model in _MODELS},
    "variants-paired": paired,
    "variants-kinds": kinds,
    **{f"variants-tried-{model}": partial(tried, model) for model in _MODELS},
    **{f"variants-textured-{model}": partial(textured, model) for model in _MODELS},
}
