"""Which frames are taken: even in time, each once."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.support import codes, grey_levels, write_video
from v2drop_cli.media import load_video, sample_indices, video
from v2drop_cli.media.moments import choose


@given(total=st.integers(0, 100_000), n=st.integers(1, 300))
def test_samples_are_sorted_unique_in_range_and_evenly_spread(total, n):
    indices = sample_indices(total, n)
    assert len(indices) == min(total, n)
    assert all(0 <= index < total for index in indices)
    gaps = [after - before for before, after in itertools.pairwise(indices)]
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1
    if indices:  # the rest at both ends is the same, to a frame
        assert abs(indices[0] - (total - 1 - indices[-1])) <= 1


RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)]


@given(
    total=st.integers(1, 3000),
    n=st.integers(1, 64),
    rate=st.sampled_from(RATES),
    digits=st.sampled_from([3, 6]),
)
def test_at_a_constant_rate_rounded_times_change_nothing(total, n, rate, digits):
    times = [round(float(index / rate), digits) for index in range(total)]
    chosen = choose(times, round(float(1 / rate), digits), n)
    assert (chosen.indices, chosen.uneven) == (sample_indices(total, n), 0)


def shown_at(times, moment):
    return max(index for index, time in enumerate(times) if time <= moment or index == 0)


@given(
    gaps=st.lists(st.floats(0.001, 5), min_size=1, max_size=60),
    last=st.floats(0.001, 5),
    n=st.integers(1, 70),
)
def test_chosen_frames_are_distinct_ascending_and_those_shown(gaps, last, n):
    times = [0.0, *itertools.accumulate(gaps)]
    chosen = choose(times, last, n)
    assert list(chosen.indices) == sorted(set(chosen.indices))
    assert len(chosen.indices) == min(n, len(times))
    even = all(abs(time - k * times[-1] / len(gaps)) <= times[-1] / len(gaps) / 2
               for k, time in enumerate(times))  # fmt: skip
    if n < len(times) and not even:
        span = times[-1] + last
        wanted = {shown_at(times, (2 * k + 1) * span / (2 * n)) for k in range(n)}
        assert wanted <= set(chosen.indices)


def test_a_screen_recording_is_sampled_over_its_time_not_over_its_frames():
    times = [float(second) for second in range(10)] + [10 + k / 60 for k in range(60)]
    chosen = choose(times, 1 / 60, 8)
    assert chosen.indices[:7] == (0, 2, 3, 4, 6, 7, 8)
    assert chosen.uneven == 0


def test_a_frame_that_is_shown_for_most_of_the_time_is_used_once():
    times = [0.0, 10.0, 10.1, 10.2, 10.3]
    chosen = choose(times, 0.1, 4)
    assert chosen.indices == (0, 1, 2, 3)
    assert chosen.uneven == 2  # of the moments 1.3, 3.9, 6.5, 9.1; the last is a part from 10


def test_a_variable_rate_file_is_even_in_time_and_says_its_times(tmp_path):
    stamps = [*range(0, 5000, 1000), *range(5000, 5320, 16)]  # one a second, then sixty
    loaded = load_video(write_video(tmp_path / "a.mp4", stamps), 5)
    assert grey_levels(loaded)[:4] == [0, 1, 2, 3]
    assert loaded.frame_times_s[:4] == pytest.approx((0, 1, 2, 3))
    assert 4 <= loaded.frame_times_s[4] < 5
    assert not loaded.caveats


def test_frames_that_lie_unevenly_are_said(tmp_path):
    stamps = [0, *range(9000, 9320, 16)]
    loaded = load_video(write_video(tmp_path / "a.mkv", stamps), 6)
    assert codes(loaded) == ["video_uneven_frames"]
    assert len(set(loaded.frame_times_s)) == len(loaded.frames) == 6
    assert "0.016 to 9 s apart" in loaded.caveats[0].message


def test_a_sound_file_is_decoded_once_at_any_rate(tmp_path, monkeypatch):
    passes, real = [], video._scan
    monkeypatch.setattr(video, "_scan", lambda *given: passes.append(given) or real(*given))
    for stamps in (range(0, 2000, 100), [*range(0, 5000, 1000), *range(5000, 5320, 16)]):
        passes.clear()
        load_video(write_video(tmp_path / "a.mp4", stamps), 5)
        assert len(passes) == 1
