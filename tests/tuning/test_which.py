"""Which methods can be tuned, and what is said of the others."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import V2DropError
from v2drop_cli.tuning.which import droppable_layers


def test_layers_are_those_at_which_a_method_can_drop(loaded):
    assert droppable_layers("v2drop", loaded)[0] == (1, 2, 3, 4, 5)
    assert droppable_layers("random", loaded)[0] == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("sparsevlm", "keeps as many tokens as it chooses"),
        ("vtw", "all vision tokens or none"),
        ("random+v2drop", "would never ask"),
    ],
)
def test_what_cannot_be_tuned_says_why(loaded, method, said):
    found, refused = droppable_layers(method, loaded)
    assert found == ()
    assert isinstance(refused, V2DropError)
    assert said in refused.message
    assert refused.hint
