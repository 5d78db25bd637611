"""What the reader of a number must know: every caveat there is, its code and its words.

Code compares codes, which are part of the JSON, and never words, which are for people. The words
in braces are filled in by whoever notices the thing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something the reader of a number must know. A value, not a print."""

    code: str
    message: str


class CaveatKind(enum.Enum):
    """Each kind of caveat: its code, and its words."""

    # The prompt and what timed it
    DUMMY_WEIGHTS = "dummy_weights", "dummy weights: timings are real, answers are not"
    SYNTHETIC_INPUT = (
        "synthetic_input",
        "synthetic input: random tokens and pixels; no media decode, processor or tokenizer ran",
    )
    FAKE_QUANT = (
        "fake_quant",
        "{bits} is simulated: answers are as quantised, times and memory are not those of kernels "
        "for so few bits",
    )
    DEVICE_CPU = "device_cpu", "measured on the CPU: wall clock; GPU figures n/a"
    COUNTS_BY_METHOD = (
        "counts_by_method",
        "{method} chooses how many vision tokens stay: its counts and FLOPs are those of this "
        "prompt, and finding them may make the host wait for the device at each drop",
    )
    COUNTS_BEYOND = (
        "counts_beyond",
        "{arm}: {drop} is to keep {count} vision tokens, and only {alive} are there: nothing is "
        "dropped at that layer",
    )
    COUNTS_IGNORED = (
        "counts_ignored",
        "{arm}: {method} keeps what its thresholds say; of its schedule, the layers count and the "
        "shares mean nothing",
    )
    QUESTION_BY_DECODER = (
        "question_by_decoder",
        "{method} reads the question by the decoder's own embeddings, which is our substitute: "
        "the published method takes CLIP's text tower, {method}:text=DIRECTORY",
    )
    UNKNOWN_WORDS = (
        "unknown_words",
        "{model} has never read {words}: it knows a few questions about drawn shapes, and its "
        "answer may mean nothing",
    )
    METHOD_LEFT_OUT = "method_left_out", "{method} is left out: {reason}"
    POSITIONS_KEPT = (
        "positions_kept",
        "{method} runs with positions=original, not renumbered as its authors do: {reason}",
    )
    BUDGET_MOVED = (
        "budget_moved",
        "{arm}: drops at layers {own} cannot come to {budget} tokens, and moved to {layers}, in "
        "proportion (our setting)",
    )
    BUDGET_SPLIT = (
        "budget_split",
        "{arm}: {entered} of {all} tokens enter the decoder, {average} are in a layer on average: "
        "both methods reduce by much the same factor (our setting)",
    )
    BUDGET_TRIED = (
        "budget_tried",
        "{arm}: {by} was found by prefills of this prompt; the layer average is {average} for a "
        "budget of {budget}",
    )
    BUDGET_MISSED = (
        "budget_missed",
        "{arm}: the layer average is {average}, for a budget of {budget}: the method comes no "
        "nearer, so it is not compared at equal cost",
    )
    NULL_OFF = (
        "null_off",
        "dense against itself differs ({ratios}): nothing is claimed there; measure again",
    )

    # Pictures and videos
    IMAGE_QUIRK = "image_quirk", "{file}: {quirk}"
    IMAGE_RANGE_STRETCHED = (
        "image_range_stretched",
        "{file}: values {low:g} to {high:g} were stretched to black to white",
    )
    IMAGE_PROFILE_IGNORED = (
        "image_profile_ignored",
        "{file}: its colour profile cannot be used, sRGB is assumed: {reason}",
    )
    ANIMATED_FIRST_FRAME = (
        "animated_first_frame",
        "{file} holds {count} pictures: the first one is used",
    )
    VIDEO_ALPHA_IGNORED = (
        "video_alpha_ignored",
        "{file}: its transparency cannot be read here and is left out",
    )
    VIDEO_STREAM_CHOSEN = (
        "video_stream_chosen",
        "{file} holds {count} videos: number {number}, {size} pixels, is used",
    )
    VIDEO_FEWER_FRAMES = (
        "video_fewer_frames",
        "{file}: {asked} frames asked for, it has {total}: each is used once",
    )
    VIDEO_UNEVEN_FRAMES = (
        "video_uneven_frames",
        "{file}: some frames are shown for long, so those used are {least:.3g} to {most:.3g} s "
        "apart",
    )
    VIDEO_BROKEN_TAIL = (
        "video_broken_tail",
        "{file}: decoding ended at {ended} s; its {total} whole frames are used",
    )
    VIDEO_FRAMES_SKIPPED = (
        "video_frames_skipped",
        "{file}: {skipped} damaged frames left out, {total} whole ones used",
    )
    VIDEO_TIMES_ESTIMATED = (
        "video_times_estimated",
        "{file}: {estimated} of {total} frames have no usable time: {rate:g}/s assumed",
    )
    VIDEO_TONE_MAPPED = (
        "video_tone_mapped",
        "{file}: {curve} (high dynamic range) was tone-mapped to sRGB",
    )
    FEWER_FRAMES = (
        "fewer_frames",
        "{file}: {used} frames instead of {asked}, which are more than the model's context of "
        "{context:,} tokens; --frames N takes N all the same",
    )

    # Models and what loads them
    ALIAS_SHADOWS_FOLDER = (
        "alias_shadows_folder",
        "{name} is an alias (v2drop models); for the directory here pass ./{name}",
    )
    ADAPTER_NOT_APPLIED = (
        "adapter_not_applied",
        "the adapter in {path} was not applied: peft is not installed",
    )
    UNUSED_WEIGHTS = (
        "unused_weights",
        "{location} holds tensors that its model does not use: {tensors}",
    )
    PROCESSOR_COMPLETED = (
        "processor_completed",
        "the processor's files do not fit config.json, which counts: {changed}",
    )
    GENERATION_CONFIG_SET_ASIDE = (
        "generation_config_set_aside",
        "answers are greedy, as the timed generations are; set aside from the model's "
        "generation_config.json: {names}",
    )
    DECODER_UNPROVEN = (
        "decoder_unproven",
        "dropping was never proven in a {decoder} decoder, and was allowed all the same: its "
        "answers may be wrong",
    )
    BEYOND_CONTEXT = (
        "beyond_context",
        "{prompt:,} tokens of prompt and up to {new:,} new ones are more than the {context:,} "
        "this model was made for: answers may be worse than the model's",
    )
    MODEL_SPLIT = (
        "model_split",
        "the model is split among {processes} processes: times and memory are the first one's",
    )
    MODEL_SPREAD = (
        "model_spread",
        "the model is spread over {devices}: memory and GPU figures are of {device} alone",
    )
    LIBRARY_WARNING = "library_warning", "{said}"
    TRANSFORMERS_UNTESTED = (
        "transformers_untested",
        "transformers {version}: v2drop was tested with {tested}, and what it refuses or serves "
        "wrongly with another is not known",
    )

    # The machine, and what of it could not be read
    GPU_SLOWED = "gpu-slowed", "{rounds} rounds were dropped: the GPU was slowed down ({reasons})"
    GPU_POWER_CAP = "gpu-power-cap", "the GPU ran at its power cap"
    GPU_SHARED = "gpu-shared", "{others} other processes used this GPU: timings are unreliable"
    NVML_UNAVAILABLE = "nvml-unavailable", "NVML cannot be asked about {device}: {reason}"
    NVML_SILENT = "nvml-{question}", "NVML did not answer {asked}: {reason}"
    NO_PEAK_RSS = "no-peak-rss", "peak process memory was not measured: {reason}"

    # Two reports; one of several sizes
    SAME_REPORT = "same-report", "A and B are the same report"
    NO_NULL = "no-null", "{side} was made by v2drop run: few rounds, and no noise floor"
    PARTIAL = "partial", "{side} is partial ({why}): {rounds} only"
    OF_ONE_REPORT = "{code}", "{side}: {message}"

    def __init__(self, code: str, words: str) -> None:
        self.code = code
        self.words = words

    def caveat(self, **facts: object) -> Caveat:
        """The caveat, with ``facts`` filled in.

        >>> CaveatKind.GPU_SHARED.caveat(others=2).message
        '2 other processes used this GPU: timings are unreliable'
        """
        return Caveat(self.code.format(**facts), self.words.format(**facts))


OF_THE_MACHINE = frozenset(
    kind.code for kind in (CaveatKind.GPU_SLOWED, CaveatKind.GPU_POWER_CAP, CaveatKind.GPU_SHARED)
)
"""Codes of what was wrong with the machine while it measured: two reports inherit them."""
