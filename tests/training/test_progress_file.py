"""A fit that was broken off goes on as if it had not been."""

from __future__ import annotations

import pytest
import torch

from v2drop_cli.errors import UsageError
from v2drop_cli.training.progress_file import Progress, resume

SETTINGS = {"seed": 0}


def stepped(progress, steps):
    """Some steps of AdamW on a loss that depends on the step."""
    weights = {name: t.clone().requires_grad_(True) for name, t in progress.weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=0.1)
    progress.restore(optimizer)
    for step in range(progress.step, progress.step + steps):
        loss = sum((w * (step + 1) - 1).square().sum() for w in weights.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Progress.of(progress.step + steps, weights, optimizer)


START = Progress(0, {"query": torch.tensor([1.0, 2.0]), "scale": torch.tensor([3.0])})


def test_two_halves_are_one_whole(tmp_path):
    path = tmp_path / "x.state"
    stepped(START, 3).save(path, SETTINGS)
    halves, whole = stepped(resume(path, SETTINGS), 4), stepped(START, 7)
    assert halves.step == whole.step == 7
    for name, weight in whole.weights.items():
        assert torch.equal(halves.weights[name], weight)
    assert [path.name for path in tmp_path.iterdir()] == ["x.state"]


def test_nothing_to_go_on_with(tmp_path):
    assert resume(tmp_path / "x.state", SETTINGS) is None


def test_a_fit_with_other_settings_is_refused(tmp_path):
    path = tmp_path / "x.state"
    START.save(path, SETTINGS)
    with pytest.raises(UsageError, match="other settings") as caught:
        resume(path, {"seed": 1})
    assert "remove" in caught.value.hint
    path.write_bytes(b"no")
    with pytest.raises(UsageError, match="cannot be read"):
        resume(path, SETTINGS)
