"""``v2drop profile``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli.followers import follows
from v2drop_cli.cli.groups.dropping_options import ProfileDropping
from v2drop_cli.cli.groups.gate_options import GateOptions
from v2drop_cli.cli.groups.measuring_options import ProfileMeasuring
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.groups.model_options import LargeModelOptions
from v2drop_cli.cli.groups.output_options import ProfileOutput
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.output import settle, show, watching
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import InvalidMeasurementError

if TYPE_CHECKING:
    from v2drop_cli.judge.value_gates import Gate
    from v2drop_cli.records import Report
    from v2drop_cli.records.changes import GateResult


@command
def profile(
    given: MediaOptions,
    dropping: ProfileDropping,
    model: LargeModelOptions,
    measuring: ProfileMeasuring,
    gating: GateOptions,
    output: ProfileOutput,
) -> None:
    """Measure dense, dropping and random until the numbers hold.

    \b
    v2drop profile --image sample_media/scene.png
    v2drop profile --video clip.mp4 --ratios 0.5,0.25 --output report.json
    v2drop profile --model llava-1.5-7b --image cat.jpg --fail-if "prefill_speedup<1.2"
    v2drop profile --model llava-1.5-7b --weights dummy --image-size 336x336
    """
    arms = dropping.arms(measuring.seed)
    load = model.load_options(measuring.seed)
    gates = gating.gates()
    measuring.check(model.tp_plan)
    load = given.checked(load)
    files = output.files(given.files)

    media = given.open()
    with files.held():
        with telling() as tell:
            tell(Progress(Phase.STARTING))
            from v2drop_cli.commands.profile import ProfileOptions  # torch comes with it
            from v2drop_cli.commands.profile import profile as measure

            options = ProfileOptions(
                prompt=given.question(model.model, load),
                model_name=model.model,
                arms=arms,
                stop=measuring.stop_rule(),
                with_random=not dropping.no_random,
                max_new_tokens=measuring.max_new_tokens,
                new_tokens=measuring.new_tokens,
                warmup=measuring.warmup,
                batch_size=measuring.batch_size,
                synthetic=load.synthetic,
                decode=measuring.decode,
                explain=measuring.explain,
                labels=tuple(gate.arm for gate in gates if gate.arm is not None),
            )
            tell(Progress(Phase.LOADING, what=model.model))
            loaded = load_for(arms, given.kinds(load), model.model, load)
            media = given.fitted(loaded, media, options.prompt, options.most_new_tokens)
            report = measure(loaded, media, options, watching(tell, files, load.weights))
        show(report, output.json)  # first: whatever becomes of the files
        files.finish(report, media)
    leave_if_partial(report)
    settle(_judged(gates, report, arms.methods), gating.strict)


def _judged(gates: Sequence[Gate], report: Report, methods: Sequence[str]) -> Sequence[GateResult]:
    """The gates' outcomes; a process that follows another one judges nothing.

    Raises:
        InvalidMeasurementError: the report is not to be judged.
    """
    if follows():
        return ()
    from v2drop_cli.commands.profile import invalid
    from v2drop_cli.judge.value_gates import judged_gates

    useless = invalid(report.protocol)
    if useless is not None:
        raise InvalidMeasurementError(useless, hint="let it cool, or free it, and measure again")
    return judged_gates(gates, report, methods)
