"""What each quantity is, in one sentence: the definition that a report gives beside the number.

``records/metrics.py`` lists the quantities; a test fails where one of them has no sentence here, or
where the table of stages in docs/measuring.md says something else.
"""

from __future__ import annotations

from collections.abc import Mapping

STAGES: Mapping[str, str] = {
    "media": "reading and decoding the files, once a round for all arms",
    "preprocess": "processor, then transfer to the device; the processor runs once a batch row",
    "vision": "start of the forward to the decoder's first layer: tower, projector, merging",
    "prefill": "from there to the first new token; scoring and gathering included",
    "first_token": "preprocess, vision and prefill together",
    "decode": "mean over the later tokens",
    "generate": (
        "vision, prefill and the later tokens together: start of the forward to the last token"
    ),
    "wall": "the same, until the host sees that the device is done",
    "end_to_end": (
        "media decode, preprocess and generate (host) together: from the files to the last token"
    ),
}
"""The times of docs/measuring.md, in its words."""

_PARTS: Mapping[str, str] = {
    "processor": "of preprocess, the processor's part",
    "transfer": "of preprocess, the transfer to the device",
    "tower": "of vision, the vision tower's part, where the model's family says where it is",
    "projector": "of vision, the projector's part, likewise",
    "merging": "of vision, the rest: embedding the text and putting the vision tokens into it",
    "drop": "of prefill, scoring the vision tokens and gathering those that stay",
    "host_wait": "of generate (host), from the last launch until the GPU was done; n/a on a CPU",
}

_SIZES: Mapping[str, str] = {
    "peak_memory": (
        "the most memory during one generation: the allocator's peak on a GPU; on a CPU the "
        "resident set of the whole process, which is coarse"
    ),
    "kv_cache": "bytes of the keys, values and running states that the cache holds at the end",
    "weights": "bytes of the model's weights",
    "activations": "the allocator's peak less weights and KV cache; n/a on a CPU",
    "peak_reserved": "the most that the GPU's allocator had reserved",
    "nvml_used": "in use on the GPU by every process, as its driver says",
    "energy": "of one generation, by the GPU's own counter; idle power is not subtracted",
}

_COUNTS: Mapping[str, str] = {
    "vision_tokens": "vision tokens of the prompt, before anything is dropped",
    "layer_average_vision_tokens": "vision tokens in a decoder layer, averaged over all layers",
    "last_vision_tokens": "vision tokens in the last decoder layer",
    "prefill_flops": (
        "arithmetic of the matrix products of one prefill, counted from shapes and from the "
        "tokens in each layer"
    ),
}

_PAIRS: Mapping[str, str] = {
    "realised_over_ideal": "the measured prefill speed-up as a share of the ideal one",
    "answers_identical": "whether every token of the answer is the reference's",
    "token_agreement": "share of places of the longer answer that hold the same token",
}

MEANINGS: Mapping[str, str] = {**STAGES, **_PARTS, **_SIZES, **_COUNTS, **_PAIRS}
"""By the names of ``METRICS`` and ``PAIRS``."""
