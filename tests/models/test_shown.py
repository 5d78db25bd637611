"""What of a picture its processor shows, by hand; `check_places.py` asks the processors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from v2drop_cli.models.families.llava_onevision import anyres_shown
from v2drop_cli.models.families.molmo2 import _windows
from v2drop_cli.models.shown import WHOLE, as_processed, fitted, inside, placed, squared, whole
from v2drop_cli.models.spans import NEWLINE, with_newlines
from v2drop_cli.records import Grid, MediaRecord

WIDE = MediaRecord("wide.png", "image", 400, 200, 1)
SIDE = {"height": 100, "width": 100}


def pad_to_square():
    """Only whether a processor has it is asked."""


def shown(record=WIDE, **rule):
    [box] = as_processed(
        SimpleNamespace(image_processor=SimpleNamespace(**rule)), None, record, [0]
    )
    return box


CROPPED = {
    "do_resize": True,
    "size": {"shortest_edge": 100},
    "do_center_crop": True,
    "crop_size": SIDE,
}


@pytest.mark.parametrize(
    ("rule", "box"),
    [
        ({}, WHOLE),
        (CROPPED, (0.25, 0.0, 0.75, 1.0)),  # of 200 x 100, the middle
        ({**CROPPED, "size": {"height": 125, "width": 200}}, (0.25, 0.096, 0.75, 0.896)),
        ({**CROPPED, "size": {"longest_edge": 100}}, None),  # no rule that is known
        ({**CROPPED, "do_resize": False}, (0.375, 0.25, 0.625, 0.75)),
        ({"do_pad": True, "pad_to_square": pad_to_square}, (0.0, -0.5, 1.0, 1.5)),
        ({**CROPPED, "do_pad": True, "pad_to_square": pad_to_square}, (0.0, -0.5, 1.0, 1.5)),
        ({"do_pad": True}, None),  # it may be the batch that is padded, or the picture
    ],
)
def test_the_rule_of_most_processors(rule, box):
    assert shown(**rule) == (None if box is None else pytest.approx(box))


def test_a_clip_is_shown_by_its_own_processor_if_there_is_one():
    clip = MediaRecord("clip.mp4", "video", 400, 200, 2)
    images, videos = SimpleNamespace(**CROPPED), SimpleNamespace()
    both = SimpleNamespace(image_processor=images, video_processor=videos)
    assert as_processed(both, None, clip, [0]) == (WHOLE,)
    assert as_processed(SimpleNamespace(image_processor=images), None, clip, [0]) != (WHOLE,)
    assert as_processed(SimpleNamespace(), None, clip, [0]) == (None,)
    assert whole(None, None, clip, [0, 0]) == (WHOLE, WHOLE)


def test_boxes_by_hand():
    assert squared(WIDE) == (0.0, -0.5, 1.0, 1.5)
    assert squared(MediaRecord("tall.png", "image", 50, 100, 1)) == (-0.5, 0.0, 1.5, 1.0)
    assert placed((10, 0), (80, 100), (100, 100)) == (-0.125, 0.0, 1.125, 1.0)
    assert inside((0.5, 0.0, 1.0, 0.5), (0.0, -1.0, 2.0, 1.0)) == (1.0, -1.0, 2.0, 0.0)
    assert fitted(400, 200, 12, 12) == (0.25, 0.0, 0.75, 1.0)


def test_joined_tiles_end_beside_the_pictures_edges():
    """300 x 100 on two tiles of 56 x 56, each of 4 x 4 tokens: 112 x 38 pixels, from row 9 on.

    The model keeps two of four rows of tokens, pixels 14 to 42: at both edges a little is lost.
    """
    config = SimpleNamespace(
        vision_config=SimpleNamespace(image_size=56, patch_size=14),
        image_grid_pinpoints=[[56, 112], [112, 56]],
    )
    record = MediaRecord("wide.png", "image", 300, 100, 1)
    boxes = anyres_shown(None, config, record, [Grid(1, 4, 4), with_newlines(2, 8)])
    assert boxes[0] == WHOLE
    assert boxes[1] == pytest.approx((0.0, 5 / 38, 1.0, 33 / 38))


def test_one_of_several_pictures_is_made_square():
    boxes = anyres_shown(None, None, WIDE, [Grid(1, 4, 4), NEWLINE])
    assert boxes == (squared(WIDE), None)


def test_windows_that_patches_do_not_fill():
    assert _windows([27, 26], [2, 2]) == (0.0, 0.0, 1.0, 28 / 27)
    assert _windows([4, 4], [3, 3]) == (-0.25, -0.25, 1.25, 1.25)
