"""Two questions to a GPU that are no profiles; ``benchmarks.gpu`` asks them.

    python -m benchmarks.gpu_checks --ask oracle --output FILE
    python -m benchmarks.gpu_checks --ask logits --output FILE

``oracle``: what ``v2drop doctor --prove`` asks, in float16 too: does dropping give what the masked
dense model gives, on this device, in every family, dtype and attention implementation? See
``docs/measuring.md`` for what the numbers mean.

``logits``: peak memory of a prefill with logits of all tokens and of the last only, dense and
dropped. The hypothesis: much of a published peak-memory gain was logits, which current
transformers no longer makes in ``generate``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import v2drop_cli
from benchmarks.result import origin, write
from benchmarks.shrink import SMALL_TEXT, changed
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.prompt import synthetic_inputs
from v2drop_cli.prove.plan import Asked
from v2drop_cli.prove.proof import FLOORS, Prover

SMALL_CASES = ("llava", "qwen2_vl")
ASSET = "llava-onevision-7b.json"


def oracle(device: str, small: bool) -> Iterator[dict[str, Any]]:
    """All answers so far, after each: whoever is stopped leaves what there is."""
    place = torch.device(device)
    wanted = [
        cell
        for dtype in FLOORS
        for cell in Asked(dtype=dtype).cells(place)[0]
        if not small or cell.case in SMALL_CASES
    ]
    # Time may end before they do: what is used most comes first.
    wanted.sort(key=lambda cell: (cell.attention != "sdpa", cell.dtype != "bfloat16"))
    prover, cells = Prover(place), []
    for cell in wanted:
        cells.append(asdict(prover.prove(cell)))
        failed = sum(found["ok"] is False for found in cells)
        yield {"cells": cells, "failed": failed, "wanted": len(wanted)}


def logits(device: str, small: bool) -> Iterator[dict[str, Any]]:
    """Peak bytes of one prefill over the weights, four ways; ``None`` on a CPU."""
    given = SyntheticInput(frames=2 if small else 32)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    with tempfile.TemporaryDirectory() as folder:
        name = ASSET.removesuffix(".json")
        if small:
            name = changed(ASSET, Path(folder), SMALL_TEXT, tower | {"num_hidden_layers": 2})
        dtype = "float32" if device == "cpu" else "bfloat16"
        loaded = v2drop_cli.load(name, device=device, dtype=dtype, weights="dummy", synthetic=given)
    inputs = synthetic_inputs(loaded, given)
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    budget = v2drop_cli.Schedule.parse("2:0.25")
    _prefill(loaded, tensors, None, 1)  # what libraries allocate once would be the first way's
    ways = {}
    for arm, schedule in (("dense", None), ("v2drop 2:0.25", budget)):
        for keep, what in ((0, "all tokens"), (1, "last token")):
            ways[f"{arm}, logits of {what}"] = _prefill(loaded, tensors, schedule, keep)
    yield {
        "model": ASSET.removesuffix(".json"),
        "dtype": dtype,
        "prompt_tokens": int(tensors["input_ids"].shape[1]),
        "vocabulary": int(loaded.model.config.get_text_config().vocab_size),
        "ways": ways,
    }


def _prefill(loaded: Any, tensors: Any, schedule: Any, keep: int) -> dict[str, Any]:
    from contextlib import nullcontext

    on_gpu = loaded.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else None
    how = v2drop_cli.dropping(loaded.model, schedule) if schedule else nullcontext()
    with torch.no_grad(), how:
        out = loaded.model(**tensors, use_cache=True, logits_to_keep=keep)
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    made = out.logits.numel() * out.logits.element_size()
    over = peak - before if peak is not None and before is not None else None
    return {"logits_bytes": made, "peak_bytes": peak, "peak_over_weights_bytes": over}


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ask", choices=("oracle", "logits"), required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    head = origin(torch.device(args.device))
    for answer in {"oracle": oracle, "logits": logits}[args.ask](args.device, args.small):
        write(args.output, head | answer)


if __name__ == "__main__":
    main()
