"""Drawn pictures with questions, as files: python -m benchmarks.tiny.drawn FOLDER

``FOLDER/questions.jsonl`` is what ``v2drop train-metacompress`` reads. Held-out questions are
drawn from other seeds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tiny.model import SIDE
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import SCENE_TASKS, questions_for
from v2drop_cli.tasks.drawn.scenes import sample_scene


def draw(folder: Path, count: int, seed: int) -> Path:
    """Write ``count`` pictures with a question each; return the file of questions."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        rng = random.Random(f"drawn {seed} {number}")
        scene = sample_scene(rng)
        name = f"{number:05}.png"
        render(scene, SIDE).save(folder / name)
        [question] = questions_for(scene, SCENE_TASKS, 1, rng)
        lines.append(json.dumps({"image": name, "question": question.text}))
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    print(draw(args.folder, args.count, args.seed))


if __name__ == "__main__":
    main()
