"""``v2drop train-metacompress``, from questions to weights that a method runs with."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from v2drop_cli.cli import app

RUNNER = CliRunner()


@pytest.fixture
def questions(tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32), "navy").save(tmp_path / "a.png")
    path = tmp_path / "questions.jsonl"
    line = {"image": "a.png", "question": "what is the color of the shape?"}
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    return path


def fit(questions, *more):
    output = questions.with_name("mixtures.safetensors")
    asked = ("train-metacompress", str(questions), "--channels", "4", "--answer-tokens", "1")
    return RUNNER.invoke(app, [*asked, "--output", str(output), *more]), output


def test_weights_are_fitted_and_used(questions):
    done, output = fit(questions, "--steps", "2", "--keep", "2%")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{output}: 1 examples, 2 steps\n")
    assert "step 2 of 2" in done.stderr
    assert sorted(path.name for path in questions.parent.iterdir()) == [
        "a.png",
        "mixtures.safetensors",
        "questions.jsonl",
    ]
    image = str(questions.with_name("a.png"))
    method = f"metacompress:weights={output}"
    answered = RUNNER.invoke(
        app,
        ["run", "--image", image, "--method", method, "--schedule", "0:9t", "--repeats", "1",
         "--warmup", "0", "--max-new-tokens", "2", "--json"],
    )  # fmt: skip
    assert answered.exit_code == 0, answered.output
    arm = json.loads(answered.stdout)["arms"][1]
    assert arm["drops"][0]["after"] == 9
    assert arm["parameters"]["weights"] == str(output)


def test_what_is_wrong_is_told_before_a_model_is_loaded(questions):
    questions.write_text("{}\n", encoding="utf-8")
    done, output = fit(questions)
    assert done.exit_code == 2
    assert "line 1 has no image" in done.stderr
    assert not output.exists()
    done, _ = fit(questions, "--keep", "120%")
    assert done.exit_code == 2
