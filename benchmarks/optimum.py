"""What optimum-benchmark says of the same dense model: do two tools see the same times?

    python -m benchmarks.optimum

A Qwen2-VL-2B with random weights is saved once and loaded by both: one image of the same size,
the same number of prompt and new tokens, the same attention. optimum-benchmark's *prefill* ends at
the first call of its logits processor and includes the vision tower, so it stands beside the time
from the start of the forward to the first token; its *decode* holds all later tokens. Of the
families that v2drop serves, version 0.6.0 makes inputs with image tokens for Qwen2-VL only.
Skipped by ``benchmarks.gpu`` where optimum-benchmark is not installed; v2drop never needs it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from benchmarks.shrink import SMALL_MROPE, SMALL_QWEN, SMALL_TEXT, changed
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import DENSE

OUTPUT = RESULTS / "optimum.json"
ASSET = "qwen2-vl-2b.json"
NEW_TOKENS = 16
TEXT_TOKENS = 64


def ours(loaded: LoadedModel, given: SyntheticInput, budget_s: float) -> dict[str, Any]:
    """Dense generations through v2drop's passes, for ``budget_s`` seconds after two warm ones."""
    with Nvml(loaded.device) as nvml:
        passes = Passes(Subject(loaded, (), given.prompt, synthetic=given), nvml)
        clock = clock_for(loaded.device)
        dense = Arm(DENSE)
        times: list[StageTimes] = []
        for _ in range(2):
            passes.time(dense, clock, NEW_TOKENS)
        began = time.monotonic()
        while len(times) < 3 or time.monotonic() - began < budget_s:
            times.append(passes.time(dense, clock, NEW_TOKENS))
    return {
        "prompt_tokens": int(passes.inputs.tensors["input_ids"].shape[1]),
        "vision_tokens": passes.vision_tokens,
        "first_token_s": [(found.vision_s or 0.0) + found.prefill_s for found in times],
        "decode_s_per_token": [found.decode_s_per_token for found in times],
    }


def theirs(folder: str, shapes: dict[str, int], options: dict[str, str], budget_s: float) -> Any:
    """The same through optimum-benchmark, in this process."""
    import transformers

    # Version 0.6.0 imports a name for its annotations that transformers 5 no longer has.
    transformers.__dict__.setdefault("SpecialTokensMixin", object)
    from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, PyTorchConfig
    from optimum_benchmark.launchers import InlineConfig

    config = BenchmarkConfig(
        name="dense",
        launcher=InlineConfig(),
        backend=PyTorchConfig(
            model=folder,
            task="image-text-to-text",
            library="transformers",
            device=options["device"],
            device_ids="0" if options["device"] == "cuda" else None,
            torch_dtype=options["dtype"],
            attn_implementation=options["attention"],
        ),
        scenario=InferenceConfig(
            input_shapes={"batch_size": 1, "num_images": 1, "num_channels": 3, **shapes},
            generate_kwargs={"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS},
            warmup_runs=2,
            iterations=3,
            duration=max(1, round(budget_s)),
        ),
    )
    report = Benchmark.launch(config)
    later = NEW_TOKENS - 1
    return {
        "version": importlib.metadata.version("optimum-benchmark"),
        "first_token_s": list(report.prefill.latency.values),
        "decode_s_per_token": [seconds / later for seconds in report.decode.latency.values],
    }


def measure(model: str, side: int, options: dict[str, str], budget_s: float) -> dict[str, Any]:
    """Both tools on one saved model."""
    device, dtype = options["device"], options["dtype"]
    given = SyntheticInput(sizes=((side, side),), text_tokens=TEXT_TOKENS)
    loaded = v2drop_cli.load(model, device=device, dtype=dtype, weights="dummy", synthetic=given)
    options = options | {"attention": loaded.attn_implementation}
    head = origin(loaded.device) | options
    mine = ours(loaded, given, budget_s)
    config = loaded.model.config
    with tempfile.TemporaryDirectory() as folder:
        loaded.model.save_pretrained(folder)
        del loaded
        shapes = {
            "sequence_length": mine["prompt_tokens"] - mine["vision_tokens"],
            "height": side,
            "width": side,
            # Flattened configurations hide the tower's numbers behind the decoder's.
            "patch_size": config.vision_config.patch_size,
            "temporal_patch_size": config.vision_config.temporal_patch_size,
            "spatial_merge_size": config.vision_config.spatial_merge_size,
            "image_token_id": config.image_token_id,
            "vocab_size": min(config.image_token_id, config.vision_start_token_id),
        }
        other = theirs(folder, shapes, options, budget_s)
    ratios = {
        name: statistics.median(other[name]) / statistics.median(mine[name])
        for name in ("first_token_s", "decode_s_per_token")
    }
    return head | {"v2drop": mine, "optimum_benchmark": other, "theirs_over_ours": ratios}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--side", type=int, default=448, help="of the image; a multiple of 28")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each tool")
    parser.add_argument("--small", action="store_true", help="a tiny model: does it run at all?")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    if importlib.util.find_spec("optimum_benchmark") is None:
        parser.error("it needs optimum-benchmark, which is not installed: see its own page")
    options = {"device": args.device, "dtype": args.dtype}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        model = ASSET.removesuffix(".json")
        if args.small:
            text = {**SMALL_TEXT, "rope_parameters": SMALL_MROPE}
            model = changed(ASSET, Path(name) / model, text, SMALL_QWEN)
        write(args.output, measure(model, args.side, options, args.budget))
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
