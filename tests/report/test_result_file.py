from __future__ import annotations

import copy
import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.errors import OutputPathError, UsageError, V2DropError
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Answer, Stats, Timing
from v2drop_cli.records.reading import load_report, read_report, validate
from v2drop_cli.report import result_file
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.result_file import ResultFile, write_atomically

STATS = {"median", "samples", "ci95"}
RATIO = {"median", "ci95"}
COMPARISON = {
    "arm",
    "reference",
    "prefill_speedup",
    "decode_speedup",
    "generate_speedup",
    "peak_memory_ratio",
    "kv_cache_ratio",
    "answers_identical",
    "ideal_prefill_speedup",
    "realised_over_ideal",
    "token_agreement",
    "first_divergence",
    "verdicts",
}


def read(path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", factory.REPORTS)
def test_round_trip(name, tmp_path):
    report = factory.REPORTS[name]()
    path = tmp_path / "report.json"
    ResultFile(path).write(report.dumps())
    assert load_report(path) == report.to_json()


def test_keys_are_the_contract(tmp_path):
    document = json.loads(factory.four_arms().dumps())
    assert list(document) == [
        "schema",
        "environment",
        "request",
        "arms",
        "comparisons",
        "null_comparison",
        "warnings",
        "protocol",
        "stopped_by",
        "random_comparisons",
        "lead",
        "summary",
        "command",
    ]
    assert document["schema"] == "v2drop.report/1"
    assert set(document["request"]) == {
        *("model", "resolved_id", "revision", "weights", "media", "prompt", "attn_implementation"),
        *("dtype", "device", "seed", "max_new_tokens", "repeats", "warmup", "timed_new_tokens"),
        "batch_size",
        *("decode", "spans", "fake_quant"),
    }
    arm = document["arms"][1]
    assert set(arm) == {
        *("label", "method", "schedule", "answer", "vision_tokens"),
        *("layer_average_vision_tokens", "drops", "timing", "memory", "energy_j", "limit"),
        *("capture_s", "parameters", "movements", "budget", "solved"),
    }
    assert set(arm["answer"]) == {"text", "token_ids"}
    assert set(arm["drops"][0]) == {"layer", "before", "after", "kept", "sources"}
    assert set(arm["timing"]) == {
        *("preprocess_s", "vision_s", "prefill_s", "time_to_first_token_s"),
        *("decode_s_per_token", "generate_s", "wall_s", "media_s", "end_to_end_s"),
        *("processor_s", "transfer_s", "tower_s", "projector_s", "drop_s", "host_wait_s"),
        "merging_s",
    }
    assert set(arm["timing"]["prefill_s"]) == STATS
    assert set(arm["memory"]) == {
        *("weights_bytes", "kv_cache_bytes", "peak_allocated_bytes", "peak_reserved_bytes"),
        *("nvml_used_bytes", "rss_peak_bytes", "activation_bytes"),
    }
    assert set(document["comparisons"][0]) == set(document["null_comparison"]) == COMPARISON
    assert set(document["comparisons"][0]["prefill_speedup"]) == RATIO
    said = judged(factory.report()).to_json()["comparisons"][0]["verdicts"][0]
    assert set(said) == {"metric", "verdict", "reason"}
    many = judged(factory.twelve_arms()).to_json()
    assert set(many["lead"]) == {"arm", "metric", "same_answer", "tied"}
    assert set(many["random_comparisons"][0]) == COMPARISON
    moved = factory.explained().to_json()["arms"][1]["movements"][0]
    assert set(moved) == {"layer", "tokens", "shared_update", "score_gini"}
    warning = json.loads(factory.dummy_report().dumps())["warnings"][0]
    assert set(warning) == {"code", "message"}


def test_nan_is_refused():
    arm = factory.dense(timing=Timing(prefill_s=Stats(math.nan, (math.nan,))))
    with pytest.raises(ValueError, match="not JSON compliant"):
        factory.report(arms=(arm,)).dumps()


def test_names_that_are_no_text_survive(tmp_path):
    report = factory.report(arms=(factory.dense("\udcff \ud800 🙂"),), comparisons=())
    path = tmp_path / "report.json"
    ResultFile(path).write(report.dumps())
    assert load_report(path)["arms"][0]["answer"]["text"] == "\udcff \ud800 🙂"


def test_write_makes_and_replaces(tmp_path):
    path = tmp_path / "out.json"
    write_atomically(path, "one")
    write_atomically(str(path), "two é")
    assert read(path) == "two é"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new").chmod(0o604)
    write_atomically(tmp_path / "new", "y")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to("real/out.json")
    ResultFile(tmp_path / "link.json").write("text")
    assert (tmp_path / "link.json").is_symlink()
    assert read(tmp_path / "real" / "out.json") == "text"


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch, step, error):
    def fail(*_):
        raise error

    path = tmp_path / "out.json"
    write_atomically(path, "old")
    monkeypatch.setattr(result_file.os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_right_after_opening_leaves_no_draft(tmp_path, monkeypatch):
    """Ctrl-C between the file's making and the next line of Python."""
    really_open = os.open

    def interrupted(*args):
        os.close(really_open(*args))
        raise KeyboardInterrupt

    path = tmp_path / "out.json"
    write_atomically(path, "old")
    monkeypatch.setattr(result_file.os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    with pytest.raises(KeyboardInterrupt):
        ResultFile(path)
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_runtime_error_with_a_hint(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    result = ResultFile(tmp_path / "out.json")
    monkeypatch.setattr(result_file.os, "fsync", fail)
    with pytest.raises(V2DropError, match="No space left on device") as caught:
        result.write("text")
    assert caught.value.exit_code == 1
    assert caught.value.hint
    assert not (tmp_path / "out.json").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
@pytest.mark.parametrize("old", [None, '{"round": 1}'])
def test_a_writer_killed_midway_leaves_the_last_complete_document_or_none(tmp_path, old):
    path = tmp_path / "out.json"
    if old is not None:
        path.write_text(old)
    code = (
        "import os, signal, sys\n"
        "from v2drop_cli.report.result_file import ResultFile\n"
        "result = ResultFile(sys.argv[1])\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "result.write('x' * 100_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (read(path) if path.exists() else None) == old


def test_checking_changes_nothing(tmp_path):
    path = tmp_path / "out.json"
    ResultFile(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("kept")
    ResultFile(path)
    assert read(path) == "kept"


def bad_paths(root):
    (root / "file").write_text("x")
    (root / "folder").mkdir()
    (root / "pointing").symlink_to(root / "gone" / "out.json")
    return {
        "directory": (root / "folder", "is a directory", "folder/report.json"),
        "missing parent": (root / "a b" / "out.json", "there is no directory", "mkdir -p '"),
        "file as parent": (root / "file" / "out.json", "is a file, not a directory", "choose"),
        "file as grandparent": (root / "file" / "x" / "out.json", "no directory", ""),
        "dangling link": (root / "pointing", "there is no directory", "mkdir -p"),
        "long name": (root / ("x" * 300), "too long", "choose"),
        "null byte": (f"{root}/a\0b", "null", "choose"),
        "empty": ("", "is a directory", "report.json"),
    }


@pytest.mark.parametrize(
    "case",
    [
        *("directory", "missing parent", "file as parent", "file as grandparent"),
        *("dangling link", "long name", "null byte", "empty"),
    ],
)
def test_bad_paths_are_refused_before_measuring(tmp_path, case):
    path, message, hint = bad_paths(tmp_path)[case]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputPathError, match=message) as caught:
        ResultFile(path)
    assert caught.value.exit_code == 2
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_device_is_never_replaced_by_a_file():
    with pytest.raises(OutputPathError, match="not a regular file") as caught:
        ResultFile("/dev/null")
    assert "--json" in caught.value.hint


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="POSIX sockets")
def test_a_refusing_directory_and_a_protected_file(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(result_file.os, "open", refuse)
    with pytest.raises(OutputPathError, match="Permission denied"):
        ResultFile(tmp_path / "out.json")
    (tmp_path / "out.json").write_text("x")
    monkeypatch.setattr(result_file.os, "access", lambda *_: False)
    with pytest.raises(OutputPathError, match="write-protected"):
        ResultFile(tmp_path / "out.json")


def changed(*path_and_value):
    *path, last, value = path_and_value
    document = copy.deepcopy(factory.report().to_json())
    place = document
    for step in path:
        place = place[step]
    place[last] = value
    return document


LEAD = {"arm": "dense", "metric": "generate_speedup", "same_answer": True, "tied": []}
BACKWARDS = {"median": 2.0, "ci95": [3.0, 1.0]}


def against(**changes):
    """A comparison of the only arm with dense, as JSON."""
    return {**factory.report().to_json()["comparisons"][0], **changes}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a v2drop report"),
        ({"schema": 1}, "not a v2drop report"),
        ({"results": []}, "not a v2drop report"),
        ({"schema": "v2drop.report/2"}, "schema 'v2drop.report/2' is not known"),
        ({"schema": "v2drop.report/1"}, "environment is missing"),
        (changed("arms", "none"), "arms is 'none'"),
        (changed("arms", 0, None), r"arms\[0\] is None"),
        (changed("arms", 0, "vision_tokens", True), r"arms\[0\].vision_tokens is True"),
        (changed("arms", 0, "vision_tokens", 1.5), "vision_tokens is 1.5"),
        (changed("arms", 0, "vision_tokens", -1), r"arms\[0\].vision_tokens is negative"),
        (changed("arms", 0, "memory", "kv_cache_bytes", -8), "kv_cache_bytes is negative"),
        (changed("arms", 0, "energy_j", -0.5), "energy_j is negative"),
        (changed("comparisons", 0, "prefill_speedup", "median", -2.0), "median is negative"),
        (changed("arms", 0, "answer", "token_ids", ["x"]), r"token_ids\[0\] is 'x'"),
        (changed("arms", 1, "label", "dense"), "same label"),
        (changed("arms", 1, "drops", 0, "after", 999), "more tokens than it found"),
        (changed("arms", 0, "timing", "prefill_s", "median", 9.0), "not among its samples"),
        (changed("arms", 0, "timing", "prefill_s", "median", math.inf), "median is inf"),
        (changed("arms", 0, "timing", "prefill_s", "samples", []), "no samples"),
        (changed("arms", 0, "timing", "prefill_s", "ci95", [1.0]), r"ci95 is \[1.0\]"),
        (changed("comparisons", 0, "arm", "other"), "'other', which is no arm"),
        (changed("comparisons", 0, "prefill_speedup", "ci95", [3.0, 1.0]), "runs backwards"),
        (changed("random_comparisons", [against(reference="r")]), r"random_comparisons\[0\].*'r'"),
        (changed("random_comparisons", [against(prefill_speedup=BACKWARDS)]), "runs backwards"),
        (changed("lead", {**LEAD, "arm": "a"}), "lead names 'a', which is no arm"),
        (changed("lead", {**LEAD, "tied": ["b"]}), "lead names 'b', which is no arm"),
        (changed("lead", {**LEAD, "tied": 3}), "lead.tied is 3"),
        (changed("comparisons", 0, "prefill_speedup", "ci95", [-1.0, 3.0]), "ci95 is negative"),
        (changed("request", "media", 0, "path", "x" * 99 and 5), r"media\[0\].path is 5"),
        (changed("environment", ["x" * 99]), r"environment is \['x+\.\.\."),
    ],
)
def test_foreign_and_tampered_documents_are_refused(document, message):
    with pytest.raises(UsageError, match=message) as caught:
        validate(document)
    assert caught.value.hint


def test_keys_that_came_later_may_be_missing_but_not_wrong():
    document = factory.report().to_json()
    for media in document["request"]["media"]:
        assert media.pop("synthetic") is False
        assert media.pop("sha256") is None
    validate(document)
    document["request"]["media"][0]["synthetic"] = "no"
    with pytest.raises(UsageError, match=r"media\[0\].synthetic is 'no'"):
        validate(document)


def test_a_report_from_before_random_and_the_lead_were_told_is_read(tmp_path):
    found = judged(factory.twelve_arms())
    document = found.to_json()
    for name in ("random_comparisons", "lead"):
        assert document.pop(name)
    assert document["request"].pop("fake_quant") == "none"
    for arm in document["arms"]:
        assert arm.pop("movements") == []
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    old = read_report(path)
    assert old == replace(found, random_comparisons=(), lead=None)
    assert "the fastest" not in str(build_view(old).finding)


def test_additions_of_later_versions_are_let_through():
    validate(changed("arms", 0, "memory", "swap_bytes", 5))
    validate(changed("gpu", {"any": "thing"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no report"),
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"schema": "v2drop.report/1", "arms": [', "is not JSON"),
        (b'{"schema": NaN}', "NaN is not a number in JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": 1}', "not a v2drop report"),
    ],
)
def test_files_that_are_no_report_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_report(path)
    assert "some.json" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_directory_is_no_report(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        load_report(tmp_path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = tmp_path / "bom.json"
    path.write_text(factory.report().dumps(), encoding="utf-8-sig")
    assert load_report(path) == factory.report().to_json()


def test_an_answer_of_any_text_round_trips(tmp_path):
    answer = Answer("\x00\x1b[red]\u2028\n", (1,))
    report = factory.report(arms=(replace(factory.dense(), answer=answer),), comparisons=())
    write_atomically(tmp_path / "r.json", report.dumps())
    assert load_report(tmp_path / "r.json")["arms"][0]["answer"]["text"] == answer.text
