"""Step 3.7: where its squares lie."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from tests.families import CASES
from v2drop_cli.models.families.step3p7 import _cut
from v2drop_cli.models.registry import get_family
from v2drop_cli.prove.cases.case import TEXT

CASE, FAMILY = CASES["step3p7"], get_family("step3p7")
WHOLE, NOWHERE = (0.0, 0.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0)


def grids(tensors):
    [found] = FAMILY.vision_tokens(CASE.config(TEXT, CASE.ids), tensors).grids
    return [(grid.h, grid.w, grid.box) for grid in found]


def test_squares_have_no_place_unless_their_rows_are_known():
    inputs, _ = CASE.batch([CASE.prompt(3, "ii", 0)])  # two squares and the whole; the whole alone
    whole = (3, 3, WHOLE)
    assert grids(inputs) == [(2, 2, NOWHERE), (2, 2, NOWHERE), whole, whole]
    above = inputs | {"tiles": torch.tensor([[2, 1], [0, 0]])}
    upper, lower = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
    assert grids(above) == [(2, 2, upper), (2, 2, lower), whole, whole]
    wrong = inputs | {"tiles": torch.tensor([[3, 1], [0, 0]])}
    assert grids(wrong) == grids(inputs)


def test_a_picture_that_was_filled_up_to_a_square_gives_its_squares_no_place():
    """They cover the filling too, so no part of the picture can be named."""
    sizes = {"size": {"height": 24}, "patch_size": 16}
    for filled, cut in ((True, (0, 0)), (False, (3, 2))):
        plan = ((96, 96), (96, 96), 16, 2, 3, filled)
        rule = SimpleNamespace(**sizes, _plan_patches=lambda *given, plan=plan: plan)
        assert _cut(rule, 200, 20) == cut
