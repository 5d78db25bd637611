"""Models larger than one device: split among two processes, or spread by accelerate."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from transformers import LlavaConfig

import v2drop_cli as v2drop
from tests.checkpoints import save_checkpoint
from tests.commands.test_evaluate import timeless
from tests.modes import split_in_two
from tests.patience import PATIENCE_S
from tests.tasks.questions_file import write_questions
from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.methods.mixing import fingerprint
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.splitting import agreed, check_split, main_device, split_caveats

SPLIT = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    write_questions(folder)
    save_checkpoint(folder / "model")
    return folder


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def both(folder):
    """What each of two processes found."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.modes.split_in_two", str(folder), f"rank-{rank}"],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [
        (
            torch.load(folder / f"rank-{rank}.pt"),
            json.loads((folder / f"rank-{rank}.json").read_text(encoding="utf-8")),
        )
        for rank in range(2)
    ]


@pytest.mark.mode("tensor parallel (`--tp-plan auto`): two processes, gloo", "works")
def test_processes_that_share_a_model_keep_what_one_keeps(both, folder):
    loaded = v2drop.load(str(folder / "model"), device="cpu", dtype="float32")
    wanted = split_in_two.dropped(loaded)
    for found, _ in both:
        assert found["split"] == "DTensor"
        assert found["print"] == fingerprint(loaded.model)
        for method, (kept, logits) in wanted.items():
            assert found["dropped"][method][0] == kept, method
            for a, b in zip(found["dropped"][method][1], logits, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_only_the_first_of_them_prints_and_writes(both, folder, monkeypatch):
    (_, first), (_, second) = both
    for name in split_in_two.COMMANDS:
        assert first[name][0] == 0, first[name]
        assert second[name] == [0, "", ""], name
    documents = {name: json.loads(out) for name, (_, out, _) in first.items()}
    for name, document in documents.items():
        codes = [one["code"] for one in document["warnings"]]
        assert "model_split" in codes, name
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["arms"]
    assert "processes: 2 share the model" in first["eval"][2]
    monkeypatch.chdir(folder)
    (folder / "rows").rename(folder / "rows-of-both")
    alone = split_in_two.commands(("eval", "again"))
    for name in ("eval", "again"):
        assert alone[name][0] == 0, alone[name]
        assert timeless(documents[name]["arms"]) == timeless(json.loads(alone[name][1])["arms"])


@pytest.mark.mode("`--device-map auto` (accelerate)", "works")
def test_a_model_that_accelerate_spreads_answers_the_same(folder):
    pytest.importorskip("accelerate")
    whole = v2drop.load(str(folder / "model"), device="cpu", dtype="float32")
    spread = v2drop.load(str(folder / "model"), dtype="float32", device_map="auto")
    assert spread.device == main_device(spread.model)
    a, b = split_in_two.dropped(whole), split_in_two.dropped(spread)
    for method in a:
        assert a[method][0] == b[method][0]
        for one, other in zip(a[method][1], b[method][1], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


class Placed:
    """A model that accelerate spread."""

    def __init__(self, device, **places):
        self.device, self.hf_device_map = torch.device(device), places


def test_what_is_told_of_a_model_in_several_places():
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert split_caveats(Placed(cpu, a="cpu", b="cpu"), cpu, 1) == ()
    assert split_caveats(object(), cpu, 1) == ()
    [spread] = split_caveats(Placed(gpu, a=0, b=1, c="cpu", d="disk"), gpu, 1)
    assert spread.code == "model_spread"
    assert "cuda:0, cuda:1, cpu, disk" in spread.message
    [split] = split_caveats(object(), gpu, 4)
    assert split.code == "model_split"
    assert main_device(Placed("meta", a="disk", b="cpu", c=1)) == torch.device("cuda", 1)
    assert main_device(Placed("meta", a="disk")) == cpu
    assert main_device(Placed("cuda:1", a=1, b=0)) == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tp_plan": "columns"}, "columns"),
        ({"device_map": "balanced"}, "balanced"),
        ({"tp_plan": "auto", "device_map": "auto"}, "both"),
        ({"tp_plan": "auto", "weights": "dummy"}, "--weights dummy"),
        ({"device_map": "auto", "weights": "dummy"}, "--weights dummy"),
        ({"tp_plan": "auto", "fake_quant": "w4a4"}, "--fake-quant"),
        ({"tp_plan": "auto", "device": "cuda:1"}, "cuda:1"),
        ({"device_map": "auto", "device": "cpu"}, "--device cpu"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, said, monkeypatch):
    for name, value in SPLIT.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        LoadOptions(**options).check("tiny")
    assert said in refused.value.message


def test_one_process_has_nobody_to_split_a_model_with(monkeypatch):
    with pytest.raises(UsageError, match="the only one"):
        LoadOptions(tp_plan="auto").check("tiny")
    for name, value in SPLIT.items():
        monkeypatch.setenv(name, value)
    LoadOptions(tp_plan="auto").check("tiny")
    LoadOptions(device_map="auto").check("tiny")


@pytest.mark.parametrize(
    ("count", "said"),
    [(3, "num_attention_heads=4 is no multiple of 3"), (4, "num_key_value_heads=2 is no multiple")],
)
def test_heads_are_shared_out_whole(folder, monkeypatch, count, said):
    config, split = LlavaConfig.from_pretrained(folder / "model"), LoadOptions(tp_plan="auto")
    for name, value in SPLIT.items():
        monkeypatch.setenv(name, value)
    check_split(config, torch.device("cpu"), split)
    monkeypatch.setenv("WORLD_SIZE", str(count))
    check_split(config, torch.device("cpu"), LoadOptions())
    with pytest.raises(UnsupportedModelError, match=said):
        check_split(config, torch.device("cpu"), split)


def test_what_a_whole_model_is_asked_it_says_itself(folder):
    loaded = v2drop.load(str(folder / "model"), device="cpu", dtype="float32")
    assert agreed(loaded, "said") == "said"


def test_where_there_are_gpus_nothing_is_split_among_cpus(folder, monkeypatch):
    config = LlavaConfig.from_pretrained(folder / "model")
    for name, value in SPLIT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UsageError, match="--device cpu with --tp-plan"):
        check_split(config, torch.device("cpu"), LoadOptions(tp_plan="auto"))
