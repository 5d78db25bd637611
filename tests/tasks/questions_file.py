"""Files of questions for the tests, about small pictures."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

WORDS = ["what", "color", "is", "the", "blue", "shape", "left", "of", "the", "red", "circle"]


def write_pictures(folder: Path, count: int = 3) -> list[str]:
    names = []
    for number in range(count):
        name = f"{number}.png"
        Image.radial_gradient("L").rotate(40 * number).resize((24, 24)).convert("RGB").save(
            folder / name
        )
        names.append(name)
    return names


def write_questions(folder: Path, count: int = 6) -> Path:
    """Questions of different lengths, about one picture or two."""
    pictures = write_pictures(folder)
    lines = []
    for number in range(count):
        shown = {"image": pictures[number % 3]} if number % 3 else {"images": pictures[:2]}
        question = " ".join(WORDS[: 1 + 2 * (number % 5)])
        line = {**shown, "question": question, "answers": ["red"], "group": f"g{number % 2}"}
        lines.append(json.dumps(line))
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def add_line(path: Path, **fields: object) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(fields) + "\n")
