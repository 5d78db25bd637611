"""TIFF pictures of every kind of sample, against the values that were written."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from tests.media.support import codes, packed, pixels, refusal, write_tiff
from v2drop_cli.media import limits, load_image, tiff_strips

SIZE = (23, 19)
RNG = np.random.default_rng(0)
GREY = {"t262": 1}
COLOUR = {"t262": 2, "t277": 3}
ORDERS = ["<", ">"]


def whole(bits, bands=1, size=SIZE):
    """Samples over all their range, both ends among them."""
    values = RNG.integers(0, 2**bits, (size[1], size[0], bands), dtype=np.uint64)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values


def stored(values, order, kind):
    return values.astype(f"{order}{kind}").tobytes()


def grey_of(loaded):
    found = pixels(loaded)
    assert (found == found[..., :1]).all()
    return found[..., 0].astype(float)


def shares(values, bits):
    """0 to 255 by the definition: all ones are white."""
    return np.asarray(values, float)[..., 0] / (2**bits - 1) * 255


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15])
def test_packed_grey_is_scaled_by_its_own_bits(bits, order, tmp_path):
    values = whole(bits)
    path = write_tiff(tmp_path / "a.tif", SIZE, [packed(values, bits)], order, t258=bits, **GREY)
    loaded = load_image(path)
    assert np.abs(grey_of(loaded) - shares(values, bits)).max() <= 0.501
    assert not loaded.caveats


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_min_is_white_is_inverted(bits, order, tmp_path):
    values = whole(bits)
    data = packed(values, bits) if bits in (10, 12) else stored(values, order, f"u{bits // 8}")
    path = write_tiff(tmp_path / "a.tif", SIZE, [data], order, t258=bits, t262=0)
    assert np.abs(grey_of(load_image(path)) - (255 - shares(values, bits))).max() <= 0.501


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kind", "form"), [("i1", 2), ("i2", 2), ("i4", 2), ("u4", 1), ("u8", 1), ("f4", 3), ("f8", 3)]
)
def test_values_without_a_known_white_are_stretched_and_said(kind, form, order, tmp_path):
    size = np.dtype(kind).itemsize
    values = np.frombuffer(RNG.bytes(19 * 23 * size), f"u{size}").reshape(19, 23, 1)
    values = values.view(kind) if kind[0] != "f" else RNG.normal(0, 50, (19, 23, 1)).astype(kind)
    path = write_tiff(tmp_path / "a.tif", SIZE, [stored(values, order, kind)], order,
                      t258=8 * size, t339=form, **GREY)  # fmt: skip
    loaded = load_image(path)
    wide = values[..., 0].astype(float)
    expected = (wide - wide.min()) / (wide.max() - wide.min()) * 255
    assert np.abs(grey_of(loaded) - expected).max() <= 0.501
    assert codes(loaded) == ["image_range_stretched"]
    assert f"{wide.min():g} to {wide.max():g}" in loaded.caveats[0].message


def test_the_upper_half_of_unsigned_values_is_bright(tmp_path):
    values = np.array([[[0], [2**31 - 1], [2**31], [2**32 - 1]]])
    path = write_tiff(tmp_path / "a.tif", (4, 1), [stored(values, "<", "u4")], t258=32, **GREY)
    assert grey_of(load_image(path)).tolist() == [[0, 127, 128, 255]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_floats_from_0_to_1_are_as_they_are(photometric, kind, order, tmp_path):
    values = RNG.random((19, 23, 1)).astype(kind)
    path = write_tiff(tmp_path / "a.tif", SIZE, [stored(values, order, kind)], order,
                      t258=8 * np.dtype(kind).itemsize, t339=3, t262=photometric)  # fmt: skip
    loaded = load_image(path)
    expected = values[..., 0].astype(float) * 255
    expected = 255 - expected if photometric == 0 else expected
    assert np.abs(grey_of(loaded) - expected).max() <= 0.501
    assert not loaded.caveats


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("planes", [False, True])
def test_colours_of_many_bits(planes, bits, order, tmp_path):
    values = whole(bits, 3)
    rows = [values[..., band : band + 1] for band in range(3)] if planes else [values]
    data = [packed(each, bits) if bits < 16 else stored(each, order, "u2") for each in rows]
    path = write_tiff(tmp_path / "a.tif", SIZE, data, order, t258=(bits,) * 3,
                      t284=2 if planes else 1, **COLOUR)  # fmt: skip
    found = pixels(load_image(path)).astype(float)
    assert np.abs(found - np.asarray(values, float) / (2**bits - 1) * 255).max() <= 0.501


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("alpha", [1, 2])
@pytest.mark.parametrize("bands", [2, 4])
def test_an_extra_sample_that_is_transparency_is_laid_over_white(
    bands, alpha, kind, order, tmp_path
):
    size, most = np.dtype(kind).itemsize, 1.0 if kind == "f4" else 2.0 ** (8 * int(kind[1])) - 1
    shown, opacity = RNG.random((19, 23, bands - 1)), RNG.random((19, 23, 1))
    opacity[0, 0] = 0
    multiplied = shown * opacity if alpha == 1 else shown
    values = np.concatenate([multiplied, opacity], axis=-1) * most
    values = values if kind == "f4" else np.rint(values)
    path = write_tiff(
        tmp_path / "a.tif", SIZE, [stored(values, order, kind)], order,
        t258=(8 * size,) * bands, t262=1 if bands == 2 else 2, t277=bands, t338=alpha,
        t339=3 if kind == "f4" else 1,
    )  # fmt: skip
    expected = np.broadcast_to((shown * opacity + 1 - opacity) * 255, (19, 23, 3))
    assert np.abs(pixels(load_image(path)) - expected).max() <= (3 if alpha == 1 else 1.5)


def test_an_extra_sample_that_means_nothing_is_left_out(tmp_path):
    values = whole(16, 4)
    path = write_tiff(tmp_path / "a.tif", SIZE, [stored(values, "<", "u2")],
                      t258=(16,) * 4, t262=2, t277=4, t338=0)  # fmt: skip
    expected = np.asarray(values[..., :3], float) / 65535 * 255
    assert np.abs(pixels(load_image(path)) - expected).max() <= 0.501


def differences(values, kind, order):
    """What predictor 2 stores: each sample less the one before it in its row."""
    values = values.astype(kind)
    left = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
    return (values - left).astype(np.dtype(kind).newbyteorder(order)).tobytes()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bands", [1, 3])
def test_the_horizontal_predictor_is_undone(bands, order, tmp_path):
    values = whole(16, bands)
    data = zlib.compress(differences(values, "u2", order))
    path = write_tiff(tmp_path / "a.tif", SIZE, [data], order, t258=(16,) * bands, t259=8, t317=2,
                      t262=1 if bands == 1 else 2, t277=bands)  # fmt: skip
    expected = np.asarray(values, float) / 65535 * 255
    assert np.abs(pixels(load_image(path)) - expected).max() <= 0.501


@pytest.mark.parametrize("order", ORDERS)
def test_the_floating_point_predictor_is_undone(order, tmp_path):
    values = RNG.random((19, 23)).astype(">f4")
    by_weight = values.view(np.uint8).reshape(19, 23, 4).transpose(0, 2, 1).reshape(19, -1, 1)
    data = zlib.compress(differences(by_weight, "u1", "<"))
    path = write_tiff(
        tmp_path / "a.tif", SIZE, [data], order, t258=32, t259=8, t317=3, t339=3, **GREY
    )
    assert np.abs(grey_of(load_image(path)) - values.astype(float) * 255).max() <= 0.501


@pytest.mark.parametrize("rows", [1, 4, 7, 19, 2**32 - 1])
@pytest.mark.parametrize("planes", [False, True])
def test_strips_of_any_height(planes, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_strips, "_GROUP_BYTES", 500)  # so that there are several groups
    values = whole(16, 3)
    height = min(rows, 19)
    parts = [values[..., band : band + 1] for band in range(3)] if planes else [values]
    strips = [zlib.compress(stored(part[top : top + height], "<", "u2"))
              for part in parts for top in range(0, 19, height)]  # fmt: skip
    path = write_tiff(tmp_path / "a.tif", SIZE, strips, t258=(16,) * 3, t259=8, t278=rows,
                      t284=2 if planes else 1, **COLOUR)  # fmt: skip
    expected = np.asarray(values, float) / 65535 * 255
    assert np.abs(pixels(load_image(path)) - expected).max() <= 0.501


@pytest.mark.parametrize("bits", [12, 16])
def test_tiles(bits, tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_strips, "_GROUP_BYTES", 2000)
    values = whole(bits, size=(50, 35))
    padded = np.zeros((48, 64, 1), np.uint64)
    padded[:35, :50] = values
    tiles = [padded[top : top + 16, left : left + 32] for top in (0, 16, 32) for left in (0, 32)]
    data = [packed(tile, bits) if bits == 12 else stored(tile, "<", "u2") for tile in tiles]
    path = write_tiff(tmp_path / "a.tif", (50, 35), data, t258=bits, t322=32, t323=16, **GREY)
    assert np.abs(grey_of(load_image(path)) - shares(values, bits)).max() <= 0.501


@pytest.mark.parametrize(
    ("bands", "bits", "extra"), [(4, 16, (0, 0, 0)), (5, 8, ()), (3, 16, (0, 0)), (4, 8, (0, 0, 0))]
)
def test_bands_of_no_known_colour_are_named_and_refused(bands, bits, extra, tmp_path):
    data = stored(whole(bits, bands), "<", f"u{bits // 8}")
    more = {"t338": extra} if extra else {}
    path = write_tiff(
        tmp_path / "a.tif", SIZE, [data], t258=(bits,) * bands, t277=bands, **GREY, **more
    )
    error = refusal(load_image, path)
    assert f"{bands} bands of {bits} bits" in error.message
    assert "TIFF" not in error.hint


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"t258": 64, "t339": 5}, "complex"),
        ({"t258": (16, 8, 16), "t262": 2, "t277": 3}, "differ in kind"),
        ({"t258": 24}, "24 bits"),
        ({"t258": 12, "t317": 2}, "12 bits"),
        ({"t258": 16, "t262": 8, "t277": 3}, "CIELab"),
        ({"t258": (8, 8, 8, 8), "t262": 5, "t277": 4, "t259": 34712}, "CMYK"),
    ],
)
def test_other_samples_are_refused_by_what_they_are(tags, said, tmp_path):
    path = write_tiff(tmp_path / "a.tif", SIZE, [bytes(19 * 23 * 16)], **{**GREY, **tags})
    error = refusal(load_image, path)
    assert said in error.message
    assert "PNG" in error.hint
    assert "damaged" not in error.message


def test_strips_that_end_early_are_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", SIZE, [bytes(100)], t258=12, **GREY)
    refusal(load_image, path)
    path = write_tiff(tmp_path / "b.tif", SIZE, [bytes(46)], t258=16, t278=1, **GREY)
    refusal(load_image, path)


def test_size_is_checked_before_anything_is_unpacked(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "a.tif", SIZE, [packed(whole(12), 12)], t258=12, **GREY)
    monkeypatch.setattr(limits, "MAX_PIXELS", 23 * 19 - 1)
    assert "23 x 19" in refusal(load_image, path).message


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_holds_for_these_too(orientation, tmp_path):
    values = whole(12)
    path = write_tiff(
        tmp_path / "a.tif", SIZE, [packed(values, 12)], t258=12, t274=orientation, **GREY
    )
    plain = Image.fromarray(np.rint(shares(values, 12)).astype(np.uint8))
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # PIL's numbers, by the meaning of the tag
    turn = turns[orientation - 1]
    upright = plain if turn is None else plain.transpose(Image.Transpose(turn))
    found = grey_of(load_image(path))
    assert found.shape == np.asarray(upright).shape
    assert np.abs(found - np.asarray(upright)).max() <= 1


def test_several_pages_of_many_bits_are_said(tmp_path):
    pages = [Image.fromarray(np.full((4, 4), level, np.uint16)) for level in (65535, 0)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    loaded = load_image(tmp_path / "a.tif")
    assert codes(loaded) == ["animated_first_frame"]
    assert loaded.frames[0].getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("bits", [8, 16])
def test_ink_of_four_colours(bits, tmp_path):
    values = whole(bits, 4)
    path = write_tiff(tmp_path / "a.tif", SIZE, [stored(values, "<", f"u{bits // 8}")],
                      t258=(bits,) * 4, t262=5, t277=4)  # fmt: skip
    ink = np.asarray(values, float) / (2**bits - 1)
    expected = (1 - ink[..., :3]) * (1 - ink[..., 3:]) * 255
    assert np.abs(pixels(load_image(path)) - expected).max() <= 2.5


def test_lab_is_converted(tmp_path):
    # L 0..255 for 0..100, a and b as signed bytes: white, black and a red of a* 60, b* 40.
    values = np.array([[[255, 0, 0], [0, 0, 0], [133, 60, 40]]], np.uint8)
    path = write_tiff(tmp_path / "a.tif", (3, 1), [values.tobytes()],
                      t258=(8,) * 3, t262=8, t277=3)  # fmt: skip
    white, black, red = pixels(load_image(path))[0].tolist()
    assert np.allclose(white, 255, atol=2)
    assert np.allclose(black, 0, atol=2)
    assert np.allclose(red, (215, 66, 58), atol=6)
