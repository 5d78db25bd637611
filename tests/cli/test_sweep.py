"""`v2drop sweep` from the command line: the report, the files, what is refused."""

from __future__ import annotations

import csv
import json

import pytest

from tests.checkpoints import save_config
from tests.cli.conftest import SAMPLES
from v2drop_cli.cli.groups.sweep_options import SweepMeasuring, SweepSizes
from v2drop_cli.errors import UsageError
from v2drop_cli.records.reading import read_sweep

CAT, CLIP = SAMPLES / "cat.jpg", SAMPLES / "clip.mp4"
BRIEF = (
    "--repeats", "1", "--warmup", "0", "--max-time", "0", "--new-tokens", "2",
    "--max-new-tokens", "2",
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A configuration, and nothing else."""
    return save_config(tmp_path_factory.mktemp("config") / "model") / "config.json"


@pytest.fixture
def dummy(v2drop, file):
    def call(*args):
        return v2drop("sweep", "--model", file, "--weights", "dummy", *BRIEF, *args)

    return call


def test_all_files_tell_of_the_same_sweep(dummy, tmp_path):
    paths = [tmp_path / name for name in ("s.json", "s.md", "s.csv", "s.html")]
    flags = ("--output", "--export-md", "--export-csv", "--export-html")
    pairs = [item for pair in zip(flags, paths, strict=True) for item in pair]
    result = dummy("--frames", "2,1", "--text-tokens", 5, "--json", *pairs)
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document == json.loads(paths[0].read_text())
    assert document["schema"] == "v2drop.sweep/1"
    assert document["sizes"] == [1, 2]
    sweep = read_sweep(paths[0])
    assert json.loads(sweep.dumps()) == document
    assert document["command"].startswith("v2drop sweep --frames 2,1")
    assert document["summary"] in paths[1].read_text().replace("\\", "")
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))
    prefill = [float(row["value"]) for row in rows if row["quantity"] == "prefill_s"]
    points = [point for curve in document["curves"] for point in curve["points"]]
    assert prefill == [point["prefill_s"]["median"] for point in points]
    assert {row["frames"] for row in rows} == {"1", "2"}
    assert document["summary"] in paths[3].read_text().replace("\u00a0", " ")
    assert "measuring at 1 frames (1 of 2)" in result.err.splitlines()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--image-size", "24,48"), ("24×24", "48×48", "vision tokens")),
        (("--text-tokens", "4,8"), ("4 text tokens", "tokens of the prompt")),
        (("--batch-size", "1,2", "--frames", 2), ("1 row", "2 rows", "serves", "requests / s")),
    ],
    ids=["image", "text", "batch"],
)
def test_every_dimension_grows(dummy, args, said):
    result = dummy(*args)
    assert result.code == 0, result.err
    for text in (*said, "dense", "v2drop", "prefill FLOPs", "predicted", "fits"):
        assert text in result.out, text


def test_files_grow_too(v2drop, checkpoint):
    clip = ("--video", CLIP, "--frames", "2,4")
    result = v2drop("sweep", "--model", checkpoint, *BRIEF, *clip, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["request"]["media"][0]["path"] == str(CLIP)
    assert [point["vision_tokens"] for point in document["curves"][0]["points"]] == [72, 144]
    assert document["curves"][0]["capacity"]["most"] == 4


def test_a_limit_is_kept_by_prediction(dummy):
    result = dummy("--frames", "1,2", "--max-memory", "100KiB")
    assert result.code == 0, result.err
    assert "no arm had room at any size." in result.out
    assert "over the limit" in result.out
    assert "of 100 KiB asked for" in " ".join(result.out.split())
    assert "not even 1 frame in 100 KiB" in " ".join(result.out.split())


REFUSED = [
    (("--frames", "8"), "nothing grows"),
    ((), "nothing grows"),
    (("--frames", "1,2", "--batch-size", "1,2"), "--frames and --batch-size grow together"),
    (("--frames", "2,2"), "holds a size twice"),
    (("--frames", "1,x"), "--frames 'x' is no size"),
    (("--frames", "1,"), "--frames '' is no size"),
    (("--frames", "0,1"), "--frames '0' is no size"),
    (("--frames", "1,\u0660"), "--frames '\u0660' is no size"),
    (("--frames", f"1,{'9' * 5000}"), "is no size"),
    (("--image-size", "24x24,48x48"), "--image-size '24x24' is no size"),
    (("--frames", "1,2", "--max-memory", "much"), "--max-memory 'much' is no size"),
    (("--frames", "1,2", "--max-memory", "0"), "--max-memory '0' is nothing"),
    (("--frames", "1,2", "--max-memory", f"{'9' * 400}GiB"), "is more than any memory"),
    (("--frames", "1,2", "--precision", "2"), "--precision '2' is no share"),
    (("--frames", "1,2", "--decode", "slow"), "unknown way to decode"),
    (("--frames", "1,2", "--image", CAT), "--frames grow, and --image has none"),
    (("--text-tokens", "1,2", "--image", CAT), "--text-tokens with --image"),
]


@pytest.mark.parametrize(("args", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_means_nothing_is_refused_before_a_model_is_loaded(v2drop, args, said):
    absent = ("sweep", "--model", "llava-1.5-7b", "--weights", "dummy")
    v2drop(*absent, *args).refused(2, said)


def test_more_frames_than_there_are_are_refused(v2drop, checkpoint):
    many = ("--video", CLIP, "--frames", "2,100000")
    v2drop("sweep", "--model", checkpoint, *BRIEF, *many).refused(2, "frames, fewer than 100000")


def test_what_is_seen_at_a_size_is_what_profile_would_be_given():
    given = SweepSizes(frames="4,2,8", image_size="24", batch_size="3")
    assert given.growing() == ("frames", (2, 4, 8))
    seen = given.at(4)
    assert (seen.frames, seen.image_size, given.rows(4)) == (4, ("24x24",), 3)
    wide = SweepSizes(image_size="24x48", text_tokens="1,2")
    assert (wide.at(2).image_size, wide.at(2).text_tokens) == (("24x48",), 2)
    assert SweepSizes(image_size="24,48").at(48).image_size == ("48x48",)
    assert SweepSizes(video="a.mp4", frames="1,9").most() == 9
    assert SweepSizes(image_size="1,9").most() == 13377


def test_memory_is_read_as_people_write_it():
    assert SweepMeasuring(max_memory="24GiB").memory() == 24 * 2**30
    assert SweepMeasuring().memory() is None
    with pytest.raises(UsageError):
        SweepMeasuring(max_memory="24iB").memory()
