"""A picture in pieces is refused; pictures of several turns are not taken for one."""

from __future__ import annotations

import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.chunks import PictureWatch

CUT = {"mm_encoder_outputs": {"image": {"pooler_output": "rows"}}}
WHOLE = {"mm_encoder_outputs": {"image": {"pooler_output": "x", "last_hidden_state": "x"}}}
PIXELS = {"pixel_values": "x"}


class Cache:
    """As much of a KV cache as is looked at: layer 0, which is the first to be filled."""

    def __init__(self):
        self.length = 0

    def get_seq_length(self, layer=0):
        return 0 if layer else self.length


def forwards(*steps):
    """One forward after another on one cache: its columns, `i` for vision, and how it had them."""
    watch, cache = PictureWatch(), Cache()
    for columns, given in steps:
        mask = torch.tensor([[letter == "i" for letter in columns]]) if "i" in columns else None
        watch.look(cache, len(columns), mask, given)
        cache.length += len(columns)


@pytest.mark.parametrize(
    "steps",
    [
        [("ttii", PIXELS), ("iitt", PIXELS)],
        [("ttiiii", PIXELS), ("iitt", PIXELS)],
        [("ttiib", PIXELS), ("iibtt", PIXELS)],
        [("ttii", PIXELS), ("biitt", PIXELS)],
        [("ttiitt", CUT), ("ttiitt", CUT)],
        [("ttiitt", CUT), ("tttttt", {}), ("ttiitt", CUT)],
        [("ttiitt", CUT), ("tt", {}), ("ttiitt", CUT)],
        [("tttii", CUT)],
    ],
)
def test_a_picture_in_pieces_is_refused(steps):
    with pytest.raises(InstrumentError, match="several forwards"):
        forwards(*steps)


@pytest.mark.parametrize(
    "steps",
    [
        [("ttiitt", CUT)],
        [("ttiitt", PIXELS), ("ttiitt", PIXELS)],
        [("ttiitt", CUT), ("t", {}), ("t", {}), ("ttiitt", CUT)],
        [("ttii", PIXELS), ("t", {}), ("iitt", PIXELS)],
        [("ttiitt", WHOLE), ("tiitt", WHOLE)],
        [("ttii", PIXELS), ("ttttt", {}), ("iitt", PIXELS)],
        [("ttii", PIXELS), ("bbiitt", PIXELS)],
        [("ttiittt", PIXELS), ("ttt", {}), ("iitt", PIXELS)],
        [("ttiitt", CUT), ("ttiitt", PIXELS)],
    ],
)
def test_turns_are_served(steps):
    forwards(*steps)


def test_an_emptied_cache_starts_over():
    watch, cache = PictureWatch(), Cache()
    mask = torch.tensor([[True, True, False]])
    watch.look(cache, 3, mask, PIXELS)
    watch.look(cache, 3, mask, PIXELS)  # the first try raised before anything was cached
    cache.length = 3
    with pytest.raises(InstrumentError):
        watch.look(cache, 3, mask, PIXELS)
    cache.length = 0
    watch.look(cache, 3, mask, PIXELS)


def test_without_a_cache_nothing_can_follow():
    watch = PictureWatch()
    for _ in range(2):
        watch.look(None, 2, torch.tensor([[True, True]]), PIXELS)


def test_pixels_without_a_place_are_text():
    watch, cache = PictureWatch(), Cache()
    watch.look(cache, 3, torch.tensor([[False, True, True]]), PIXELS)
    cache.length = 3
    watch.look(cache, 2, torch.tensor([[False, False]]), PIXELS)
    cache.length = 5
    watch.look(cache, 2, torch.tensor([[True, True]]), PIXELS)
