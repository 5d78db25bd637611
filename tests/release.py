"""What differs between the releases of transformers that the tests run on."""

from __future__ import annotations

from inspect import signature

from transformers import LlamaForCausalLM

# What models call their KV cache; 5.24 renamed it.
CACHE = "cache" if "cache" in signature(LlamaForCausalLM.forward).parameters else "past_key_values"
