"""A local task for lmms-eval: drawn ``shapes`` questions, as files that ``v2drop eval`` reads too.

Three tasks of one data file: answers that are generated, choices that are judged by their loss,
and questions in two rounds.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from v2drop_cli.tasks.built_in import Shapes

ASKED, JUDGED, ROUNDS = "v2drop_shapes", "v2drop_shapes_judged", "v2drop_shapes_rounds"
LONGEST = 24
CHOICES = ("red", "green", "blue", "yellow")
_SHARED = """
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
doc_to_visual: !function shown.doc_to_visual
doc_to_text: "{{{{question}}}}"
"""
_GENERATED = """
output_type: generate_until
doc_to_target: "{{{{answers[0]}}}}"
generation_kwargs:
  max_new_tokens: {longest}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: true
"""
_JUDGED = """
output_type: multiple_choice
doc_to_choice: {choices}
doc_to_target: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
_IN_ROUNDS = """
output_type: generate_until_multi_round
doc_to_target: "{{{{answers[0]}}}}"
generation_kwargs:
  max_new_tokens: {longest}
process_results: !function shown.process_results
doc_to_text: !function shown.doc_to_text
metric_list:
  - metric: last_answer
    aggregation: mean
    higher_is_better: true
"""
_SHOWN = '''"""What a question shows, and how it goes on."""

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent


def doc_to_visual(doc):
    return [Image.open(FOLDER / name).convert("RGB") for name in doc["images"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None, previous_output=None, round_idx=None, **known):
    if round_idx is None:
        return doc["question"]
    return doc_to_visual(doc), doc["question"], round_idx == 2, previous_output, None


def process_results(doc, results):
    [said] = results
    first, last = said
    assert first == last, said  # the same question twice
    return {"last_answer": float(last == doc["answers"][0])}
'''


def write_tasks(folder: Path, rows: int) -> Path:
    """The tasks with the first ``rows`` questions; the data file, which has them all."""
    lines = []
    for row in islice(Shapes().rows(), rows):
        names = []
        for medium in row.show(8):
            names.append(medium.path.name)
            medium.frames[0].save(folder / medium.path.name)
        line = {"images": names, "question": row.asked, "answers": list(row.answers)}
        lines.append(json.dumps({**line, "group": row.group}))
    data = folder / "questions.jsonl"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "shown.py").write_text(_SHOWN, encoding="utf-8")
    shared = _SHARED.format(data=data)
    bodies = {
        ASKED: _GENERATED.format(longest=LONGEST),
        JUDGED: _JUDGED.format(choices=json.dumps(CHOICES)),
        ROUNDS: _IN_ROUNDS.format(longest=LONGEST),
    }
    for name, body in bodies.items():
        head = shared if name != ROUNDS else shared.rpartition("doc_to_text")[0]
        text = f"task: {name}{head}{body}"
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return data
