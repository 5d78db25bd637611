"""Every bad input: one clear line on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import wave
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.checkpoints import save_checkpoint
from tests.cli.conftest import SAMPLES
from tests.patience import PATIENCE_S, wait_for
from v2drop_cli.errors import V2DropError
from v2drop_cli.records.reading import read_report

CAT = SAMPLES / "cat.jpg"


def write_video(path: Path, frames: int = 12, size: int = 32) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=6)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 1
        for i in range(frames):
            # Noise: frames of some size, so that a cut lands among them.
            picture = np.random.default_rng(i).integers(0, 256, (size, size, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# Files ---------------------------------------------------------------------------------------


def test_missing_file(v2drop):
    v2drop("run", "--image", "no-such.jpg").refused(2, "no-such.jpg")


def test_a_prompt_that_is_no_text(v2drop):
    """As a shell hands on bytes that are no UTF-8."""
    prompt = b"what is \x9b?".decode("utf-8", "surrogateescape")
    v2drop("run", "--image", CAT, "--prompt", prompt).refused(2, "not valid UTF-8")


@pytest.mark.parametrize("option", ["--image", "--video"])
def test_addresses_for_files(v2drop, tmp_path, option):
    v2drop("run", option, "data:image/png;base64,iVBORw0KGgo//" + "A" * 9000).refused(2, "data:")
    v2drop("run", option, "https://example.org/a.png").refused(2, "download it")
    v2drop("run", option, f"file://{tmp_path}/no%20such").refused(2, f"{tmp_path}/no such")


@pytest.mark.parametrize("option", ["--image", "--video"])
@pytest.mark.parametrize("address", ["", "file://"])
def test_an_empty_name_is_not_the_current_directory(v2drop, option, address):
    v2drop("run", option, address).refused(2, "names no file")


@pytest.mark.parametrize("option", ["--image", "--video"])
def test_a_file_of_another_machine_is_not_looked_for_here(v2drop, option):
    v2drop("run", option, f"file://otherhost{CAT}").refused(2, "otherhost", "three slashes")


@pytest.mark.parametrize("command", ["run", "profile"])
def test_a_result_that_another_writes_is_refused_before_any_work(
    v2drop, tmp_path, monkeypatch, command
):
    import v2drop_cli.models.loading as loading
    from v2drop_cli.report.file_lock import only_writer

    def never(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(loading, "load", never)
    path = tmp_path / "r.json"
    with only_writer(path):
        result = v2drop(command, "--image", CAT, "--output", path)
    result.refused(2, "is being written by another v2drop", f"process {os.getpid()}")


def test_a_picture_named_by_its_address_is_not_written_over(v2drop, tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (4, 4), "red").save(picture)
    before = picture.read_bytes()
    asked = v2drop("run", "--image", f"file://{picture}", "--output", picture)
    asked.refused(2, "is read, or written to, twice")
    assert picture.read_bytes() == before


def test_a_file_address_names_the_file(quick):
    result = quick("--image", f"file://{CAT}", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["request"]["media"][0]["path"] == str(CAT)


def test_a_picture_too_long_and_thin_for_the_model(v2drop, tmp_path):
    Image.new("RGB", (1, 3000), "red").save(tmp_path / "thin.png")
    v2drop("run", "--image", tmp_path / "thin.png").refused(1, "1 x 3000")


def test_directory(v2drop, tmp_path):
    v2drop("run", "--image", tmp_path).refused(2, "directory")
    v2drop("run", "--video", tmp_path).refused(2, "directory")


def test_empty_file(v2drop, tmp_path):
    (tmp_path / "empty.png").touch()
    v2drop("run", "--image", tmp_path / "empty.png").refused(1, "empty.png")


def test_truncated_image(v2drop, tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(CAT.read_bytes())
    v2drop("run", "--image", cut(path, 0.5)).refused(1, "cut.jpg")


def test_file_that_is_no_image(v2drop, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("these are words, not pixels\n" * 40)
    v2drop("run", "--image", path).refused(1, "notes.png")


def test_text_named_mp4(v2drop, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("these are words, not frames\n" * 40)
    v2drop("run", "--video", path).refused(1, "notes.mp4")


def test_video_without_video_stream(v2drop, tmp_path):
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(struct.pack("<800h", *range(800)))
    v2drop("run", "--video", path).refused(1, "sound.wav")


def test_video_with_zero_frames(v2drop, tmp_path):
    path = write_video(tmp_path / "none.avi")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])  # all headers, no frame
    v2drop("run", "--video", path).refused(1, "none.avi")


def test_video_with_a_broken_tail_uses_what_decodes_and_says_so(quick, tmp_path):
    path = cut(write_video(tmp_path / "torn.avi", frames=30), 0.6)
    result = quick("--video", path, "--frames", 4, "--json")
    assert result.code == 0, result.err
    codes = [warning["code"] for warning in json.loads(result.out)["warnings"]]
    assert "video_broken_tail" in codes


def test_decompression_bomb(v2drop, tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
    v2drop("run", "--image", path).refused(1, "bomb.png")


def odd_images(folder: Path) -> dict[str, Path]:
    gradient = np.linspace(0, 255, 40 * 40).reshape(40, 40)
    grey = Image.fromarray(gradient.astype(np.uint8))
    colour = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    paths = {
        "animated": folder / "moving.gif",
        "16-bit": folder / "deep.png",
        "CMYK": folder / "print.jpg",
        "palette": folder / "palette.png",
        "alpha": folder / "clear.png",
    }
    colour.save(paths["animated"], save_all=True, append_images=[grey.convert("RGB")])
    Image.fromarray((gradient * 257).astype(np.uint16)).save(paths["16-bit"])
    colour.convert("CMYK").save(paths["CMYK"])
    colour.quantize(16).save(paths["palette"])
    Image.merge("RGBA", (*colour.split(), grey)).save(paths["alpha"])
    return paths


@pytest.mark.parametrize("kind", ["animated", "16-bit", "CMYK", "palette", "alpha"])
def test_odd_images_work(quick, tmp_path, kind):
    result = quick("--image", odd_images(tmp_path)[kind], "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["arms"][0]["vision_tokens"] == 36


# Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model", "tinny"], ["'tinny'", "did you mean tiny"]),
        (["--model", "./no/such/model"], ["no such model directory"]),
        (["--method", "v2dorp"], ["'v2dorp'", "did you mean v2drop"]),
        (["--preset", "paper-191"], ["'paper-191'", "paper-192"]),
        (["--dtype", "bfloat15"], ["'bfloat15'", "bfloat16"]),
        (["--attn-implementation", "spda"], ["'spda'", "sdpa"]),
        (["--weights", "dumy"], ["'dumy'", "dummy"]),
        (["--device", "cudo"], ["'cudo'", "cuda"]),
        (["--ratios", "0.5,1.5"], ["1.5 is outside 0 to 1"]),
        (["--ratios", "0.5,-0.5"], ["-0.5 is outside 0 to 1"]),
        (["--ratios", "nan"], ["nan is outside"]),
        (["--ratios", ""], ["empty"]),
        (["--ratios", "a,b"], ["'a' is no keep ratio", "for example 0.5,25%,64t"]),
        (["--ratios", "0.5,,0.5"], ["empty"]),
        (["--schedule", ""], ["empty"]),
        (["--schedule", "1:nan"], ["nan is outside"]),
        (["--schedule", "3:0.5,1:0.5"], ["layer 1 comes after layer 3"]),
        (["--schedule", "3:0.5,3:0.5"], ["layer 3 drops twice"]),
        (["--layers", "1,2", "--ratios", "0.5"], ["2 layers but 1 ratios"]),
        (["--layers", "1,x", "--ratios", "0.5,0.5"], ["'1,x'"]),
        (["--layers", "1"], ["--ratios"]),
        (["--budget", "many"], ["'many'"]),
        (["--budget", "-3"], ["-3"]),
        (["--budget", "nan"], ["nan"]),
        (["--budget", "150%"], ["'150%' is no share", "192 or 33%"]),
    ],
)
def test_options_that_mean_nothing(v2drop, args, said):
    v2drop("run", "--image", CAT, *args).refused(2, *said)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--schedule", "6:0.5"], ["layer 6 does not exist", "0 to 5"]),
        (["--schedule", "0:0.5"], ["v2drop cannot drop at layer 0", "random, uniform"]),
        (
            ["--schedule", "0:0.5", "--method", "random", "--method", "v2drop-l1"],
            ["v2drop-l1 cannot drop at layer 0"],
        ),
        (["--budget", "1"], ["cannot be met", "6 to 36"]),
        (["--budget", "37"], ["cannot be met"]),
        (["--ratios", "0.5,0.5,0.5,0.5"], ["4 ratios"]),
    ],
)
def test_options_that_do_not_fit_the_model(quick, args, said):
    quick("--image", CAT, *args).refused(2, *said)


@pytest.mark.parametrize("command", ["run", "profile"])
@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("evs", "this prompt has none"),
        ("metacompress", "for tiny only"),
    ],
)
def test_what_configuration_and_media_tell_of_a_method_costs_no_loading(
    v2drop, checkpoint, monkeypatch, command, method, said
):
    for name in ("load_trained", "load_processor"):
        monkeypatch.setattr(
            f"v2drop_cli.models.loading.{name}", lambda *args: pytest.fail("it was loaded")
        )
    found = v2drop(command, "--model", checkpoint, "--image", CAT, "--method", method)
    found.refused(1 if method == "evs" else 2, method, said)


def test_made_up_media_are_of_a_kind_too(v2drop, checkpoint, monkeypatch):
    monkeypatch.setattr(
        "v2drop_cli.models.loading.dummy_model", lambda *args: pytest.fail("it was made")
    )
    asked = ("run", "--model", checkpoint, "--weights", "dummy", "--method", "evs")
    v2drop(*asked).refused(1, "this prompt has none")


def test_image_and_video_or_neither(v2drop):
    v2drop("run", "--image", CAT, "--video", SAMPLES / "clip.mp4").refused(2, "--video")
    v2drop("run").refused(2, "--image FILE")


def test_option_values_of_the_wrong_kind(v2drop):
    wrong = (["--frames", "0"], ["--repeats", "x"], ["--text-tokens", "few"], ["--no-such-option"])
    for command, args in itertools.product(("run", "profile"), wrong):
        result = v2drop(command, "--image", CAT, *args)
        assert result.code == 2
        assert result.out == ""
        [line] = [line for line in result.err.splitlines() if line.startswith("Error: ")]
        assert args[0] in line
        assert "Traceback" not in result.err


# Models --------------------------------------------------------------------------------------


def test_a_hub_model_without_network(v2drop):
    v2drop("run", "--image", CAT, "--model", "llava-1.5-7b").refused(
        1, "llava-hf/llava-1.5-7b-hf", "--weights dummy"
    )


def test_a_checkpoint_with_pickle_weights_only(v2drop, quick, tmp_path):
    folder = save_checkpoint(tmp_path / "pickled")
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    v2drop("run", "--image", CAT, "--model", folder).refused(1, "pickle", "--allow-pickle")
    assert quick("--image", CAT, "--model", folder, "--allow-pickle").code == 0


def test_a_family_that_is_not_served(v2drop, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    v2drop("run", "--image", CAT, "--model", tmp_path).refused(1, "'bert'", "served: ")


def test_a_directory_that_is_no_model(v2drop, tmp_path):
    v2drop("run", "--image", CAT, "--model", tmp_path).refused(1, "config.json")
    (tmp_path / "config.json").write_text("{")
    v2drop("run", "--image", CAT, "--model", tmp_path).refused(1, "config.json is not JSON")


def test_a_broken_weights_file(v2drop, tmp_path):
    folder = save_checkpoint(tmp_path / "torn")
    cut(folder / "model.safetensors", 0.5)
    v2drop("run", "--image", CAT, "--model", folder).refused(1, "model.safetensors is cut short")


# Devices -------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_cuda_without_cuda(v2drop):
    v2drop("run", "--image", CAT, "--device", "cuda").refused(1, "CUDA", "--device cpu")


def test_out_of_gpu_memory_says_what_was_asked_and_free(quick, monkeypatch):
    import v2drop_cli.generate.decoding as decoding

    def explode(*args, **kwargs):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 13.00 GiB. GPU 0 has a total capacity of "
            "7.79 GiB of which 1.20 GiB is free. Process 1 has 6 GiB memory in use."
        )

    monkeypatch.setattr(decoding, "greedy", explode)
    quick("--image", CAT).refused(1, "Tried to allocate 13.00 GiB", "1.20 GiB is free", "try ")


def test_weights_that_cannot_fit_are_refused_before_loading(v2drop, monkeypatch):
    import v2drop_cli.models.loading as loading

    monkeypatch.setattr(loading, "free_memory", lambda device: 10**6)
    v2drop("run", "--image", CAT).refused(1, "needs", "free")


# Output --------------------------------------------------------------------------------------


def test_output_that_cannot_be_written_is_refused_before_any_work(v2drop, tmp_path, monkeypatch):
    import v2drop_cli.models.loading as loading

    def never(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(loading, "load", never)
    v2drop("run", "--image", CAT, "--output", tmp_path).refused(2, "directory")
    v2drop("run", "--image", CAT, "--output", tmp_path / "no" / "r.json").refused(2, "no directory")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_no_output(quick, tmp_path):
    quick("--image", CAT, "--schedule", "6:0.5", "--output", tmp_path / "r.json").refused(2)
    assert list(tmp_path.iterdir()) == []


# Interruption and the unexpected -------------------------------------------------------------


def test_ctrl_c_leaves_with_130(checkpoint, tmp_path):
    """Interrupted amid the rounds: what there is, and one line that says so."""
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "v2drop_cli", "run", "--image", CAT, "--model", checkpoint]
    process = subprocess.Popen(
        [*map(str, command), "--repeats", "100000", "--output", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(path, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("interrupted")
    assert read_report(path).partial


def test_the_unexpected_is_one_line_and_a_traceback_with_debug(quick, monkeypatch):
    import v2drop_cli.bench.passes as passes

    def explode(*args, **kwargs):
        raise ZeroDivisionError("\x1b[31mby\nzero")

    monkeypatch.setattr(passes.Subject, "prepare", explode)
    result = quick("--image", CAT)
    result.refused(1, "ZeroDivisionError", "--debug")
    assert "\x1b" not in result.err
    from typer.testing import CliRunner

    from v2drop_cli.cli import app

    raw = CliRunner().invoke(app, ["run", "--image", str(CAT), "--debug"])
    assert isinstance(raw.exception, ZeroDivisionError)


def test_every_error_class_has_an_exit_code_and_stands_in_the_drawn_tree():
    import v2drop_cli.errors as errors

    def family(cls):
        return {cls, *(sub for child in cls.__subclasses__() for sub in family(child))}

    for cls in family(V2DropError):
        if cls.__module__ == errors.__name__:
            assert cls.__name__ in errors.__doc__
            assert cls.exit_code in (1, 2, 3, 4, 5)


def test_a_prompt_that_places_pictures_itself(quick):
    quick("--image", CAT, "--prompt", "<image> what?").refused(2, "'<image>'")


def test_seeds_out_of_range(v2drop):
    for seed in ("-1", "9" * 20):
        result = v2drop("run", "--image", CAT, "--seed", seed)
        assert result.code == 2
        assert "--seed" in result.err
