"""Run by `test_processors.py`: chat template, image, images and video through real processors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

import v2drop_cli as v2drop
from tests.checkpoints import edit_json
from tests.cli.conftest import QUICK
from tests.families import CASES
from tests.processors.published import OWN_LIMITS, OWN_PATCH, PROCESSORS
from v2drop_cli.cli import app
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.models.base import SyntheticMedia
from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS
from v2drop_cli.models.registry import get_family
from v2drop_cli.prove.cases.case import TEXT, build

SAMPLES = Path(__file__).parents[2] / "sample_media"
MEDIA = {
    "image": lambda: [load_image(SAMPLES / "cat.jpg")],
    "images": lambda: [load_image(SAMPLES / "cat.jpg"), load_image(SAMPLES / "scene.png")],
    "video": lambda: [load_video(SAMPLES / "clip.mp4", 5)],
}


# Their processors make every frame of a clip large, however small it is: fewer of them will do.
LARGE_FRAMES = ("qwen2_5_omni", "qwen3_omni_moe")


def media_for(name, kind):
    """What a family is shown; twice the same picture where images must be cut alike."""
    if kind == "video" and name in LARGE_FRAMES:
        return [load_video(SAMPLES / "clip.mp4", 3)]
    media = MEDIA[kind]()
    return media[:1] * len(media) if CASES[name].alike else media


# GLM's and PaliGemma's processors make an array of a tensor in a way that numpy will want done
# otherwise.
# MiniCPM's adds up sizes in tensors by numpy, too.
NUMPY_OF_TORCH = (
    "ignore:__array(__ implementation doesn't accept a copy|_wrap__ must accept context)"
    ":DeprecationWarning"
)
pytestmark = pytest.mark.filterwarnings(NUMPY_OF_TORCH)
CELLS = [(n, kind) for n in CASES for kind in CASES[n].kinds]


def tiny_tokenizer(case):
    """Bytes as tokens, and the family's special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *case.tokens.values()]
    specials += case.specials
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=case.named_tokens,
    )
    fast.add_special_tokens({"additional_special_tokens": list(dict.fromkeys(specials[3:]))})
    return fast


def write_checkpoint(name, folder):
    """A complete tiny checkpoint of the family in `folder`."""
    case = CASES[name]
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
    build(case.model, case.config(text, ids), case.attention[-1]).save_pretrained(folder)
    processor = case.processor(tokenizer)
    processor.chat_template = case.template
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_prepare_finds_the_tokens_the_model_fills(loaded, name, kind):
    loaded = loaded(name)
    assert loaded.family.name == CASES[name].family
    media = media_for(name, kind)
    prepared = loaded.family.prepare(loaded.processor, loaded.model.config, media, "what is it?")
    ids = prepared.tensors["input_ids"][0]
    text = loaded.processor.tokenizer.decode(ids)
    assert "what is it?" in text
    placeholders = {p.id_of(loaded.model.config) for p in loaded.family.placeholders}
    [index], [grids] = prepared.vision.index, prepared.vision.grids
    assert index.tolist() == [i for i, token in enumerate(ids.tolist()) if token in placeholders]
    assert len(index) > 4
    covered = sum(grid.t * grid.h * grid.w for grid in grids)
    assert covered == len(index)
    schedule = CASES[name].schedule
    moved = prepared.to(torch.device("cpu"), torch.float32)
    with v2drop.dropping(loaded.model, schedule) as trace:
        out = loaded.model.generate(
            **moved.tensors, do_sample=False, max_new_tokens=3, min_new_tokens=3
        )
    assert out.shape[1] == len(ids) + 3
    assert trace.events[0].before == (len(index),)
    assert set(trace.events[0].kept[0]) <= set(index.tolist())


# What processors need of the tower, and older checkpoints do not say.
OF_THE_TOWER = (
    *("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens"),
    *("num_image_tokens", "image_seq_len", "image_seq_length", "spatial_merge_size"),
)


@pytest.mark.parametrize("name", CASES)
def test_a_processor_that_does_not_know_the_tower_is_completed(checkpoint, loaded, tmp_path, name):
    """It gives what the complete one gives, which is left as it is."""
    whole = loaded(name)
    assert whole.caveats == ()
    copy = shutil.copytree(checkpoint(name), tmp_path / "copy")
    saved = json.loads((copy / "processor_config.json").read_text())
    edit_json(copy / "processor_config.json", OF_THE_TOWER)
    left_out = set(saved) & set(OF_THE_TOWER)
    if CASES[name].family.startswith("gemma4"):
        left_out -= {"image_seq_length"}  # it has one, and counts by the picture's shape
    part = v2drop.load(str(copy), device="cpu")
    codes = {caveat.code for caveat in part.caveats}
    assert codes == ({"processor_completed"} if left_out else set())
    kinds = [kind for of, kind in CELLS if of == name]
    assert "image" in kinds
    for kind in kinds:
        shown = media_for(name, kind)
        got, wanted = (loaded.prepare(shown, "what?").tensors for loaded in (part, whole))
        assert got.keys() == wanted.keys()
        for key, own in wanted.items():
            assert got[key] == own if isinstance(own, list) else torch.equal(got[key], own)


@pytest.mark.parametrize(("name", "kind"), [cell for cell in CELLS if cell[1] != "images"])
def test_the_command_runs(checkpoint, name, kind):
    source = ["--image", "cat.jpg"] if kind == "image" else ["--video", "clip.mp4"]
    options = ["--json", "--device", "cpu", *QUICK, "--schedule", CASES[name].schedule]
    options += ["--frames", "3"] if kind == "video" and name in LARGE_FRAMES else []
    arguments = ["--model", str(checkpoint(name)), source[0], str(SAMPLES / source[1]), *options]
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 0, result.stderr
    dense, dropped = json.loads(result.stdout)["arms"]
    assert dense["vision_tokens"] == dropped["vision_tokens"] > 4
    assert [d["layer"] for d in dropped["drops"]] == [layer for layer, _ in CASES[name].drops]


# Their limits are the processor's, not the configuration's: see `check_patches.py`, and below.
OTHER_LIMITS = (
    *("hyperclovax_vision_v2", "video_llama_3", "lfm3_vl"),
    *OWN_LIMITS,
)
LIMITED = [name for name in CASES if CASES[name].types or name in OTHER_LIMITS]
SIZES = [(16, 16), (64, 48), (20, 90), (300, 100), (33, 31)]
MADE_UP = [
    (name, kind, size)
    for name in CASES
    if get_family(CASES[name].family).synthetic and name not in LIMITED
    for kind in CASES[name].kinds
    for size in SIZES
]


def real(made: SyntheticMedia) -> Media:
    """A grey picture or clip of that size."""
    frames = tuple(Image.new("RGB", (made.width, made.height)) for _ in range(made.frames or 1))
    kind = "video" if made.frames else "image"
    times = tuple(n / 2 for n in range(len(frames))) if made.frames else None
    return Media(Path(f"made.{kind}"), kind, frames, times, made.width, made.height)


SHOWN = {
    "image": lambda *size: [SyntheticMedia(*size)],
    "images": lambda *size: [SyntheticMedia(*size), SyntheticMedia(40, 30)],
    "video": lambda *size: [SyntheticMedia(*size, 5)],
}


def check_made_up(family, config, processor, shown):
    """Counts, shapes and sizes of made-up media are those of real media of the same sizes."""
    made = family.synthetic(config, shown)
    prepared = family.prepare(processor, config, [real(item) for item in shown], "why?")
    text = {"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"}
    given = {k: v for k, v in prepared.tensors.items() if k not in text}
    assert made.tensors.keys() == given.keys()
    listed = {k: given.pop(k) for k in [*given] if isinstance(given[k], list)}
    assert {k: made.tensors[k] for k in listed} == listed
    assert {k: made.tensors[k].shape for k in given} == {k: v.shape for k, v in given.items()}
    mask = given.get("pixel_attention_mask")
    if mask is not None and mask.is_floating_point():  # in 5.17
        given["pixel_attention_mask"] = mask.long()
    for key, value in given.items():
        # Pixels meet weights in the model's dtype; Llama 4's processor gives 16 bits.
        both_float = made.tensors[key].is_floating_point() and value.is_floating_point()
        assert both_float or made.tensors[key].dtype == value.dtype
        noise = value.is_floating_point() and "mask" not in key
        assert noise or torch.equal(made.tensors[key], value)
    placeholders = {p.id_of(config) for p in family.placeholders}
    wanted = [i for i in prepared.tensors["input_ids"][0].tolist() if i in placeholders]
    assert [i for run in made.ids for i in run if i in placeholders] == wanted
    if made.types:
        types = prepared.tensors[family.types_name][0].tolist()
        assert [t for run in made.types for t in run if t] == [t for t in types if t]


@pytest.mark.parametrize(("name", "kind", "size"), MADE_UP)
def test_made_up_media_are_what_the_processor_gives(loaded, name, kind, size):
    loaded = loaded(name)
    shown = SHOWN[kind](*size)
    shown = shown[:1] * len(shown) if CASES[name].alike else shown
    check_made_up(loaded.family, loaded.model.config, loaded.processor, shown)


LARGE = [(336, 336), (1000, 1000), (1920, 1080), (300, 2000), (2304, 2304), (640, 427)]


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("alias", PROCESSORS)
def test_made_up_media_at_published_sizes(alias, kind, size):
    """With the architecture that is shipped for dummy weights."""
    config = read_config_file(ASSETS / ALIASES[alias].config)
    case, family = CASES[ALIASES[alias].family], get_family(ALIASES[alias].family)
    if kind == "video" and not case.video:
        assert "pixel_values_videos" not in {p.pixels for p in family.placeholders}
        return
    tokenizer = tiny_tokenizer(case)
    for name, token in case.tokens.items():
        setattr(config, name, tokenizer.convert_tokens_to_ids(token))
    processor = PROCESSORS[alias](tokenizer)
    processor.chat_template = case.template
    check_made_up(family, config, processor, SHOWN[kind](*size))


def test_internvls_grids_lie_where_the_processor_cut(loaded):
    """Three tiles of one colour each, then the thumbnail of all, then the next image."""
    loaded = loaded("internvl")
    flag = Image.new("RGB", (60, 20), (255, 0, 0))
    flag.paste((0, 255, 0), (20, 0, 40, 20))
    flag.paste((0, 0, 255), (40, 0, 60, 20))
    media = [Media(Path("flag.png"), "image", (flag,), None, 60, 20), real(SyntheticMedia(16, 16))]
    prepared = loaded.prepare(media, "which colours?")
    pixels = prepared.tensors["pixel_values"]
    assert pixels[:3].mean(dim=(2, 3)).argmax(dim=1).tolist() == [0, 1, 2]
    third = [(0.0, 0.0, 1 / 3, 1.0), (1 / 3, 0.0, 2 / 3, 1.0), (2 / 3, 0.0, 1.0, 1.0)]
    whole = (0.0, 0.0, 1.0, 1.0)
    [grids] = prepared.vision.grids
    assert [grid.box for grid in grids] == [*third, whole, whole]
    assert {(grid.t, grid.h, grid.w) for grid in grids} == {(1, 2, 2)}
    assert prepared.tensors.keys() == {"input_ids", "attention_mask", "pixel_values"}


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_onevision"])
def test_the_readmes_script_for_a_model_of_your_own(checkpoint, monkeypatch, capsys, name):
    """The page's code as it is, but for the model's name and the answer's length."""
    readme = (SAMPLES.parent / "README.md").read_text(encoding="utf-8")
    _, code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code, names = re.subn("Qwen/Qwen2.5-VL-7B-Instruct", str(checkpoint(name)), code)
    code, lengths = re.subn("max_new_tokens=64", "max_new_tokens=3", code)
    assert (names, lengths) == (2, 1)
    assert len(code.split("\n\n")[-1].strip().splitlines()) == 6
    assert "takes six lines" in readme
    monkeypatch.chdir(SAMPLES.parent)
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    assert len(capsys.readouterr().out.splitlines()) >= 1
    prompt, placeholders = found["inputs"]["input_ids"], found["model"].config.image_token_id
    assert found["trace"].events[0].before == (int((prompt == placeholders).sum()),)
    assert found["trace"].events[0].after < found["trace"].events[0].before
    assert found["output"].shape[1] > prompt.shape[1]


@pytest.mark.parametrize("size", [(64, 48), (20, 90), (300, 100), (700, 510)])
@pytest.mark.parametrize("name", [name for name in OWN_LIMITS if name in CASES])
def test_made_up_media_within_the_processors_own_limits(name, size):
    """Small ones enlarged, large ones cut into tiles or slices, and clips."""
    case, family = CASES[name], get_family(CASES[name].family)
    tokenizer = tiny_tokenizer(case)
    processor = OWN_LIMITS[name](tokenizer)
    processor.chat_template = case.template
    ids = {k: tokenizer.convert_tokens_to_ids(t) for k, t in case.tokens.items()}
    config = case.config({**TEXT, "vocab_size": len(tokenizer)}, ids)
    if name in OWN_PATCH:
        config.vision_config.patch_size = OWN_PATCH[name]
    for kind in case.kinds[-2 if case.video else -1 :]:  # several images are one, too
        check_made_up(family, config, processor, SHOWN[kind](*size))
