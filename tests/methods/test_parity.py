"""One budget means the same number of tokens to every method that has counts."""

from __future__ import annotations

import pytest

from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.methods.shape import Shape

# VTW drops all tokens at one layer, and the layer is all it can choose.
WITHOUT_COUNTS = {"vtw"}


@pytest.mark.parametrize(("n_layers", "n_vision"), [(32, 576), (28, 1200), (24, 729), (12, 900)])
@pytest.mark.parametrize("share", [0.9, 1 / 2, 1 / 3, 2 / 9, 1 / 9])
def test_layer_averages_are_within_a_hundredth_of_each_other(n_layers, n_vision, share):
    shape = Shape(n_layers, n_vision=n_vision)
    averages = {}
    for name in (*METHODS, "random+v2drop"):
        method = get_method(name)
        if name not in WITHOUT_COUNTS and not method.chooses_count:
            schedule = method.schedule(share * n_vision, shape)
            averages[name] = schedule.resolve(n_vision, n_layers).layer_average
    assert "v2drop" in averages
    assert max(averages.values()) <= 1.01 * min(averages.values()), averages
    assert averages == pytest.approx(dict.fromkeys(averages, share * n_vision), abs=0.5)
