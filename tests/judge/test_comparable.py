"""What makes two reports answers to different questions, field by field."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.report import factory
from v2drop_cli.judge.comparable import differences, warnings
from v2drop_cli.records import Caveat, Request

GPU = {"device": "GPU X", "gpu_uuid": "GPU-1", "torch": "2.9"}
CPU = {"device": "cpu", "cpu": "CPU X", "torch_threads": 2, "torch": "2.9"}


def made(environment=GPU, **asked):
    return factory.report(environment=environment, request=factory.request(**asked))


def found(a, b):
    return [(item.name, item.a, item.b, item.refused) for item in differences(a, b)]


def names(a, b):
    return [(item.name, item.refused) for item in differences(a, b)]


OTHER = {
    "resolved_id": ("x/y", "model", True),
    "revision": ("0", "revision", True),
    "weights": ("dummy", "weights", True),
    "prompt": ("why?", "prompt", True),
    "attn_implementation": ("eager", "attention implementation", True),
    "dtype": ("float32", "dtype", True),
    "device": ("xpu", "device", True),
    "batch_size": (2, "batch size", True),
    "timed_new_tokens": (4, "new tokens", True),
    "max_new_tokens": (4, "most new tokens of an answer", True),
    "decode": ("compiled", "decode", True),
    "fake_quant": ("w4a4", "fake quantisation", True),
    "seed": (5, "seed", False),
    "model": ("alias", None, None),
    "repeats": (99, None, None),
    "warmup": (9, None, None),
    "spans": ((), None, None),
}


@pytest.mark.parametrize("field", [item.name for item in fields(Request)])
def test_every_field_of_a_request_is_refused_told_or_ignored(field):
    if field == "media":
        return
    value, name, refused = OTHER[field]
    a, b = made(), made(**{field: value})
    shown = str(getattr(a.request, field)).split(":")[0]
    expected = [] if name is None else [(name, shown, str(value), refused)]
    assert found(a, b) == expected
    assert len(found(b, a)) == len(expected)


def test_what_one_report_does_not_know_is_told_and_not_refused():
    old = made(revision=None)
    revision = made().request.revision
    assert found(old, made()) == [("revision", None, revision, False)]
    assert found(made(), old) == [("revision", revision, None, False)]
    assert found(old, old) == []


def test_the_number_of_a_gpu_does_not_matter_and_its_kind_does():
    assert names(made(device="cuda:0"), made(device="cuda:1")) == []
    assert names(made(device="cuda:0"), made(device="cuda")) == []
    assert ("device", True) in names(made(), made(CPU, device="cpu"))


@pytest.mark.parametrize(
    ("base", "device", "changes", "expected"),
    [
        (GPU, "cuda:0", {"device": "GPU Y"}, [("GPU", True)]),
        (GPU, "cuda:0", {"gpu_uuid": "GPU-2"}, [("GPU UUID", True)]),
        (GPU, "cuda:0", {"gpu_uuid": "1"}, []),  # torch leaves out the kind
        (GPU, "cuda:0", {"gpu_uuid": "MIG-1"}, []),
        (GPU, "cuda:0", {"gpu_uuid": None}, [("GPU UUID", False)]),
        (GPU, "cuda:0", {"device": None}, [("GPU", False)]),
        (GPU, "cuda:0", {"device": "GPU-GPU X"}, [("GPU", True)]),
        (GPU, "cuda:0", {"cpu": "CPU Y"}, [("cpu", False)]),
        (GPU, "cuda:0", {"torch": "2.10"}, [("torch", False)]),
        (GPU, "cuda:0", {"torch": None}, [("torch", False)]),
        (GPU, "cuda:0", {"a_later_field": 1}, [("a later field", False)]),
        (GPU, "cuda:0", {"date": "2030", "sm_clock_mhz": 1, "temperature_c": 2}, []),
        (CPU, "cpu", {"cpu": "CPU Y"}, [("CPU", True)]),
        (CPU, "cpu", {"torch_threads": 1}, [("torch threads", True)]),
        (CPU, "cpu", {"torch_threads": None}, [("torch threads", False)]),
        (CPU, "cpu", {"gpu_uuid": "GPU-1"}, [("gpu uuid", False)]),
    ],
)
def test_hardware_is_refused_and_software_told(base, device, changes, expected):
    a, b = made(base, device=device), made({**base, **changes}, device=device)
    assert names(a, b) == expected
    assert names(b, a) == expected


def test_hardware_that_neither_knows_is_told():
    assert found(made({}), made({})) == [
        ("GPU", None, None, False), ("GPU UUID", None, None, False),
    ]  # fmt: skip


def test_the_refused_come_first():
    a, b = made(seed=1), made({**GPU, "torch": "2.10", "gpu_uuid": "2"}, seed=2, prompt="why?")
    assert names(a, b) == [
        ("prompt", True), ("GPU UUID", True), ("seed", False), ("torch", False),
    ]  # fmt: skip


def test_what_has_parts_is_told_in_one_order():
    a, b = made({**GPU, "libraries": {"b": 1, "a": 2}}), made({**GPU, "libraries": {}})
    assert found(a, b) == [("libraries", '{"a": 2, "b": 1}', "{}", False)]


def test_long_values_are_cut():
    a, b = made(prompt="x" * 60), made(prompt="y" * 61)
    assert found(a, b) == [("prompt", "x" * 60, "y" * 57 + "...", True)]


# Arms -----------------------------------------------------------------------------------------


def test_one_label_for_other_methods_or_schedules_is_told():
    a = made()
    changed = replace(a.arms[1], schedule="1:0.5", method="other")
    b = replace(a, arms=(changed, a.arms[0]))
    assert found(a, b) == [
        ("method of v2drop", "v2drop", "other", False),
        ("schedule of v2drop", a.arms[1].schedule, "1:0.5", False),
    ]
    assert found(a, replace(a, arms=a.arms[:1])) == []


def test_so_are_other_parameters_where_both_know_them():
    a = made()
    ours = replace(a.arms[1], parameters={"g": 0.001, "q": 0.5, "old": 1})
    theirs = replace(a.arms[1], parameters={"q": 0.5, "g": 0.0011, "new": 1})
    before, after = (replace(a, arms=(a.arms[0], arm)) for arm in (ours, theirs))
    assert found(before, after) == [("g of v2drop", "0.001", "0.0011", False)]
    assert found(before, a) == []


# Media ----------------------------------------------------------------------------------------

PICTURE = replace(factory.IMAGE, sha256="a" * 64)
CLIP = replace(factory.VIDEO, sha256="a" * 64)


def shown(*media):
    return made(media=media)


def test_content_tells_files_apart_and_names_do_not():
    assert names(shown(PICTURE), shown(replace(PICTURE, path="other.png"))) == []
    other = replace(PICTURE, sha256="b" * 64)
    assert found(shown(PICTURE), shown(other)) == [
        ("media", f"street scene.jpg 640x480 sha256 {'a' * 12}",
         f"street scene.jpg 640x480 sha256 {'b' * 12}", True),
    ]  # fmt: skip
    assert names(shown(PICTURE, other), shown(PICTURE, other)) == []
    assert names(shown(PICTURE, other), shown(other, PICTURE)) == [("media", True)]
    assert names(shown(PICTURE), shown(PICTURE, PICTURE)) == [("media", True)]
    assert names(shown(PICTURE), shown()) == [("media", True)]


def test_without_a_digest_the_name_decides_and_the_folder_does_not():
    plain = factory.IMAGE
    assert names(shown(plain), shown(replace(plain, path="elsewhere/street scene.jpg"))) == []
    assert names(shown(plain), shown(replace(plain, path="other.jpg"))) == [("media", True)]
    digest = [("media digest", None, "a" * 12, False)]
    assert found(shown(plain), shown(PICTURE)) == digest
    assert found(shown(PICTURE), shown(plain)) == [("media digest", "a" * 12, None, False)]
    assert names(shown(plain), shown(plain)) == []
    assert names(shown(plain), shown(replace(PICTURE, path="other.jpg"))) == [("media", True)]


@pytest.mark.parametrize("change", [{"width": 9}, {"height": 9}, {"kind": "video"}])
def test_how_a_file_was_read_counts(change):
    assert names(shown(PICTURE), shown(replace(PICTURE, **change))) == [("media", True)]


def test_the_same_clip_at_other_moments():
    moved = replace(CLIP, frame_times_s=tuple(time + 0.5 for time in CLIP.frame_times_s))
    [difference] = differences(shown(CLIP), shown(moved))
    assert (difference.name, difference.refused) == ("frame times", True)
    assert (difference.a, difference.b) == (
        "kitchen.mp4 frame 0 at 0 s",
        "kitchen.mp4 frame 0 at 0.5 s",
    )
    other = replace(moved, sha256="b" * 64)
    assert names(shown(CLIP, CLIP), shown(moved, other)) == [("media", True)]
    assert names(shown(CLIP, CLIP), shown(moved, CLIP)) == [("frame times", True)]
    assert names(shown(CLIP), shown(moved, CLIP)) == [("media", True)]


def test_the_first_frame_of_another_moment_is_named():
    moments = CLIP.frame_times_s
    later = replace(CLIP, frame_times_s=(*moments[:-1], moments[-1] + 0.25))
    unknown = replace(CLIP, frame_times_s=None)
    assert found(shown(CLIP, CLIP), shown(CLIP, later)) == [
        ("frame times", "kitchen.mp4 frame 7 at 7 s", "kitchen.mp4 frame 7 at 7.25 s", True),
    ]  # fmt: skip
    assert found(shown(CLIP), shown(unknown)) == [
        ("frame times", "kitchen.mp4 frame 0 at 0 s",
         "kitchen.mp4 frame 0 at an unknown time", True),
    ]  # fmt: skip


def test_media_are_named_briefly():
    long = replace(CLIP, path="clips/" + "n" * 15 + "kitchen.mp4")
    nothing = replace(PICTURE, path=None, sha256=None)
    assert found(shown(long), shown(nothing)) == [
        ("media", f"{'n' * 9}kitchen.mp4 336x336 8 frames sha256 {'a' * 12}"[:60],
         "synthetic 640x480", True),
    ]  # fmt: skip
    assert found(shown(), shown(nothing))[0][1] == "none"
    assert found(shown(), shown(replace(nothing, frames=2)))[0][2] == "synthetic 640x480 2 frames"


# What the reader must know --------------------------------------------------------------------


def told(a, b):
    return [(caveat.code, caveat.message) for caveat in warnings(a, b)]


def profiled(*caveats, **changes):
    return replace(factory.profiled(), protocol=factory.protocol(**changes), warnings=caveats)


def test_two_sound_profiles_need_no_word():
    assert told(profiled(), profiled(elapsed_s=1.0)) == []


def test_the_same_report_twice():
    assert [code for code, _ in told(profiled(), profiled())] == ["same-report"]


def test_a_report_without_a_null_or_that_was_not_finished_is_named():
    plain = replace(factory.profiled(), protocol=None)
    [(code, message)] = told(plain, profiled())
    assert (code, message[:2]) == ("no-null", "A ")
    [(code, message)] = told(profiled(), plain)
    assert (code, message[:2]) == ("no-null", "B ")
    partial = profiled(partial=True, stopped_by="interrupted", rounds=1)
    [(code, message)] = told(partial, profiled())
    assert code == "partial"
    assert "(interrupted): 1 round only" in message
    [(_, message)] = told(
        replace(partial, protocol=replace(partial.protocol, rounds=2)), profiled()
    )
    assert "2 rounds only" in message
    [(_, message)] = told(
        replace(partial, protocol=replace(partial.protocol, rounds=0)), profiled()
    )
    assert "0 rounds only" in message


def test_what_the_machine_did_meanwhile_is_repeated_and_the_rest_is_not():
    noisy = profiled(Caveat("gpu-shared", "shared"), Caveat("dummy-weights", "x"))
    assert told(noisy, profiled()) == [("gpu-shared", "A: shared")]
    assert told(profiled(), noisy) == [("gpu-shared", "B: shared")]
