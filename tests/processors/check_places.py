"""Run by `test_processors.py`: a method that keeps a region of the picture lights just that region.

The region is chosen in pixels of the medium. Which tokens lie there is found without the package's
geometry: the region is painted in two colours, both pictures go through the family's own processor
and its own vision tower, and a token lies there if what it holds differs. Attention in the tower
would tell every token of the colour, so it is silent here: its weights are zero.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import v2drop_cli as v2drop
from tests.families import CASES
from tests.processors.check_families import NUMPY_OF_TORCH
from tests.report import factory
from v2drop_cli.bench.places import Shower, spans
from v2drop_cli.media import Media
from v2drop_cli.methods.base import Kept, Method
from v2drop_cli.records import Drop, MediaRecord
from v2drop_cli.report.kept_figure import kept_figure

pytestmark = [pytest.mark.filterwarnings(NUMPY_OF_TORCH), pytest.mark.no_cover]

# Learned queries, or a tower that is attention itself: nobody can say where such a token lies.
NOWHERE = ("idefics2", "aria", "deepseek_ocr2")
# Convolutions, or queries over a window, tell the tokens beside the region too.
SPREADS = (
    *("deepseek_vl_hybrid", "fast_vlm", "got_ocr2", "granite4_vision", "lfm3_vl", "step3p7"),
    "unlimited_ocr",
)
# Thousands of tokens a frame by their processors' limits; their grids are `qwen2_vl`'s.
LARGE_CLIPS = ("qwen2_5_omni", "qwen3_omni_moe")
SIZES = [(96, 60), (50, 90)]
REGION = (0.5, 0.1, 0.95, 0.5)
"""Left, top, right and bottom, as shares: nothing that is mirrored or turned looks the same."""
RED, BLUE = (255, 30, 40), (0, 40, 255)
CELLS = [
    (name, kind, size)
    for name in CASES
    if name not in NOWHERE
    for kind in ("image", "video")
    for size in SIZES
    if kind == "image" or (CASES[name].video and name not in LARGE_CLIPS and size == SIZES[0])
]


@dataclass(frozen=True)
class Forced(Method):
    """Keeps tokens at given positions of the prompt."""

    name = "forced"
    paper = "a test"
    chooses_count = True
    chosen: frozenset[int] = frozenset()

    def select(self, ctx):
        kept = [i for i, place in enumerate(ctx.positions.tolist()) if place in self.chosen]
        return Kept(torch.tensor(kept))


def frames(size, count, seed=0):
    """Pictures with something to see everywhere, none like another."""
    random = torch.Generator().manual_seed(seed)
    coarse = (count, size[1] // 6, size[0] // 6, 3)
    pixels = torch.randint(60, 200, coarse, generator=random, dtype=torch.uint8).numpy()
    return [Image.fromarray(one).resize(size, Image.Resampling.BILINEAR) for one in pixels]


def painted(picture, colour):
    width, height = picture.size
    left, top, right, bottom = REGION
    corners = (left * width, top * height, right * width, bottom * height)
    other = picture.copy()
    other.paste(colour, tuple(map(round, corners)))
    return other


def medium(pictures, kind):
    times = tuple(n / 2 for n in range(len(pictures))) if kind == "video" else None
    return Media(Path("made"), kind, tuple(pictures), times, *pictures[0].size)


class SeenError(Exception):
    """The decoder was reached: what it would do is of no interest."""


def held(loaded, media):
    """What each vision token holds when it comes to the decoder, by its position."""
    model = copy.deepcopy(loaded.model)
    tower = loaded.family.vision_tower(model)
    decoder = loaded.family.decoder(model)
    beside = {id(module) for module in decoder.modules()}
    for module in (model if tower is None else tower).modules():
        if id(module) not in beside and "Attention" in type(module).__name__:
            for weight in module.parameters():
                weight.data.zero_()
    prepared = loaded.prepare(media, "why?")
    given = {}

    def look(_module, args, kwargs):
        given.update(kwargs)
        given.setdefault("inputs_embeds", args[0] if args else None)
        raise SeenError

    decoder.register_forward_pre_hook(look, with_kwargs=True)
    with torch.no_grad(), pytest.raises(SeenError):
        model(**prepared.to(torch.device("cpu"), torch.float32).tensors)
    index = prepared.vision.index[0].tolist()
    later = loaded.family.later(given)
    states = [given["inputs_embeds"][0, index]]
    states += list(later.features.values()) if later is not None and later.alone else []
    return index, torch.cat([one.float() for one in states], dim=-1)


def region_tokens(loaded, media, paint):
    """The positions of the tokens that hold something else when the region has another colour."""
    (index, red), (same, blue) = (held(loaded, [*paint(media, c)]) for c in (RED, BLUE))
    assert index == same
    differs = (red - blue).abs().amax(dim=-1)
    return frozenset(
        at for at, by in zip(index, differs.tolist(), strict=True) if by > differs.max() / 20
    )


def figure_of(loaded, media, at):
    """The figure of a drop at which those tokens stayed."""
    prepared = loaded.prepare(media, "why?")
    first, last = loaded.droppable
    layer = max(first, 1 if last is None else min(1, last))
    inputs = prepared.to(torch.device("cpu"), torch.float32)
    with (
        torch.no_grad(),
        v2drop.dropping(loaded, f"{layer}:0.5", method=Forced(chosen=at)) as trace,
    ):
        loaded.model(**inputs.tensors)
    [event] = trace.events
    assert set(event.kept[0]) == at
    records = [
        MediaRecord("made", m.kind, m.width, m.height, len(m.frames), m.frame_times_s)
        for m in media
    ]
    drop = Drop(layer, event.before[0], len(at), (tuple(event.kept[0]),))
    whole = factory.report()
    found = spans(prepared.vision, records, Shower.of(loaded))
    request = replace(whole.request, media=tuple(records), spans=found)
    arms = (whole.arms[0], factory.dropped(drops=(drop,)))
    return kept_figure(replace(whole, request=request, arms=arms))


def check_lit(sheet, lit, spread=False):
    """Cells well inside the region are lit, and none that only lies near it."""
    largest = [max(box[side + 2] - box[side] for box in sheet.boxes) * spread for side in (0, 1)]
    size = next(size for size in SIZES if abs(size[0] / size[1] - sheet.aspect) < 1e-6)
    # An enlarging filter reaches beyond the edge, too.
    reach = [2.5 / side + more for side, more in zip(size, largest, strict=True)]
    for box, is_lit in zip(sheet.boxes, lit, strict=True):
        wide, high = box[2] - box[0], box[3] - box[1]
        x = min(box[2], REGION[2]) - max(box[0], REGION[0])
        y = min(box[3], REGION[3]) - max(box[1], REGION[1])
        if x > 0.3 * wide and y > 0.3 * high:
            assert is_lit, box
        if is_lit:
            assert x > -reach[0], box
            assert y > -reach[1], box


@pytest.mark.parametrize(("name", "kind", "size"), [*CELLS, ("tiny", "video", SIZES[0])])
def test_the_region_alone_is_lit(loaded, name, kind, size):
    """`tiny` is the embedded model, whose pictures hold several frames of a clip."""
    loaded = v2drop.load(name, device="cpu") if name == "tiny" else loaded(name)
    count, at = (6, 3) if kind == "video" else (1, 0)
    shown = medium(frames(size, count), kind)

    def paint(media, colour):
        [one] = media
        changed = [painted(p, colour) if n == at else p for n, p in enumerate(one.frames)]
        yield medium(changed, kind)

    where = region_tokens(loaded, [shown], paint)
    figure = figure_of(loaded, [*paint([shown], RED)], where)
    panel = figure.rows[0].panels[1]
    assert figure.sheets
    assert all(sheet.placed for sheet in figure.sheets)
    assert sum(map(sum, panel.kept)) == len(where), "lit without a place"
    if kind == "video":
        each = count // len({sheet.frame for sheet in figure.sheets})
        assert each in (1, 2)  # as many as a patch is deep
    for sheet, lit in zip(figure.sheets, panel.kept, strict=True):
        if kind == "image" or sheet.frame <= at < sheet.frame + each:
            assert any(lit)
            check_lit(sheet, lit, name in SPREADS)
            assert name in SPREADS or len(lit) <= 2 or not all(lit)
        else:
            assert not any(lit)


SEVERAL = ("llava", "llava_onevision", "llava_next", "idefics3", "internvl", "llama4", "qwen2_vl")


@pytest.mark.parametrize("name", [name for name in SEVERAL if name in CASES])
def test_of_two_pictures_the_painted_one_is_lit(loaded, name):
    loaded = loaded(name)
    first, second = (medium(frames(size, 1, seed), "image") for seed, size in enumerate(SIZES))

    def paint(media, colour):
        yield media[0]
        yield medium([painted(media[1].frames[0], colour)], "image")

    where = region_tokens(loaded, [first, second], paint)
    figure = figure_of(loaded, [*paint([first, second], RED)], where)
    for sheet, lit in zip(figure.sheets, figure.rows[0].panels[1].kept, strict=True):
        assert any(lit) == (sheet.media == 1)
        if sheet.media == 1:
            check_lit(sheet, lit)


@pytest.mark.parametrize("name", [name for name in NOWHERE if name in CASES])
def test_learned_queries_lie_nowhere(loaded, name):
    loaded = loaded(name)
    shown = medium(frames(SIZES[0], 1), "image")
    index = loaded.prepare([shown], "why?").vision.index[0].tolist()
    figure = figure_of(loaded, [shown], frozenset(index[:2]))
    assert figure.sheets == ()
    assert figure.rows[0].panels[1].without_place == (2, len(index))
