"""High dynamic range and wide gamuts → sRGB, against the numbers of the recommendations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.media.support import codes, flat_frame, write_frames
from v2drop_cli.media import light, load_video
from v2drop_cli.media.light import FULL, Light

PQ, HLG, ORDINARY = 16, 18, 1
BT709, BT2020, P3 = 1, 9, 12


def test_pq_is_that_of_st_2084():
    # Table 1 of BT.2408: HDR reference white, 1000 cd/m² and the peak of PQ.
    signals = np.array([0.0, 0.5807, 0.7518, 1.0])
    assert light.pq_to_light(signals) == pytest.approx([0, 203, 1000, 10000], rel=2e-3, abs=1e-6)
    lights = np.array([0.01, 1.0, 100.0, 4000.0])
    assert light.pq_to_light(light.light_to_pq(lights)) == pytest.approx(lights)


def test_hlg_is_that_of_bt_2100():
    # 75 % is HDR reference white, 203 cd/m² on a screen of 1000; 50 % is a twelfth of the light.
    signals = np.array([[0.75] * 3, [1.0] * 3, [0.5] * 3, [0.0] * 3])
    shown = light.on_screen(light.to_light(signals, HLG), HLG)[:, 0]
    assert shown == pytest.approx([203, 1000, 1000 * (1 / 12) ** 1.2, 0], rel=2e-3, abs=1e-9)


def test_the_roll_off_keeps_dark_parts_rises_and_ends_at_white():
    lights = np.array([1.0, 50.0, 85.0, 100.0, 203.0, 500.0, 1000.0, 5000.0])
    rolled = light.rolled_off(lights)
    assert rolled[:3] == pytest.approx(lights[:3])
    assert (np.diff(rolled[:-1]) > 0).all()
    assert rolled[-2:] == pytest.approx([203, 203])
    # By the formula of BT.2390 at its own knee and above, worked out by hand: 203 → 160.
    assert rolled[4] == pytest.approx(159.6, rel=5e-3)


def one_pixel(signal, kind):
    codes_16 = np.rint(np.array([[signal]]) * FULL).astype(np.uint16)
    return light.to_srgb(codes_16, kind, FULL)[0, 0].tolist()


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.7518), (HLG, 1.0)])
def test_grey_stays_grey_and_the_peak_is_white(transfer, white):
    assert one_pixel([white] * 3, Light(transfer, BT2020)) == [255, 255, 255]
    assert one_pixel([0.0] * 3, Light(transfer, BT2020)) == [0, 0, 0]
    dim = one_pixel([white / 2] * 3, Light(transfer, BT2020))
    assert max(dim) - min(dim) <= 1
    assert 20 < dim[0] < 235


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tables_give_what_the_formulas_do(transfer):
    codes_16 = np.random.default_rng(0).integers(0, FULL + 1, (40, 50, 3), dtype=np.uint16)
    linear = light.on_screen(light.to_light(codes_16 / FULL, transfer), transfer)
    largest = linear.max(axis=-1, keepdims=True)
    linear = linear * light.rolled_off(largest) / largest / 203
    linear = np.clip(linear @ np.array(light._TO_SRGB[BT2020]).T, 0, 1)
    dark, bright = 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    expected = 255 * np.where(linear <= 0.0031308, dark, bright)
    assert np.abs(light.to_srgb(codes_16, Light(transfer, BT2020), FULL) - expected).max() < 0.51


def srgb_in_pq(rgb):
    """An sRGB colour of white 100 cd/m² (below the knee) as PQ in BT.2020, by definition."""
    share = np.array(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    wide = np.linalg.inv(np.array(light._TO_SRGB[BT2020])) @ linear
    return light.light_to_pq(wide * 90)


@pytest.mark.parametrize("rgb", [(220, 30, 30), (20, 200, 40), (30, 60, 230), (128, 128, 128)])
def test_colours_of_an_ordinary_picture_keep_their_hue(rgb):
    found = np.array(one_pixel(srgb_in_pq(rgb), Light(PQ, BT2020)), float)
    share = np.where(
        found / 255 <= 0.04045, found / 255 / 12.92, ((found / 255 + 0.055) / 1.055) ** 2.4
    )
    wanted = np.array(rgb) / 255
    wanted = np.where(wanted <= 0.04045, wanted / 12.92, ((wanted + 0.055) / 1.055) ** 2.4)
    assert share == pytest.approx(wanted * 90 / 203, abs=0.01)


@pytest.mark.parametrize("primaries", [BT2020, P3])
def test_wide_gamuts_of_ordinary_range_are_converted(primaries):
    kind = Light(ORDINARY, primaries)
    assert one_pixel([0.5] * 3, kind) == pytest.approx([128] * 3, abs=1)
    red, green, _ = one_pixel([0.8, 0.2, 0.2], kind)
    assert red > 0.8 * 255 + 10  # the same colour is further out in the smaller gamut
    assert green < 0.2 * 255 - 5


def test_the_matrices_keep_white():
    for matrix in light._TO_SRGB.values():
        assert np.array(matrix) @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-4)


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_a_file_of_high_dynamic_range_is_tone_mapped_and_says_so(transfer, name, tmp_path):
    # 10-bit limited-range YUV of the peak white, and of nothing.
    luma = 64 + round(876 * (0.7518 if transfer == PQ else 1.0))
    frames = [flat_frame("yuv420p10le", (level, 512, 512)) for level in (luma, 64)]
    path = write_frames(
        tmp_path / "a.mkv", frames, "ffv1", "yuv420p10le",
        color_trc=transfer, color_primaries=BT2020, colorspace=9, color_range=1,
    )  # fmt: skip
    loaded = load_video(path, 2)
    assert codes(loaded) == ["video_tone_mapped"]
    assert name in loaded.caveats[0].message
    white, black = (frame.getpixel((20, 20)) for frame in loaded.frames)
    assert min(white) >= 254
    assert max(black) == 0


def test_red_of_a_phone_is_red(tmp_path):
    signal = srgb_in_pq((220, 30, 30))
    red, green, blue = signal
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    yuv = (
        64 + round(876 * luma),
        512 + round(896 * (blue - luma) / 1.8814),
        512 + round(896 * (red - luma) / 1.4746),
    )
    path = write_frames(
        tmp_path / "a.mkv", [flat_frame("yuv420p10le", yuv)], "ffv1", "yuv420p10le",
        color_trc=PQ, color_primaries=BT2020, colorspace=9, color_range=1,
    )  # fmt: skip
    red, green, blue = load_video(path, 1).frames[0].getpixel((20, 20))
    assert red > 140
    assert max(green, blue) < 30
