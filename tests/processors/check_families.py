"""Run by `test_processors.py`: chat template, image, images and video through real processors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

import v2drop_cli as v2drop
from tests.cli.conftest import QUICK
from tests.families import CASES
from tests.families.case import TEXT, build
from v2drop_cli.cli import app
from v2drop_cli.media import load_image, load_video

SAMPLES = Path(__file__).parents[2] / "sample_media"
MEDIA = {
    "image": lambda: [load_image(SAMPLES / "cat.jpg")],
    "images": lambda: [load_image(SAMPLES / "cat.jpg"), load_image(SAMPLES / "scene.png")],
    "video": lambda: [load_video(SAMPLES / "clip.mp4", 5)],
}
CELLS = [(n, kind) for n in CASES for kind in MEDIA if kind != "video" or CASES[n].video]


def tiny_tokenizer(case):
    """Bytes as tokens, and the family's special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *case.tokens.values()]
    specials += case.specials
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.add_special_tokens({"additional_special_tokens": list(dict.fromkeys(specials[3:]))})
    return fast


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Family name → a complete tiny checkpoint on disk."""
    made = {}

    def make(name):
        if name not in made:
            case, folder = CASES[name], tmp_path_factory.mktemp(name)
            for package in case.needs:
                pytest.importorskip(package)
            tokenizer = tiny_tokenizer(case)
            ids = {k: tokenizer.convert_tokens_to_ids(t) for k, t in case.tokens.items()}
            text = {
                **TEXT,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 4096,
                "pad_token_id": tokenizer.pad_token_id,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
            }
            build(case.model, case.config(text, ids), "sdpa").save_pretrained(folder)
            processor = case.processor(tokenizer)
            processor.chat_template = case.template
            processor.save_pretrained(folder)
            made[name] = folder
        return made[name]

    return make


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_prepare_finds_the_tokens_the_model_fills(checkpoint, name, kind):
    loaded = v2drop.load(str(checkpoint(name)), device="cpu")
    assert loaded.family.name == CASES[name].family
    media = MEDIA[kind]()
    prepared = loaded.family.prepare(loaded.processor, loaded.model.config, media, "what is it?")
    ids = prepared.tensors["input_ids"][0]
    text = loaded.processor.tokenizer.decode(ids)
    assert "what is it?" in text
    placeholders = {getattr(loaded.model.config, p.token_id) for p in loaded.family.placeholders}
    [index], [grids] = prepared.vision.index, prepared.vision.grids
    assert index.tolist() == [i for i, token in enumerate(ids.tolist()) if token in placeholders]
    assert len(index) > 4
    covered = sum(grid.t * grid.h * grid.w for grid in grids)
    assert covered == len(index)
    schedule = CASES[name].schedule
    moved = prepared.to(torch.device("cpu"), torch.float32)
    with v2drop.dropping(loaded.model, schedule) as trace:
        out = loaded.model.generate(**moved.tensors, do_sample=False, max_new_tokens=3)
    assert out.shape[1] == len(ids) + 3
    assert trace.events[0].before == (len(index),)
    assert set(trace.events[0].kept[0]) <= set(index.tolist())


@pytest.mark.parametrize(("name", "kind"), [cell for cell in CELLS if cell[1] != "images"])
def test_the_command_runs(checkpoint, name, kind):
    source = ["--image", "cat.jpg"] if kind == "image" else ["--video", "clip.mp4"]
    options = ["--json", "--device", "cpu", *QUICK, "--schedule", CASES[name].schedule]
    arguments = ["--model", str(checkpoint(name)), source[0], str(SAMPLES / source[1]), *options]
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 0, result.stderr
    dense, dropped = json.loads(result.stdout)["arms"]
    assert dense["vision_tokens"] == dropped["vision_tokens"] > 4
    assert [d["layer"] for d in dropped["drops"]] == [layer for layer, _ in CASES[name].stages]
