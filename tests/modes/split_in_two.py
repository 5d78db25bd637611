"""One of two processes that share a model: python -m tests.modes.split_in_two FOLDER OUT.

FOLDER has the checkpoint ``model`` and ``questions.jsonl``; what this process found goes to OUT.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from typer.testing import CliRunner

import v2drop_cli as v2drop
from tests.instrument.test_oracle import decode
from tests.tiny_llava import mixed_batch
from v2drop_cli.cli import app
from v2drop_cli.methods.mixing import fingerprint

METHODS = {"v2drop": "1:0.5,3:0.5", "fastv": "2:0.3", "divprune": "0:0.4", "random": "1:0.5"}
"""By what the model moved, by its attention, by what its layers are given, and by nothing."""
LITTLE = ("--device", "cpu", "--schedule", "2:0.5", "--max-new-tokens", "2", "--json")
PICTURE = ("--image", "0.png", "--prompt", "what is it?", "--warmup", "0", "--repeats", "1")
COMMANDS = {
    "run": ("run", *PICTURE, *LITTLE, "--output", "run.json"),
    # Time is over at different moments: how many rounds there are is the first one's to say.
    "profile": ("profile", *PICTURE[:-2], "--max-time", "0.3", "--new-tokens", "2", *LITTLE),
    "eval": ("eval", "questions.jsonl", "--batch-size", "2", *LITTLE, "--output", "rows"),
    "again": ("eval", "questions.jsonl", "--batch-size", "2", *LITTLE, "--output", "rows",
              "--resume", "--limit", "6"),
}  # fmt: skip


def dropped(loaded):
    """By method: what each drop kept, and the logits of three tokens."""
    found, inputs = {}, mixed_batch()
    with torch.no_grad():
        for method, schedule in METHODS.items():
            with v2drop.dropping(loaded, schedule, method=method) as trace:
                logits, _ = decode(loaded.model, inputs, 2, torch.full((2, 4), 7))
            kept = [[list(row) for row in event.kept] for event in trace.events]
            found[method] = (kept, logits)
    return found


def commands(names, *more):
    """By command: how it left, and what it said."""
    found = {}
    for name in names:
        words = COMMANDS[name]
        limit = ("--limit", "4") if name == "eval" else ()
        result = CliRunner().invoke(app, [*words, *limit, "--model", "model", *more])
        found[name] = (result.exit_code, result.stdout, result.stderr)
    return found


def main(folder, out):
    os.chdir(folder)
    loaded = v2drop.load("model", device="cpu", dtype="float32", tp_plan="auto")
    split = type(loaded.family.layers(loaded.model)[0].self_attn.q_proj.weight).__name__
    found = {"split": split, "dropped": dropped(loaded), "print": fingerprint(loaded.model)}
    torch.save(found, f"{out}.pt")
    Path(f"{out}.json").write_text(
        json.dumps(commands(COMMANDS, "--tp-plan", "auto")), encoding="utf-8"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
