"""Does ``profile`` see nothing where nothing is, and something where something is?

    python -m benchmarks.aa_study

Twenty profiles of dense against dense under another label, and twenty of dense against dense
slowed down by 5 %, in turn, on the embedded model on the CPU: through the code that
``v2drop profile`` runs, verdicts included. Wanted: "within noise"
at least 19 times of the first, "slower" at least 19 times of the second. About half an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.stopping import StopRule
from v2drop_cli.commands.profile import ProfileOptions, profile
from v2drop_cli.instrument.hooks import After, Before, hooked
from v2drop_cli.instrument.trace import DropTrace
from v2drop_cli.media import Media, load_image
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import DENSE, Report
from v2drop_cli.records.metrics import METRICS

OUTPUT = RESULTS / "aa-study.json"
SLOWDOWN = 0.05
AGAIN = "dense, again"
SCENE = Path(__file__).parents[1] / "sample_media" / "scene.png"


@contextmanager
def slowed(loaded: LoadedModel, share: float) -> Iterator[DropTrace]:
    """Make every forward of the decoder take ``share`` longer than it does, busily.

    A share of each forward's own time, not a fixed wait: so it is 5 % of whatever the machine
    gives at that moment.
    """
    decoder = loaded.family.decoder(loaded.model)
    began: list[float] = []

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        began[:] = [time.perf_counter()]

    def wait(output: Any) -> None:
        now = time.perf_counter()
        until = now + share * (now - began[0])
        while time.perf_counter() < until:
            pass

    with hooked(Before(decoder, begin), After(decoder, wait)):
        yield DropTrace()


@dataclass(frozen=True, slots=True)
class DenseAgain(Arm):
    """Dense under another label, slowed down by ``share``; with 0 nothing is hooked."""

    share: float = 0.0

    def applied(self, loaded: LoadedModel, mark: Any = None) -> Any:
        """The context in which ``loaded`` runs this way."""
        return slowed(loaded, self.share) if self.share else Arm.applied(self, loaded, mark)


@dataclass(frozen=True, slots=True)
class DenseTwice(ArmOptions):
    """Dense and :class:`DenseAgain`, in place of methods at schedules."""

    share: float = 0.0

    def resolve(self, loaded: LoadedModel, n_vision: int) -> list[Arm]:
        """The two arms; ``profile`` adds its null."""
        return [Arm(DENSE), DenseAgain(AGAIN, share=self.share)]


@dataclass(frozen=True, slots=True)
class Study:
    """What the study runs on.

    Attributes:
        profiles: of each kind.
        stop: when a profile ends.
    """

    loaded: LoadedModel
    media: Sequence[Media]
    profiles: int
    stop: StopRule

    def options(self, seed: int, share: float) -> ProfileOptions:
        """One profile; the seed is of the arms' order."""
        return ProfileOptions(
            prompt="what color is the triangle?",
            model_name="tiny",
            arms=DenseTwice(methods=(), seed=seed, share=share),
            stop=self.stop,
            with_random=False,
            max_new_tokens=2,
            new_tokens=2,
            warmup=1,
        )

    def run(self) -> Iterator[dict[str, Any]]:
        """All profiles, the two kinds in turn, each as soon as it is done."""
        for seed in range(self.profiles):
            for share in (0.0, SLOWDOWN):
                report = profile(self.loaded, self.media, self.options(seed, share))
                yield summary(report, seed, share)


def summary(report: Report, seed: int, share: float) -> dict[str, Any]:
    """One profile: its verdicts, and the raw samples."""
    [found], null, protocol = report.comparisons, report.null_comparison, report.protocol
    assert null is not None
    assert protocol is not None
    timings = (report.arms[0].timing, protocol.null_timing, report.arms[1].timing)
    metrics = {}
    for row in METRICS:
        ratio, floor = row.speedup(found), row.speedup(null)
        said = found.verdict(row.against or row.name)
        if ratio is None and floor is None:
            continue
        metrics[row.name] = {
            "verdict": None if said is None else said.verdict,
            "ratio": None if ratio is None else asdict(ratio),
            "null": None if floor is None else asdict(floor),
        }
    return {
        "injected_slowdown": share,
        "seed": seed,
        "rounds": protocol.rounds,
        "stopped_by": protocol.stopped_by,
        "reached_precision": protocol.reached_precision,
        "elapsed_s": round(protocol.elapsed_s, 3),
        "metrics": metrics,
        "prefill_s": {
            name: [round(s, 7) for s in timing.prefill_s.samples] if timing.prefill_s else None
            for name, timing in zip((DENSE, "null", AGAIN), timings, strict=True)
        },
    }


def main() -> None:
    """Run the study, save it after every profile, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--profiles", type=int, default=20, help="of each kind")
    parser.add_argument("--max-time", type=float, default=60.0, help="seconds of one profile")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    head = origin()
    stop = replace(StopRule(), max_time_s=args.max_time)
    study = Study(v2drop_cli.load("tiny", device="cpu"), [load_image(SCENE)], args.profiles, stop)
    began, done = time.monotonic(), []
    for item in study.run():
        done.append(item)
        found = item["metrics"]["prefill"]
        kind = "slowed" if item["injected_slowdown"] else "A/A"
        said = f"{kind} {item['seed']}: {found['verdict']} {found['ratio']['ci95']}"
        print(f"{said}, {item['rounds']} rounds", file=sys.stderr, flush=True)
        elapsed = {"elapsed_s": round(time.monotonic() - began, 1)}
        write(args.output, head | {"slowdown": SLOWDOWN} | elapsed | {"profiles": done})
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
