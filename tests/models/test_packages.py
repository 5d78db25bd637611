"""Packages that processors need: which are missing, which are broken, and how to get them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import huggingface_hub
import pytest
import transformers

import v2drop_cli as v2drop
from tests.checkpoints import save_checkpoint
from tests.patience import PATIENCE_S
from v2drop_cli.errors import MissingPackageError, ModelError
from v2drop_cli.models import packages
from v2drop_cli.models.dummy import dummy_processor, read_config_file
from v2drop_cli.models.load_errors import guarded
from v2drop_cli.models.names import ALIASES, ASSETS, Source, resolve
from v2drop_cli.models.registry import FAMILIES

ROOT = Path(__file__).parents[2]
# Of transformers 5.17 and 5.23: of the others, some have a picture part without torchvision.
NEEDS_TORCHVISION = {
    "qwen2_vl", "qwen2_5_vl", "llava_onevision", "smolvlm", "qwen3_vl", "qwen3_vl_moe",
    "qwen3_5", "qwen3_5_moe", "cosmos3_edge", "lfm2_vl", "minicpmv4_6", "minicpmv4_7",
    "llava_next_video", "internvl", "glm4v", "glm4v_moe", "mistral3", "video_llava",
    "hyperclovax_vision_v2", "perception_lm", "cohere_compass", "step3p7", "molmo2",
    "glm46v", "video_llama_3", "llama4", "cohere2_vision", "exaone4_5", "muse_glimmer",
    "kimi_k25", "gemma4", "gemma4_unified", "lfm3_vl", "dots3_note", "nemotron_h_omni", "qwen4_exp",
    "mistral_large4", "unlimited_ocr", "glm5_next", "phi4_multimodal",
}  # fmt: skip
# Those whose picture part has a plain form only since a release after 5.17.
SINCE = {"idefics2", "idefics3", "ovis2", "hunyuan_vl"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def lacking(monkeypatch):
    """A machine on which processors lack these packages, and where nothing is broken."""

    def lack(*names):
        monkeypatch.setattr(packages, "missing_packages", lambda processor: names)
        monkeypatch.setattr(packages, "is_installed", lambda package: False)

    return lack


NEEDS_OF_EACH = """
import json
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from v2drop_cli.models import packages
from v2drop_cli.models.names import Source
from v2drop_cli.models.registry import FAMILIES, get_family

source, found = Source("someone/something", None, False), {}
for name in FAMILIES:
    # FastVLM and GLM-OCR have no usual one: their files name it.
    kind = get_family(name).model_types[0]
    processor = packages.processor_name(source, kind) or ""
    found[name] = packages.missing_packages(processor) if kind in CONFIG_MAPPING else None
print(json.dumps([packages.is_installed("num2words"), found]))
"""


@pytest.mark.skipif(packages.is_installed("torchvision"), reason="is about its absence")
def test_what_a_familys_processor_lacks_is_told_without_a_download():
    """Asked in a process of its own: transformers decides once what is installed."""
    command = [sys.executable, "-W", "ignore", "-c", NEEDS_OF_EACH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    words, found = json.loads(done.stdout)
    assert set(found) == set(FAMILIES)
    here = {name: needs for name, needs in found.items() if needs is not None}
    assert len(here) > len(found) - 8, "transformers 5.17 lacks a few"
    for name, needs in here.items():
        wanted = name in NEEDS_TORCHVISION
        assert ("torchvision" in needs) == wanted or name in SINCE, name
        assert set(needs) <= set(packages.VISION)
        assert ("num2words" in needs) == (name == "smolvlm" and not words), name


def test_a_file_that_imports_a_package_outright_names_it(monkeypatch):
    """As Gemma 4's processor does in transformers 5.17."""

    def outright(name):
        try:
            raise ModuleNotFoundError(
                "No module named 'torchvision'", name="torchvision.transforms"
            )
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"Could not import module {name!r}") from error

    monkeypatch.setattr(type(transformers), "__getattr__", lambda module, name: outright(name))
    assert packages.missing_packages("OutrightProcessor") == ("torchvision",)


@pytest.mark.skipif(packages.is_installed("torchvision"), reason="is about its absence")
def test_a_picture_part_without_a_plain_form_is_lacking_and_with_one_is_not_spoken_of(caplog):
    assert packages.missing_packages("Llama4Processor") == ("torchvision",)
    assert packages.missing_packages("GotOcr2Processor") == ()
    assert not caplog.records


def test_a_class_that_transformers_does_not_have_lacks_nothing_known():
    assert packages.missing_packages("ProcessorOfSomebody") == ()
    assert packages.missing_packages("LlavaProcessor") == ()


def test_the_class_is_the_one_that_the_files_name(tmp_path):
    source = Source(str(tmp_path), None, True)
    assert packages.processor_name(source, "llava") == "LlavaProcessor"
    assert packages.processor_name(source, None) is None
    (tmp_path / "tokenizer_config.json").write_text('{"processor_class": "OneProcessor"}')
    (tmp_path / "preprocessor_config.json").write_text("no JSON")
    assert packages.processor_name(source, "llava") == "OneProcessor"
    (tmp_path / "processor_config.json").write_text('{"processor_class": "PixtralProcessor"}')
    assert packages.processor_name(source, "llava") == "PixtralProcessor"


def test_files_in_the_hubs_cache_are_looked_at(tmp_path, monkeypatch):
    source = Source("someone/something", None, False)
    assert packages.folder_of(source) is None
    asked = []

    def cached(repository, name, revision=None):
        asked.append((repository, name, revision))
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert packages.folder_of(source, "v2") == tmp_path
    assert asked == [("someone/something", "config.json", "v2")]


# How to install -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("torch", "line"),
    [
        ("2.7.1", 'pip install "torchvision==0.22.*"'),
        ("2.13.0", 'pip install "torchvision==0.28.*"'),
        ("3.0.0", "pip install torchvision"),
    ],
)
def test_torchvision_is_pinned_to_the_torch_that_is_here(monkeypatch, torch, line):
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda package: torch)
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    assert packages.how_to_install(["torchvision"]) == line
    assert packages.how_to_install(packages.VISION) == f"pip install num2words && {line}"
    assert packages.how_to_install(["num2words"]) == "pip install num2words"


def test_a_build_of_its_own_asks_for_the_same_index(monkeypatch):
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda package: "2.13.0+cpu")
    monkeypatch.setattr(packages, "is_installed", lambda package: True)
    line = packages.how_to_install(["torchvision"])
    assert "--index-url INDEX" in line
    assert "torch 2.13.0+cpu came from" in line
    assert "--force-reinstall --no-deps" in line  # pip would say it is there already


def test_the_extra_has_these_packages_and_bounds_that_go_together():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = project["optional-dependencies"]["vision"]
    assert [re.split("[>=]", wanted)[0] for wanted in extra] == list(packages.VISION)
    [torch] = [wanted for wanted in project["dependencies"] if wanted.startswith("torch>")]
    oldest = int(torch.partition(">=2.")[2])
    assert f"torchvision>=0.{oldest + packages._BEHIND}" in extra


# What a user is told --------------------------------------------------------------------------


def test_a_missing_package_is_named_with_its_line(whole, tmp_path, monkeypatch, lacking):
    from transformers import AutoProcessor

    def fails(*args, **kwargs):
        raise ValueError("something that names no package")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", fails)
    with pytest.raises(ModelError, match="names no package") as caught:
        v2drop.load(str(whole), device="cpu")
    assert not isinstance(caught.value, MissingPackageError)
    lacking("torchvision", "num2words")
    with pytest.raises(MissingPackageError) as caught:
        v2drop.load(str(whole), device="cpu")
    assert "LlavaProcessor" in caught.value.message
    assert "torchvision and num2words, which are not installed" in caught.value.message
    assert caught.value.hint == packages.how_to_install(packages.VISION)


def test_dummy_weights_without_the_package_name_the_way_around(monkeypatch, lacking):
    from transformers import AutoProcessor

    def fails(*args, **kwargs):
        raise ImportError("no such library")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", fails)
    lacking("torchvision")
    config = read_config_file(ASSETS / ALIASES["qwen2-vl-7b"].config)
    with pytest.raises(MissingPackageError, match="needs torchvision, which is not") as caught:
        dummy_processor(resolve("qwen2-vl-7b"), config)
    assert "pip install" in caught.value.hint
    assert "synthetic input" in caught.value.hint


def broken(monkeypatch, error):
    real = importlib.import_module

    def explode(name, *args):
        if name == "torchvision":
            raise error
        return real(name, *args)

    monkeypatch.setattr(packages, "is_installed", lambda package: True)
    monkeypatch.setattr(packages.importlib, "import_module", explode)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError("\noperator torchvision::nms does not exist\nand more"), "operator torchvision::nms does not exist"),  # noqa: E501
        (OSError(), "OSError"),
    ],
)  # fmt: skip
def test_a_torchvision_that_does_not_import_is_named(monkeypatch, error, fault):
    broken(monkeypatch, error)
    assert packages.torchvision_fault() == fault

    def load():
        raise ImportError("Could not import module 'LlamaConfig'")

    with pytest.raises(MissingPackageError, match="does not import") as caught:
        guarded(resolve("tiny"), load)
    assert fault in caught.value.message
    assert "pip uninstall torchvision" in caught.value.hint


def test_no_torchvision_is_no_fault(monkeypatch):
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    assert packages.torchvision_fault() is None


def test_another_missing_package_is_told_as_its_library_tells_it(monkeypatch):
    monkeypatch.setattr(packages, "is_installed", lambda package: False)

    def load():
        raise ImportError("bitsandbytes is not here")

    with pytest.raises(MissingPackageError, match="bitsandbytes is not here"):
        guarded(resolve("tiny"), load)


# The doctor -----------------------------------------------------------------------------------


def findings(model):
    from v2drop_cli.commands.doctor import examine

    return {finding.name: finding for finding in examine(model, "cpu")}


def test_the_doctor_makes_the_processor_of_a_model_that_is_here(whole, tmp_path):
    found = findings(str(whole))["processor"]
    assert (found.ok, found.fix) == (True, None)
    assert "LlavaProcessor" in found.detail
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / "tokenizer.json").write_text("{}")
    found = findings(str(copy))["processor"]
    assert found.ok is False
    assert found.fix


@pytest.mark.parametrize("model", ["qwen2-vl-7b", "pixtral-12b", "smolvlm2-2.2b"])
def test_the_doctor_knows_what_a_model_needs_before_it_is_here(model, lacking):
    lacking("torchvision")
    found = findings(model)["processor"]
    assert found.ok is False
    assert "needs torchvision" in found.detail
    assert found.fix.startswith("pip install")
    assert findings("llava-1.5-7b")["processor"].ok is False  # as it is lacking here, too


def test_the_doctor_on_what_it_cannot_know(lacking, tmp_path):
    lacking()
    found = findings("llava-1.5-7b")["processor"]
    assert (found.ok, found.fix) == (True, None)
    assert findings("pixtral-12b")["processor"].detail.startswith("PixtralProcessor")
    assert findings("someone/something")["processor"].ok is None
    shutil.copy(ASSETS / "qwen2-vl-7b.json", tmp_path / "config.json")
    assert findings(str(tmp_path / "config.json"))["processor"].ok is None


def test_the_doctor_lives_with_a_broken_torchvision(monkeypatch):
    """Beside one, transformers does not work at all, so the model is not looked at."""
    broken(monkeypatch, RuntimeError("operator torchvision::nms does not exist"))
    found = findings("tiny")
    assert found["torchvision"].ok is False
    assert "uninstall" in found["torchvision"].fix
    assert "nms" in found["torchvision"].detail
    assert found["processor"].ok is None
    assert "memory" not in found
