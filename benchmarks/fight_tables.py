"""Every method beside every other, from the files that measured them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.result import read, where
from v2drop_cli.units import format_bytes

_BUDGETS = {"33.33%": "1/3", "22.22%": "2/9", "11.11%": "1/9"}


def accuracy(media: str, kind: str) -> Callable[[], Iterator[str]]:
    """A table of right answers: methods down, budgets across."""

    def table() -> Iterator[str]:
        study = read("fair-fight.json")
        if study is None:
            yield "Not measured yet: `python -m benchmarks.tiny.fair_fight` takes hours."
            return
        [found] = [medium for medium in study["media"] if medium["media"] == media]
        arms = {arm["arm"]: arm for arm in found["arms"]}
        yield f"| method | {' | '.join(_BUDGETS[budget] for budget in study['budgets'])} |"
        yield "| --- |" + " ---: |" * len(study["budgets"])
        for name in _methods(arms):
            cells = [_cell(arms.get(f"{name} budget {b}"), kind) for b in study["budgets"]]
            yield f"| `{name}` | {' | '.join(cells)} |"
        yield ""
        dense = arms["dense"][kind]
        yield (
            f"Per cent right of {dense['asked']} questions, 95 % Wilson intervals; dense "
            f"{_share(dense)}. {where(study)}{_begun(study)}"
        )

    return table


def _begun(study: dict[str, Any]) -> str:
    if "begun" not in study:
        return ""
    date, commit = study["begun"]["date"][:10], study["begun"]["commit"][:12]
    return f" Begun on {date} at commit {commit}, and gone on with."


def _methods(arms: dict[str, Any]) -> list[str]:
    names = [label.split(" budget ")[0] for label in arms if label != "dense"]
    return list(dict.fromkeys(names))


def _cell(arm: dict[str, Any] | None, kind: str) -> str:
    return "n/a" if arm is None or kind not in arm else _share(arm[kind])


def _share(found: dict[str, Any]) -> str:
    middle, low, high = (100 * found[key] for key in ("accuracy", "low", "high"))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def said(media: str) -> Callable[[], Iterator[str]]:
    """What there is to say of single methods."""

    def table() -> Iterator[str]:
        study = read("fair-fight.json")
        if study is None:
            yield "Not measured yet."
            return
        [found] = [medium for medium in study["media"] if medium["media"] == media]
        for sentence in found["caveats"]:
            yield f"- {sentence}"

    return table


def costs(media: str) -> Callable[[], Iterator[str]]:
    """Prefill against dense and peak memory, at each budget."""

    def table() -> Iterator[str]:
        study = read("fair-fight-costs.json")
        if study is None:
            yield "Not measured yet: `python -m benchmarks.tiny.fight_costs`."
            return
        [found] = [medium for medium in study["media"] if medium["media"] == media]
        arms = {arm["arm"]: arm for arm in found["arms"]}
        heads = [_BUDGETS[budget] for budget in study["budgets"]]
        yield f"| method | {' | '.join(f'prefill, {head}' for head in heads)} | peak memory |"
        yield "| --- |" + " ---: |" * (len(heads) + 1)
        for name in _methods(arms):
            of = [arms.get(f"{name} budget {budget}") for budget in study["budgets"]]
            peaks = [arm["peak_bytes"] for arm in of if arm and arm["peak_bytes"] is not None]
            peak = f"{format_bytes(min(peaks))} to {format_bytes(max(peaks))}" if peaks else "n/a"
            yield f"| `{name}` | {' | '.join(map(_ratio, of))} | {peak} |"
        yield ""
        dense = arms["dense"]["peak_bytes"]
        yield (
            "Prefill of the dense arm over the method's, above 1 is faster, with 95 % intervals "
            f"where there were enough rounds; {found['rounds']} rounds. Peak memory is the "
            f"{found['peak_kind']}, dense {'n/a' if dense is None else format_bytes(dense)}. "
            f"{where(study)}"
        )

    return table


def _ratio(arm: dict[str, Any] | None) -> str:
    if arm is None or arm["prefill"] is None:
        return "n/a"
    median, bounds = arm["prefill"]["median"], arm["prefill"]["ci95"]
    return f"{median:.2f}" + (f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else "")


def scoring() -> Iterator[str]:
    """What choosing costs, as a share of dense prefill."""
    study = read("scoring.json")
    if study is None:
        yield "Not measured yet: `python -m benchmarks.scoring` takes about ten minutes."
        return
    yield "| method | schedule | around its drops, of dense prefill |"
    yield "| --- | --- | ---: |"
    for arm in study["methods"]:
        share = arm["share_of_dense"]
        low, high = (100 * bound for bound in share["ci95"])
        figure = f"{100 * share['median']:.2f} ({low:.2f} to {high:.2f}) %"
        yield f"| `{arm['method']}` | `{arm['schedule']}` | {figure} |"
    for name, why in study["refused"].items():
        yield f"| `{name}` | n/a | {why} |"
    yield ""
    yield (
        f"{study['vision_tokens']} vision tokens, {study['dtype']}, {study['attention']}, "
        f"{study['rounds']} rounds; {where(study)}"
    )


PARTS = {
    "scoring": scoring,
    **{
        f"fight-{media}-{kind}": accuracy(media, kind)
        for media in ("image", "video")
        for kind in ("all", "hard")
    },
    **{f"fight-{media}-said": said(media) for media in ("image", "video")},
    **{f"fight-{media}-costs": costs(media) for media in ("image", "video")},
}
