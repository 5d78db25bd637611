"""Two questions to a GPU that are no profiles; ``benchmarks.gpu`` asks them.

    python -m benchmarks.gpu_checks --ask oracle --output FILE
    python -m benchmarks.gpu_checks --ask logits --output FILE

``oracle``: does dropping give what the masked dense model gives, on this device, in every family,
dtype and attention implementation? The reference is the dense model in float32 and eager
attention, on the same device, with the dropped tokens masked from their layer on. An error is the
largest difference of logits as a share of their standard deviation. It may be three times what
the dense model itself loses to that dtype and kernel, or the floor in ``FLOORS``.

``logits``: peak memory of a prefill with logits of all tokens and of the last only, dense and
dropped. The hypothesis: much of a published peak-memory gain was logits, which current
transformers no longer makes in ``generate``.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import v2drop_cli
from benchmarks.result import origin, write
from benchmarks.shrink import SMALL_TEXT, changed
from tests.families import CASES
from v2drop_cli.prove import oracle as masked_oracle
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.prompt import synthetic_inputs

STEPS = 4
# The tests have no annotations.
decode: Any = masked_oracle.decode
masked: Any = masked_oracle.masked
FACTOR = 3.0
FLOORS = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
SMALL_CASES = ("llava", "qwen2_vl")
ASSET = "llava-onevision-7b.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One family, on one device, with one dtype and attention implementation."""

    case: str
    device: str
    dtype: str
    attention: str

    def check(self) -> dict[str, Any]:
        """The two errors and whether they fit; an exception is an answer too."""
        found: dict[str, Any] = {"dtype": self.dtype, "attention": self.attention}
        try:
            dropped, dense = self._errors()
        except Exception as error:  # of a kernel, a driver, transformers
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            return found | {"family": self.case, "ok": False, "error": first[:300]}
        if not (math.isfinite(dropped) and math.isfinite(dense)):
            errors = f"not finite: dropped {dropped}, dense {dense}"
            return found | {"family": self.case, "ok": False, "error": errors}
        allowed = max(FACTOR * dense, FLOORS[self.dtype])
        return found | {
            "family": self.case,
            "ok": dropped <= allowed,
            "dropped_error": dropped,
            "dense_error": dense,
            "allowed": allowed,
        }

    def _errors(self) -> tuple[float, float]:
        case = CASES[self.case]
        inputs, vision = case.batch(case.prompts("ragged"))
        exact = case.make("eager").to(self.device)
        model = case.make(self.attention).to(self.device, getattr(torch, self.dtype))
        inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        ours = _cast(inputs, getattr(torch, self.dtype))
        with torch.device(self.device):  # the oracle makes its masks there
            wanted, tokens = decode(exact, inputs, STEPS)
            got, _ = decode(model, ours, STEPS, tokens)
            dense = _error(got, wanted, inputs["attention_mask"].bool())
            with v2drop_cli.dropping(model, case.schedule) as trace:
                got, _ = decode(model, ours, STEPS, tokens)
            gone, alive = {}, [set(row) for row in vision]
            for event in trace.events:
                kept = [set(row) for row in event.kept]
                gone[event.layer] = [a - k for a, k in zip(alive, kept, strict=True)]
                alive = kept
            padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
            with masked(case.layers(exact), padding, gone):
                wanted, _ = decode(exact, inputs, STEPS, tokens)
            survivors = inputs["attention_mask"].bool().clone()
            for rows in gone.values():
                for b, columns in enumerate(rows):
                    survivors[b, list(columns)] = False
            return _error(got, wanted, survivors), dense


def _cast(inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {n: t.to(dtype) if n.startswith("pixel_values") else t for n, t in inputs.items()}


def _error(got: list[Tensor], wanted: list[Tensor], where: Tensor) -> float:
    """Largest difference, of the prompt's logits at ``where`` and all later ones, in deviations."""
    ours = torch.cat([got[0][where], *(step[:, 0] for step in got[1:])]).float()
    theirs = torch.cat([wanted[0][where], *(step[:, 0] for step in wanted[1:])]).float()
    return float((ours - theirs).abs().max() / theirs.std())


def oracle(device: str, small: bool) -> Iterator[dict[str, Any]]:
    """All cells so far, after each: whoever is stopped leaves what there is."""
    torch.backends.cuda.matmul.allow_tf32 = False
    attentions = ["eager", "sdpa"]
    if importlib.util.find_spec("flash_attn") and device == "cuda":
        attentions.append("flash_attention_2")
    wanted = [
        Cell(name, device, dtype, attention)
        for name in (SMALL_CASES if small else CASES)
        for dtype in FLOORS
        for attention in attentions
        if not (dtype == "float32" and attention.startswith("flash"))
    ]
    # Time may end before they do: what is used most comes first.
    wanted.sort(key=lambda cell: (cell.attention != "sdpa", cell.dtype != "bfloat16"))
    cells: list[dict[str, Any]] = []
    for cell in wanted:
        cells.append(cell.check())
        failed = sum(not found["ok"] for found in cells)
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
