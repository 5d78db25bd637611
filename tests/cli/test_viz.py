"""`v2drop viz`: a saved report and a prompt become files; what is missing is said."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from tests.cli.conftest import SAMPLES
from tests.cli.test_start import modules_after

SCENE, CLIP = SAMPLES / "scene.png", SAMPLES / "clip.mp4"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A report, and the picture that it names beside it."""
    from typer.testing import CliRunner

    from v2drop_cli.cli import app

    folder = tmp_path_factory.mktemp("saved")
    picture, path = folder / "own.png", folder / "report.json"
    shutil.copy(SCENE, picture)
    options = ["--repeats", "1", "--warmup", "0", "--max-new-tokens", "2", "--no-config"]
    run = ["run", "--image", str(picture), "--output", str(path), *options]
    assert CliRunner().invoke(app, run).exit_code == 0
    return path


@pytest.fixture
def copied(saved, tmp_path):
    """The same report and picture, to spoil."""
    shutil.copytree(saved.parent, tmp_path / "own")
    return tmp_path / "own" / saved.name


def test_a_report_becomes_two_files_without_a_model(v2drop, saved, tmp_path):
    result = v2drop("viz", saved, "--output", tmp_path / "out")
    assert (result.code, result.out) == (0, "")
    files = [tmp_path / "out" / f"report-kept{ending}" for ending in (".svg", ".png")]
    assert result.said == [f"Wrote {file}" for file in files]
    assert "data:image/png;base64," in files[0].read_text(encoding="utf-8")
    with Image.open(files[1]) as image:
        assert image.width > 1000
    assert not modules_after("viz", str(saved), "--output", str(tmp_path)) & {
        "torch", "transformers", "scipy",
    }  # fmt: skip


def test_one_file_in_the_form_of_its_name(v2drop, saved, tmp_path):
    path = tmp_path / "kept.PNG"
    assert v2drop("viz", saved, "--output", path).said == [f"Wrote {path}"]
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_files_go_here_if_nothing_is_said(v2drop, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert v2drop("viz", saved).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report-kept.png",
        "report-kept.svg",
    ]


def spoil(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_picture_that_is_gone_is_said_and_grey(v2drop, copied, tmp_path):
    gone = copied.parent / "own.png"
    gone.unlink()
    spoil(copied, lambda report: report["request"]["media"][0].update(path=str(gone)))
    result = v2drop("viz", copied, "--output", tmp_path)
    assert result.code == 0
    assert f"warning: {gone} is not there: a grey canvas stands for it" in result.said
    svg = (tmp_path / "report-kept.svg").read_text(encoding="utf-8")
    assert "data:image" not in svg
    assert "is not there" in svg


def test_a_picture_that_changed_is_not_drawn(v2drop, copied, tmp_path):
    Image.new("RGB", (672, 672)).save(copied.parent / "own.png")
    spoil(copied, lambda report: report["request"]["media"][0].update(path="own.png"))
    result = v2drop("viz", copied, "--output", tmp_path)
    assert any("another file now" in line for line in result.said)
    assert "data:image" not in (tmp_path / "report-kept.svg").read_text(encoding="utf-8")


def test_a_report_of_the_version_before_is_drawn_with_what_it_says(v2drop, copied, tmp_path):
    def older(report):
        for span in report["request"]["spans"]:
            del span["shown"], span["frames"]

    spoil(copied, older)
    assert v2drop("viz", copied, "--output", tmp_path).code == 0
    svg = (tmp_path / "report-kept.svg").read_text(encoding="utf-8")
    assert "not known" in svg
    assert "data:image" not in svg


def test_a_report_before_spans_says_what_it_lacks(v2drop, copied):
    spoil(copied, lambda report: report["request"].pop("spans"))
    v2drop("viz", copied).refused(2, "does not say where its vision tokens lie")


def test_a_report_that_dropped_nothing_has_nothing_to_draw(v2drop, copied):
    spoil(copied, lambda report: [arm.update(drops=[]) for arm in report["arms"]])
    v2drop("viz", copied).refused(2, "nothing to draw")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["media"][0].update(height=0), "request.media[0] is 336x0 pixels"),
        (lambda r: r["spans"][0].update(runs=[[5, -1], [5, 577]]), "a run that is negative"),
    ],
)
def test_a_report_that_makes_no_sense_is_one_clear_line(v2drop, copied, change, said):
    spoil(copied, lambda report: change(report["request"]))
    v2drop("viz", copied).refused(2, said)


def test_a_prompt_is_run_once_and_drawn(v2drop, tmp_path):
    methods = ("--method", "v2drop", "--method", "random")
    result = v2drop("viz", "--image", SCENE, *methods, "--output", tmp_path)
    assert (result.code, result.out) == (0, ""), result.err
    svg = (tmp_path / "scene-kept.svg").read_text(encoding="utf-8")
    assert svg.count("<use ") == 8  # two arms of three drops and the beginning
    assert [">v2drop<" in svg, ">random<" in svg] == [True, True]


def test_an_interrupted_prompt_is_drawn_and_leaves_as_such(v2drop, tmp_path, monkeypatch):
    """Ctrl-C in the timed round: every arm has answered by then."""

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("v2drop_cli.bench.passes.Passes.time", interrupted)
    path = tmp_path / "kept.svg"
    assert v2drop("viz", "--image", SCENE, "--output", path).code == 130
    assert path.is_file()


def test_a_run_draws_beside_its_report(v2drop, tmp_path):
    options = ("--repeats", 1, "--warmup", 0, "--max-new-tokens", 2, "--json")
    result = v2drop("run", "--image", SCENE, *options, "--pictures", tmp_path / "new" / "folder")
    assert (result.code, json.loads(result.out)["request"]["model"]) == (0, "tiny")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["scene-kept.png", "scene-kept.svg"]


def test_a_run_that_cannot_be_drawn_says_why(v2drop, tmp_path, monkeypatch):
    monkeypatch.setattr("v2drop_cli.bench.passes.spans", lambda *given: None)
    options = ("--repeats", 1, "--warmup", 0, "--max-new-tokens", 2, "--pictures", tmp_path)
    result = v2drop("run", "--image", SCENE, *options)
    assert result.code == 0
    assert any(line.startswith("warning: no pictures: ") for line in result.said)
    assert not [*tmp_path.iterdir()]


def test_scores_lie_behind_the_tokens_of_a_prompt_alone(v2drop, saved, tmp_path):
    path = tmp_path / "kept.svg"
    assert v2drop("viz", "--image", SCENE, "--scores", "--output", path).code == 0
    assert path.read_text(encoding="utf-8").count('fill="#ff2d20"') == 576 + 288
    v2drop("viz", saved, "--scores").refused(2, "a report together with --scores")


def test_a_clip_has_a_sheet_a_frame_with_its_count(v2drop, tmp_path):
    path = tmp_path / "kept.svg"
    assert v2drop("viz", "--video", CLIP, "--budget", "33%", "--output", path).code == 0
    svg = path.read_text(encoding="utf-8")
    assert svg.count("<image ") == 8
    assert svg.count(">144/144<") == 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("missing.json",), "missing.json"),
        ((), "nothing to look at"),
        (
            ("report.json", "--seed", 1, "--image", "x.png"),
            "a report together with --image, --seed",
        ),
        (("--image", SCENE, "--output", "kept.jpg"), "kept.jpg"),
        (("--image", SCENE, "--output", "file/under"), "cannot make the folder"),
        (("--image", SCENE, "--output", f"{'x' * 5000}.png"), "cannot write"),
    ],
)
def test_what_is_wrong_is_said_first(v2drop, args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    v2drop("viz", *args).refused(2, said)


def test_what_is_read_is_not_written_over(v2drop, tmp_path):
    picture = tmp_path / "own.png"
    shutil.copy(SCENE, picture)
    v2drop("viz", "--image", picture, "--output", picture).refused(2, "is read, too")


def test_options_of_a_config_file_do_not_stand_against_a_report(v2drop, saved, tmp_path):
    settings = tmp_path / "own.toml"
    settings.write_text('[viz]\nmethod = ["random"]\nseed = 3\n', encoding="utf-8")
    path = tmp_path / "kept.svg"
    assert v2drop("viz", saved, "--config", settings, "--output", path).code == 0
