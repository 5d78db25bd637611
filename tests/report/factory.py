"""Reports written by hand: every number here is one a reader can check in the golden files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from v2drop_cli.records import (
    Answer,
    ArmResult,
    Caveat,
    CaveatKind,
    Comparison,
    Drop,
    Limit,
    MachineState,
    MediaRecord,
    Memory,
    Movement,
    Overhead,
    Protocol,
    Ratio,
    Report,
    Request,
    Stats,
    Timing,
)

IMAGE = MediaRecord("/data/street scene.jpg", "image", 640, 480, 1)
VIDEO = MediaRecord("clips/kitchen.mp4", "video", 336, 336, 8, tuple(map(float, range(8))))
SCHEDULE = "3:0.5,17:0.3,22:0"


def stats(median: float, spread: float | None = 0.03) -> Stats:
    """Five samples around ``median``; ``spread`` is the half-width of the interval."""
    samples = tuple(median * factor for factor in (0.97, 0.99, 1.0, 1.01, 1.04))
    return Stats(
        median, samples, None if spread is None else (median * (1 - spread), median * (1 + spread))
    )


def timing(scale: float = 1.0, spread: float | None = 0.03) -> Timing:
    """A whole set of stages that add up; ``scale`` shrinks what dropping shrinks."""
    return Timing(
        preprocess_s=stats(0.00412, spread),
        vision_s=stats(0.0187, spread),
        prefill_s=stats(0.214 * scale, spread),
        time_to_first_token_s=stats(0.02282 + 0.214 * scale, spread),
        decode_s_per_token=stats(0.0123, spread),
        generate_s=stats(0.2032 + 0.214 * scale, spread),
        wall_s=stats(0.2036 + 0.214 * scale, spread),
        media_s=stats(0.0061, spread),
        end_to_end_s=stats(0.01022 + 0.2036 + 0.214 * scale, spread),
    )


def drops(*counts: int, layers: tuple[int, ...] = (3, 17, 22, 26, 28, 30)) -> tuple[Drop, ...]:
    """Drops from the first count to the last, keeping the leading positions."""
    pairs = zip(layers, counts, counts[1:], strict=False)
    return tuple(
        Drop(layer, before, after, (tuple(range(5, 5 + after)),)) for layer, before, after in pairs
    )


def dense(text: str = "Two people are crossing the street.", **changes: Any) -> ArmResult:
    """The reference arm."""
    arm = ArmResult(
        label="dense",
        method=None,
        schedule=None,
        answer=Answer(text, (5, 6, 7, 8)),
        vision_tokens=576,
        layer_average_vision_tokens=576.0,
        drops=(),
        timing=timing(),
        memory=Memory(13_500_000_000, 330_301_440, 15_032_385_536, 15_900_000_000, None, None),
    )
    return replace(arm, **changes)


def dropped(
    label: str = "v2drop", text: str = "Two people are crossing the street.", **changes: Any
) -> ArmResult:
    """An arm with the paper's schedule."""
    arm = ArmResult(
        label=label,
        method=label.split(" ")[0],
        schedule=SCHEDULE,
        answer=Answer(text, (5, 6, 7, 8)),
        vision_tokens=576,
        layer_average_vision_tokens=193.4375,
        drops=drops(576, 288, 86, 0),
        timing=timing(0.46),
        memory=Memory(13_500_000_000, 129_499_136, 14_495_514_624, 15_100_000_000, None, None),
    )
    return replace(arm, **changes)


def comparison(arm: str = "v2drop", **changes: Any) -> Comparison:
    """A clear win in prefill, none in decode."""
    found = Comparison(
        arm=arm,
        reference="dense",
        prefill_speedup=Ratio(2.174, (2.09, 2.26)),
        decode_speedup=Ratio(1.004, (0.97, 1.05)),
        generate_speedup=Ratio(1.39, (1.33, 1.44)),
        peak_memory_ratio=1.037,
        kv_cache_ratio=2.55,
        answers_identical=True,
        token_agreement=1.0,
        first_divergence=None,
    )
    return replace(found, **changes)


def against_random(
    ratio: float, arm: str = "v2drop", reference: str = "random", **changes: Any
) -> Comparison:
    """Against random selection of as many tokens: ``ratio`` in prefill, and nothing in decode."""
    speedups = {
        "prefill_speedup": Ratio(ratio, (ratio - 0.004, ratio + 0.004)),
        "generate_speedup": Ratio(1 + (ratio - 1) / 3, (ratio - 0.03, ratio + 0.04)),
        "peak_memory_ratio": 1.0,
        "kv_cache_ratio": 1.0,
    }
    return comparison(arm, reference=reference, **speedups, **changes)


def null_comparison() -> Comparison:
    """Dense against dense."""
    return comparison(
        "dense",
        prefill_speedup=Ratio(1.0, (0.98, 1.02)),
        decode_speedup=Ratio(1.001, (0.96, 1.04)),
        generate_speedup=Ratio(0.999, (0.98, 1.02)),
        peak_memory_ratio=1.0,
        kv_cache_ratio=1.0,
    )


def request(**changes: Any) -> Request:
    """What was asked for: LLaVA on a GPU."""
    asked = Request(
        model="llava-1.5-7b",
        resolved_id="llava-hf/llava-1.5-7b-hf",
        revision="b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
        weights="trained",
        media=(IMAGE,),
        prompt="What are the people doing?",
        attn_implementation="sdpa",
        dtype="bfloat16",
        device="cuda:0",
        seed=0,
        max_new_tokens=64,
        repeats=5,
        warmup=1,
        timed_new_tokens=16,
    )
    return replace(asked, **changes)


def report(**changes: Any) -> Report:
    """Dense and v2drop on a GPU, with a noise floor."""
    whole = Report(
        environment={"device": "NVIDIA H100 80GB HBM3", "torch": "2.9.1"},
        request=request(),
        arms=(dense(), dropped()),
        comparisons=(comparison(),),
        null_comparison=null_comparison(),
        warnings=(),
    )
    return replace(whole, **changes)


def on_cpu(arm: ArmResult, rss: int = 912_261_120) -> ArmResult:
    """``arm`` with what a CPU can tell of memory."""
    memory = Memory(47_185_920, arm.memory.kv_cache_bytes, rss_peak_bytes=rss)
    return replace(arm, memory=memory)


def dummy_report() -> Report:
    """Dummy weights on a CPU, a video, answers that mean nothing."""
    return report(
        environment={"device": "cpu"},
        request=request(
            model="tiny",
            resolved_id="tiny",
            revision=None,
            weights="dummy",
            media=(VIDEO,),
            dtype="float32",
            device="cpu",
        ),
        arms=(
            on_cpu(dense("zebra of of 7 the")),
            on_cpu(dropped(text="zebra zebra lamp")),
        ),
        comparisons=(
            comparison(
                answers_identical=False,
                token_agreement=0.25,
                first_divergence=1,
                peak_memory_ratio=1.0,
            ),
        ),
        null_comparison=None,
        warnings=(Caveat("few-repeats", "5 repeats give a wide interval; 20 or more are better"),),
    )


def protocol(**changes: Any) -> Protocol:
    """Stopped by precision after twelve rounds; scoring costs 1.4 ms."""
    found = Protocol(
        rounds=12,
        invalid_rounds=0,
        machine=(MachineState(1980, 312.5, 61, (), 0),) * 13,
        idle_power_w=74.1,
        stopped_by="precision",
        partial=False,
        precision=0.01,
        reached_precision=0.0093,
        max_time_s=60.0,
        elapsed_s=8.4,
        null_timing=timing(),
        scoring_overheads=(Overhead("v2drop", "random", 0.0014, (0.0011, 0.0018), 0.00654),),
    )
    return replace(found, **changes)


def profiled() -> Report:
    """What ``v2drop profile`` measures."""
    parts = {
        "processor_s": stats(0.004),
        "transfer_s": stats(0.00012),
        "tower_s": stats(0.0171),
        "projector_s": stats(0.0011),
        "merging_s": stats(0.0005),
    }
    arms = (dense(), dropped(), dropped("random", "Two people are walking."))
    drop_s = (None, stats(0.0021), stats(0.0007))
    full = Limit(8_520_000_000_000, 13_500_000_000, 13_500_000_000, 13_900_000_000, 0.00415)
    less = replace(full, prefill_flops=3_700_000_000_000, decode_floor_s_per_token=0.00407)
    parted = {"answers_identical": False, "token_agreement": 0.625, "first_divergence": 3}
    ideal = {"ideal_prefill_speedup": 2.303, "realised_over_ideal": 0.944}
    return report(
        request=request(repeats=10, batch_size=2),
        arms=tuple(
            replace(
                arm,
                timing=replace(arm.timing, **parts, drop_s=own),
                limit=full if own is None else less,
            )
            for arm, own in zip(arms, drop_s, strict=True)
        ),
        comparisons=(comparison(**ideal), comparison("random", **parted, **ideal)),
        protocol=protocol(),
        random_comparisons=(against_random(0.996, answers_identical=False),),
    )


def explained() -> Report:
    """The same with ``--explain``: the first update is mostly shared, the last moved nobody."""
    moved = (
        Movement(3, 576, 0.93, 0.12),
        Movement(17, 288, 0.31, 0.44),
        Movement(22, 86, None, None),
    )
    whole = profiled()
    arms = tuple(
        replace(arm, movements=moved if arm.method == "v2drop" else ()) for arm in whole.arms
    )
    return replace(whole, arms=arms)


def quantised() -> Report:
    """A decoder that computes with four bits, simulated."""
    caveat = CaveatKind.FAKE_QUANT.caveat(bits="w4a4")
    return report(request=request(fake_quant="w4a4"), warnings=(caveat,))


def dense_only() -> Report:
    """Nothing to compare."""
    return report(arms=(dense(),), comparisons=(), null_comparison=None)


def four_arms() -> Report:
    """Rival methods and schedules, one of them slower, one with many drops."""
    long = "3:0.8,8:0.8,12:0.8,17:0.5,22:0.5,26:0"
    return report(
        arms=(
            dense(),
            dropped(),
            dropped("random", "Two people are walking."),
            dropped(
                f"v2drop {long}",
                schedule=long,
                drops=drops(576, 460, 368, 294, 147, 73, 0, layers=(3, 8, 12, 17, 22, 26)),
                layer_average_vision_tokens=301.5,
            ),
        ),
        comparisons=(
            comparison(),
            comparison(
                "random", answers_identical=False, token_agreement=0.625, first_divergence=3
            ),
            comparison(
                f"v2drop {long}",
                prefill_speedup=Ratio(0.91, (0.88, 0.93)),
                decode_speedup=None,
                generate_speedup=Ratio(1.01, None),
                kv_cache_ratio=0.8,
            ),
        ),
    )


METHODS = ("v2drop", "random", "uniform", "fastv:layer=2", "pact", "divprune", "dart", "sparsevlm")


def twelve_arms() -> Report:
    """Every rival at one schedule, and three schedules more: as many arms as are ever asked for."""
    schedules = ("2:0.25", "3:0.8,8:0.8,12:0.8,17:0.5,22:0.5,26:0", "0:0.11")
    pairs = [(method, SCHEDULE) for method in METHODS]
    pairs += [("v2drop", schedule) for schedule in schedules]
    labels = [f"{method} {schedule}" for method, schedule in pairs]
    arms = [
        dropped(
            label, method=method.split(":")[0], schedule=schedule,
            timing=timing(1 / (0.8 + place * 0.15)),
        )
        for place, (label, (method, schedule)) in enumerate(zip(labels, pairs, strict=True))
    ]  # fmt: skip
    comparisons = [
        comparison(
            label,
            prefill_speedup=Ratio(ratio, (ratio - 0.08, ratio + 0.09)),
            generate_speedup=Ratio(1 + ratio / 5, (1 + ratio / 6, 1 + ratio / 4)),
            answers_identical=place % 3 != 1,
        )
        for place, label in enumerate(labels)
        for ratio in [0.8 + place * 0.15]
    ]
    bar = labels[METHODS.index("random")]
    others = [
        against_random((0.8 + place * 0.15) / 0.95, label, bar)
        for place, label in enumerate(labels[: len(METHODS)])
        if label != bar
    ]
    return report(
        arms=(dense(), *arms), comparisons=tuple(comparisons), random_comparisons=tuple(others)
    )


RIVALS = {
    "v2drop": "3:0.5,17:0.3,22:0", "random": "3:0.5,17:0.3,22:0", "fastv": "2:167t",
    "pyramiddrop": "8:288t,16:144t,24:72t", "sparsevlm": "3:300t,7:200t,16:110t", "dart": "2:165t",
    "vtw": "11:0", "visionzip": "0:192t", "divprune": "0:192t", "holov": "0:192t",
    "scope": "0:192t",
}  # fmt: skip


def rivals() -> Report:
    """Twelve arms as ``--budget 192`` makes them: each method's own layers, one layer average.

    The prefills are as close as they come to be: what differs is what the methods look at.
    """
    labels = [f"{method} budget 192" for method in RIVALS]
    scales = [0.46 + 0.004 * place for place in range(len(labels))]
    arms = [
        dropped(label, schedule=schedule, timing=timing(scale), drops=drops(576, 288, 86, 0))
        for label, schedule, scale in zip(labels, RIVALS.values(), scales, strict=True)
    ]
    comparisons = [
        comparison(
            label,
            prefill_speedup=Ratio(1 / scale, (0.98 / scale, 1.02 / scale)),
            answers_identical=place % 4 != 3,
        )
        for place, (label, scale) in enumerate(zip(labels, scales, strict=True))
    ]
    others = [
        against_random(scales[1] / scale, label, labels[1])
        for label, scale in zip(labels, scales, strict=True)
        if label != labels[1]
    ]
    return report(
        arms=(dense(), *arms), comparisons=tuple(comparisons), random_comparisons=tuple(others)
    )


def unclear() -> Report:
    """Why nothing is claimed: the noise floor, a null that leaves 1, no interval."""
    equal = Stats(0.2, (0.2,) * 5)
    null = Timing(
        prefill_s=Stats(0.2, (0.15, 0.21, 0.2, 0.26, 0.2)),
        decode_s_per_token=Stats(0.19, (0.19, 0.191, 0.189, 0.19, 0.188)),
        generate_s=equal,
    )
    arm = dense(timing=Timing(prefill_s=equal, decode_s_per_token=equal, generate_s=equal))
    off = Ratio(1.05, (1.047, 1.064))
    return report(
        arms=(arm, dropped()),
        comparisons=(
            comparison(
                prefill_speedup=Ratio(1.15, (1.08, 1.21)),
                decode_speedup=Ratio(1.3, (1.2, 1.4)),
                generate_speedup=Ratio(1.4, None),
            ),
        ),
        null_comparison=comparison(
            "dense",
            prefill_speedup=Ratio(1.0, (0.77, 1.33)),
            decode_speedup=off,
            generate_speedup=Ratio(1.0, None),
        ),
        protocol=protocol(null_timing=null, reached_precision=None, scoring_overheads=()),
    )


def missing_values() -> Report:
    """Nothing could be measured."""
    nothing = Comparison("v2drop", "dense", None, None, None, None, None, True, 1.0, None)
    return report(
        environment={},
        request=request(media=(), revision=None),
        arms=(
            dense(timing=Timing(), memory=Memory()),
            dropped(timing=Timing(), memory=Memory()),
        ),
        comparisons=(nothing,),
        null_comparison=nothing,
    )


LONG = (
    "The picture shows a busy street crossing in the afternoon, with two people who walk from "
    "the left to the right while a tram waits behind them and a cyclist looks on."
)


def diverging() -> Report:
    """Long answers that part early, one of them in several lines."""
    return report(
        arms=(dense(LONG), dropped(text="The picture shows:\n- a street\n- two people\n- a tram")),
        comparisons=(
            comparison(answers_identical=False, token_agreement=0.0714, first_divergence=3),
        ),
        warnings=(Caveat("gpu-shared", "another process uses this GPU: timings are unreliable"),),
    )


HOSTILE = (
    "[red]not red[/red] \x1b[31mnor this\x1b[0m \x1b]0;title\x07 [link=http://x]x[/link]\r"
    "over\x08\x9b2J \u202egnp.exe :smile: 你好 naïve \ud800\n\n[/] " + "unbroken" * 12
)


def hostile() -> Report:
    """Everything a model or a file name may contain that a terminal must not act on."""
    bad = MediaRecord("/tmp/a\nb\x1b[2J\udcff[bold].png", "image", 4, 4, 1)
    return report(
        request=request(media=(bad,), prompt="line one\nline two \x1b[5m[blink]", model="m\x1b[0m"),
        arms=(dense(HOSTILE), dropped(text="")),
        comparisons=(comparison(answers_identical=False, token_agreement=0.0, first_divergence=0),),
        warnings=(Caveat("odd", "odd [red]name\x1b[0m"),),
    )


REPORTS = {
    "plain": report,
    "dummy": dummy_report,
    "dense_only": dense_only,
    "four_arms": four_arms,
    "twelve_arms": twelve_arms,
    "rivals": rivals,
    "unclear": unclear,
    "missing": missing_values,
    "diverging": diverging,
    "hostile": hostile,
    "profiled": profiled,
    "explained": explained,
    "quantised": quantised,
}
