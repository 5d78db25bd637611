"""Refused model types: each exists, each gives its reason, none is served."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import transformers
from packaging.version import Version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.refused import FOREIGN, REFUSED
from v2drop_cli.models.registry import FAMILIES, family_for, get_family

# model_type → the version of transformers that the entry was read in, where 5.17 lacks it.
NEWER = {
    **dict.fromkeys(("dots3_note", "inkling2", "minicpmv4_7", "mistral_large4"), "5.23"),
    **dict.fromkeys(("unlimited_ocr",), "5.23"),
    **dict.fromkeys(("apertus1p5", "hy_v4_vl", "inkling2_loop"), "5.24"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_exists_and_its_reason_is_given(name):
    known = Version(transformers.__version__) >= Version(NEWER.get(name, "5.17"))
    assert (name in CONFIG_MAPPING) == (known and name not in FOREIGN)
    config = SimpleNamespace(model_type=name)
    with pytest.raises(UnsupportedModelError, match=re.escape(f"{name!r}: {REFUSED[name]}")):
        family_for(config)


def test_no_model_type_is_both_served_and_refused():
    served = [name for family in FAMILIES for name in get_family(family).model_types]
    assert len(served) == len(set(served))
    assert not set(served) & set(REFUSED)


# A reason that a default configuration shows; the others were read in the modeling code.
def test_sliding_windows_are_in_the_configurations():
    types = [name for name, reason in REFUSED.items() if "sliding windows" in reason]
    for name in set(types) & set(CONFIG_MAPPING):
        text = CONFIG_MAPPING[name]().get_text_config()
        windows = "sliding_attention" in (getattr(text, "layer_types", None) or [])
        assert windows or getattr(text, "sliding_window", None), name


def test_an_unknown_model_type_is_told_what_is_served():
    with pytest.raises(UnsupportedModelError, match=r"'bert'$") as caught:
        family_for(SimpleNamespace(model_type="bert"))
    assert "qwen2_vl" in caught.value.hint
