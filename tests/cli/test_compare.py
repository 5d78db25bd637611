"""`v2drop compare`: exit codes, forms, and what it makes of files that are no reports."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.commands.test_compare import made
from tests.report import factory
from v2drop_cli.cli import app

runner = CliRunner()


@pytest.fixture
def files(tmp_path):
    def write(**reports):
        paths = []
        for name, report in reports.items():
            paths.append(tmp_path / f"{name}.json")
            paths[-1].write_text(report.dumps(), encoding="utf-8")
        return paths

    return write


def test_the_verdicts_on_a_pipe(v2drop, files):
    result = v2drop("compare", *files(a=made(), b=made(1.1)))
    assert (result.code, result.err) == (0, "")
    rows = [line.split() for line in result.out.splitlines()]
    prefill = [row for row in rows if row[:1] == ["prefill"]]
    assert [row[-1] for row in prefill] == ["slower", "slower"]
    assert prefill[1][1:5] == ["100", "ms", "110", "ms"]
    assert "1.100x" in prefill[1]
    for said in ("a.json", "b.json", "noise floor", "KV cache", "answers"):
        assert said in result.out
    assert "\x1b" not in result.out


def test_verdicts_side_by_side(v2drop, files):
    worse = made(1.3)
    arms = (worse.arms[0], replace(worse.arms[1], timing=made(0.8).arms[1].timing))
    result = v2drop("compare", *files(a=made(), b=replace(worse, arms=arms)), "--json")
    document = json.loads(result.out)
    assert document["schema"] == "v2drop.compare/1"
    verdicts = {
        arm["label"]: {item["metric"]: item["verdict"] for item in arm["changes"]}
        for arm in document["arms"]
    }
    assert verdicts["dense"]["prefill"] == "slower"
    assert verdicts["v2drop"]["prefill"] == "faster"
    assert verdicts["v2drop"]["kv_cache"] == "same"


@pytest.mark.parametrize(
    ("scale", "gate", "code"),
    [
        (1.1, "prefill:5%", 3),
        (1.1, "prefill:5%,kv_cache:0%", 3),
        (1.1, "prefill:20%", 0),
        (1.0, "prefill:5%,peak_memory:2%,answers:0%", 0),
        (0.9, "prefill:0%", 0),
    ],
)
def test_gates_and_exit_codes(v2drop, files, scale, gate, code):
    result = v2drop("compare", *files(a=made(), b=made(scale)), "--fail-if", gate)
    assert result.code == code, result.err
    assert "noise floor" in result.out  # the comparison comes first, whatever the gate says
    if code:
        assert result.err.startswith("error: 1 gate(s) failed: prefill:5%: dense: prefill is 1.100")
    else:
        assert result.err == ""


@pytest.mark.parametrize(
    ("scale", "gates", "loose", "strict"),
    [
        (1.0, "prefill:5%", 0, 0),
        (1.1, "prefill:10%", 0, 5),  # the threshold lies inside the interval
        (1.1, "prefill:10%,kv_cache:0%", 0, 5),
        (1.1, "prefill:10%,generate:5%", 3, 3),  # a failure outweighs doubt
    ],
)
def test_undecided_gates_are_told_and_fail_only_if_strict(
    v2drop, files, scale, gates, loose, strict
):
    pair = files(a=made(), b=made(scale))
    said = "prefill:10%: dense: prefill is 1.100 times that of A, 95 % interval 1."
    told = v2drop("compare", *pair, "--fail-if", gates)
    assert told.code == loose, told.err
    undecided = [line for line in told.err.splitlines() if line.startswith("undecided: ")]
    assert len(undecided) == (strict != 0)
    assert all(said in line for line in undecided)
    assert ("gate undecided" in told.out) == (strict != 0)
    sure = v2drop("compare", *pair, "--fail-if", gates, "--strict")
    assert (sure.code, sure.out) == (strict, told.out)
    if strict == 5:
        error, hint = sure.err.splitlines()
        assert error.startswith(f"error: 1 gate(s) undecided: {said}")
        assert hint.startswith("hint: ")
    else:
        assert sure.err == told.err


def test_strict_without_a_gate_is_refused(v2drop, files):
    pair = files(a=made(), b=made())
    v2drop("compare", *pair, "--strict").refused(2, "--strict is about gates", "--fail-if")
    v2drop("profile", "--image", "x.png", "--strict").refused(2, "--strict is about gates")


def test_the_document_goes_to_files_too(v2drop, files, tmp_path):
    out, page = tmp_path / "out.json", tmp_path / "out.md"
    result = v2drop(
        "compare", *files(a=made(), b=made(1.1)), "--json", "--output", out, "--export-md", page,
        "--fail-if", "prefill:5%",
    )  # fmt: skip
    assert result.code == 3
    assert json.loads(out.read_text()) == json.loads(result.out)
    text = page.read_text()
    assert "## dense" in text
    assert "| prefill |" in text
    assert "slower" in text
    assert "- **gate failed** prefill:5%" in text


def test_quiet_says_what_changed_and_no_more(v2drop, files, tmp_path):
    page = tmp_path / "out.md"
    pair = files(a=made(), b=made(1.1))
    loud, quiet = v2drop("compare", *pair), v2drop("compare", *pair, "--quiet", "--export-md", page)
    assert quiet.code == 0
    assert quiet.out.startswith("B is slower than A in ")
    assert quiet.out.splitlines()[0] in loud.out
    assert len(quiet.out.splitlines()) < len(loud.out.splitlines()) / 2
    assert " same" not in quiet.out
    assert page.read_text().startswith("# v2drop\n\n**B is slower than A in ")
    both = [v2drop("compare", *pair, "--json", *more).out for more in ((), ("--quiet",))]
    assert both[0] == both[1]


def test_incomparable_reports_are_refused_unless_asked_for_anyway(v2drop, files):
    other = made(request=factory.request(dtype="float32", prompt="a\x1b[31mb"))
    paths = files(a=made(), b=other)
    v2drop("compare", *paths).refused(2, "dtype (bfloat16 / float32)", "prompt", "--anyway")
    v2drop("compare", *paths, "--json").refused(2, "dtype")
    result = v2drop("compare", *paths, "--anyway")
    assert result.code == 0
    assert "dtype: bfloat16 in A, float32 in B (not comparable)" in result.out
    assert "\x1b" not in result.out
    document = json.loads(v2drop("compare", *paths, "--anyway", "--json").out)
    assert [item["name"] for item in document["differences"] if item["refused"]] == [
        "prompt", "dtype",
    ]  # fmt: skip


def test_a_gate_on_what_only_one_report_has_leaves_with_5(v2drop, files):
    """Neither slower nor fine: 3 is for what is worse."""
    less = replace(made(), arms=made().arms[:1], comparisons=())
    result = v2drop("compare", *files(a=made(), b=less), "--fail-if", "v2drop:prefill:5%")
    assert result.code == 5
    assert "error: 1 gate(s) unmeasured: v2drop:prefill:5%: there is no arm 'v2drop'" in result.err
    v2drop("compare", *files(a=made(), b=less), "--fail-if", "v2dorp:prefill:5%").refused(
        2, "unknown arm 'v2dorp'", "did you mean v2drop"
    )
    worse = replace(made(1.5), arms=made(1.5).arms[:1], comparisons=())
    both = ("--fail-if", "v2drop:prefill:5%,dense:prefill:5%")
    result = v2drop("compare", *files(a=made(), b=worse), *both)
    assert result.code == 3
    assert "unmeasured: v2drop:prefill:5%" in result.err


def test_a_partial_report_and_other_versions_warn(v2drop, files):
    partial = factory.protocol(partial=True, stopped_by="running", rounds=1)
    environment = {**made().environment, "torch": "2.99"}
    b = replace(made(1.1), protocol=partial, environment=environment)
    result = v2drop("compare", *files(a=made(), b=b))
    assert result.code == 0
    assert "B is partial (running): 1 round only" in result.out
    assert "torch: 2.9.1 in A, 2.99 in B" in result.out


def test_options_that_mean_nothing_come_before_the_files(v2drop):
    nowhere = ("compare", "no-a.json", "no-b.json")
    v2drop(*nowhere).refused(2, "there is no report 'no-a.json'")
    v2drop(*nowhere, "--fail-if", "prefill<1").refused(2, "cannot read the gate")
    v2drop(*nowhere, "--fail-if", "prefil:5%").refused(2, "did you mean prefill")
    v2drop(*nowhere, "--margin", "0").refused(2, "--margin '0' is no share")
    v2drop(*nowhere, "--margin", "many").refused(2, "is no share")
    v2drop(*nowhere, "--output", "/no/such/dir/x").refused(2, "no directory")
    assert v2drop("compare", "only-a.json").code == 2


def test_profile_refuses_the_gates_of_compare(v2drop):
    v2drop("profile", "--image", "x.png", "--fail-if", "prefill_speedup:5%").refused(
        2, "for the other command", "METRIC<NUMBER"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"[]", "not a v2drop report"),
        (b'{"results": [1, 2]}', "not a v2drop report"),
        (b'{"schema": "v2drop.report/2"}', "this version of v2drop reads v2drop.report/1"),
        (b'{"schema": "v2drop.report/0"}', "'v2drop.report/0' is not known"),
        (b'{"schema": "v2drop.compare/1"}', "this is a document of v2drop compare"),
        (b'{"schema": "v2drop.tune/1"}', "this is a document of v2drop tune"),
        (b'{"schema": "v2drop.eval/1"}', "give one of v2drop run or v2drop profile"),
        (b'{"schema": "' + b"x" * 9000 + b'"}', "is not known"),
        (b'{"schema": "v2drop.report/1"}', "environment is missing"),
        (made().dumps().encode()[:-3000], "is not JSON"),
        (made().dumps().encode().replace(b'"v2drop"', b"7", 1), "arms[1].label is 7"),
        (made().dumps().replace("0.2,", "1e999,", 1).encode(), "timing.prefill_s.median is inf"),
        (made().dumps().replace("576,", "9" * 40 + ",", 1).encode(), "arms[0].vision_tokens is 99"),
        (made().dumps().replace("576,", "9" * 5000 + ",", 1).encode(), "is not JSON"),
        (made().dumps().encode("utf-16"), "is not JSON"),
    ],
)
@pytest.mark.parametrize("side", ["a", "b"])
def test_what_is_no_report_is_one_clear_line(v2drop, files, tmp_path, content, said, side):
    [sound] = files(sound=made())
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    pair = (bad, sound) if side == "a" else (sound, bad)
    result = v2drop("compare", *pair)
    result.refused(2, "bad.json", said)
    assert len(result.err) < 600


# Anything at all -----------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from([0, -1, 1e308, 5e-324, -0.0, 10**25, "", "dense", "cpu", "\x1b[2J", "\ud800"]),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def places(value, path=()):
    """Every place in a document, itself excluded."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)) and item:
            yield from places(item, (*path, key))


SOUND = json.loads(factory.profiled().dumps())
PLACES = list(places(SOUND))


def changed(edits):
    document = copy.deepcopy(SOUND)
    for (*path, last), remove, value in edits:
        spot = document
        try:
            for step in path:
                spot = spot[step]
            if remove:
                del spot[last]
            else:
                spot[last] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier edit took that place away
    return document


EDITS = st.lists(st.tuples(st.sampled_from(PLACES), st.booleans(), VALUES), min_size=1, max_size=3)


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(edits=EDITS, anyway=st.booleans())
def test_no_change_of_a_report_ends_in_a_traceback(tmp_path, edits, anyway):
    """Refused in one line with a hint, or compared: never the unexpected."""
    sound, other = tmp_path / "a.json", tmp_path / "b.json"
    sound.write_text(json.dumps(SOUND))
    other.write_text(json.dumps(changed(edits)))
    extra = ["--anyway"] if anyway else []
    raw = runner.invoke(app, ["compare", str(sound), str(other), "--json", *extra])
    assert raw.exit_code in (0, 2), raw.stderr
    if raw.exit_code == 0:
        assert json.loads(raw.stdout)["schema"] == "v2drop.compare/1"
        shown = runner.invoke(app, ["compare", str(other), str(sound), *extra])
        assert shown.exit_code == 0, shown.stderr
        assert "\x1b" not in shown.stdout
    else:
        assert raw.stdout == ""
        assert raw.stderr.startswith("error: ")
        assert "not expected" not in raw.stderr
        assert len(raw.stderr.splitlines()) == 2


@settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(keep=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=20))
def test_a_torn_file_is_one_clear_line(tmp_path, keep, junk):
    sound, torn = tmp_path / "a.json", tmp_path / "b.json"
    text = json.dumps(SOUND).encode()
    sound.write_bytes(text)
    torn.write_bytes(text[: int(len(text) * keep)] + junk)
    raw = runner.invoke(app, ["compare", str(sound), str(torn)])
    assert (raw.exit_code, raw.stdout) == (2, "")
    assert raw.stderr.startswith("error: ")
    assert "not expected" not in raw.stderr


def test_the_page_of_a_comparison(v2drop, files, tmp_path):
    page = tmp_path / "changes.html"
    result = v2drop("compare", *files(a=made(), b=made(1.1)), "--export-html", page, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)["summary"]
    assert summary.startswith("B is slower than A in ")
    text = page.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert f">{summary}</h1>" in text
    assert "v2drop compare " in text
