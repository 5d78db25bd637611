"""Model types that no family serves, and why: a wrong number is worse than none.

Reasons were read in the modeling code of transformers 5.17 and 5.23. "Not proven yet" means that
nothing was found that forbids dropping, and that nobody has run the tests of exactness.
"""

from __future__ import annotations

_NO_INDEX = (
    "not proven yet: its sparse attention chooses tokens by an index, and no exactness tests were "
    "run"
)
_DISTANCE = (
    "its attention is biased by distances in columns, which layers count by themselves: they "
    "cannot be told where their survivors were"
)
_ENCODER = "it is an encoder-decoder: no vision tokens are in the sequence that its decoder extends"
_NO_TOKENS = "its decoder reads pictures by cross-attention: no vision tokens are in the sequence"
_NO_ROTARY = (
    "its decoder adds positions from a table of embeddings, and this tool shortens rotary tables "
    "only"
)
_SPEAKS = "it speaks, and has no forward; its thinker, which reads and writes text, is served"
_QUERIES = (
    "it reads a picture as 32 queries; OPT behind them adds positions from a table, and this tool "
    "shortens rotary tables only; Flan-T5 is an encoder-decoder"
)
_MERGED_OUTSIDE = (
    "its `generate` merges the picture outside of any call of the model and gives its decoder "
    "embeddings alone, in which vision tokens cannot be told from text; Flan-T5 is an "
    "encoder-decoder besides"
)
_OWN_CODE = "transformers does not have it; its own code was not examined"
_LLAVAS_PACKAGE = "it needs LLaVA's own package; use the llava-hf checkpoint of the same model"

# In transformers: model_type → reason.
_NATIVE: dict[str, str] = {
    "apertus1p5": "a picture becomes tokens of its vocabulary, not features",
    "blip": _NO_TOKENS,
    "blip-2": _QUERIES,
    "chameleon": "a picture becomes tokens of its vocabulary, inside the decoder",
    "diffusion_gemma": "it denoises whole blocks of an answer at once, in both directions",
    "emu3": "a picture becomes tokens of its vocabulary, not features",
    "ernie4_5_vl_moe": "its layers route by token types of the whole prompt, at full length",
    "evolla": "it reads proteins, not pictures, and by cross-attention",
    "florence2": _ENCODER,
    "git": _NO_ROTARY,
    "hy_v4_vl": _NO_INDEX,
    "idefics": _NO_TOKENS,
    "inkling2": _DISTANCE,
    "inkling2_loop": _DISTANCE,
    "inkling_mm_model": _DISTANCE,
    "instructblip": _MERGED_OUTSIDE,
    "instructblipvideo": _MERGED_OUTSIDE,
    "kosmos-2": _NO_ROTARY,
    "kosmos-2.5": _NO_ROTARY,
    "minimax_m3_vl": "its index picks blocks by the numbers of columns, which dropping would "
    "shift, as padding does in transformers already",
    "mistral4": "it is a text model, and takes no pixels; inside Mistral 3 it is served",
    "mllama": _NO_TOKENS,
    "pi0": "it answers with a robot's actions, which a second model denoises: there is no text",
    "pix2struct": _ENCODER,
    "pp_formulanet": _ENCODER,
    "qwen2_5_omni": _SPEAKS,
    "qwen3_omni_moe": _SPEAKS,
    "t5gemma2": _ENCODER,
    "udop": _ENCODER,
    "vision-encoder-decoder": _ENCODER,
}

# Not in transformers: the model_type of checkpoints that bring or need code of their own.
FOREIGN: dict[str, str] = {
    "deepseek_vl_v2": _OWN_CODE,
    "internvl_chat": f"{_OWN_CODE}; the checkpoints whose names end in -hf are in transformers",
    "kimi_vl": _OWN_CODE,
    "llava_llama": _LLAVAS_PACKAGE,
    "llava_mistral": _LLAVAS_PACKAGE,
    "llava_qwen": _LLAVAS_PACKAGE,
    "minicpmo": _OWN_CODE,
    "minicpmv": _OWN_CODE,
    "molmo": _OWN_CODE,
    "phi3_v": _OWN_CODE,
}

REFUSED: dict[str, str] = {**_NATIVE, **FOREIGN}

_UNTRIED = {_NO_INDEX}
UNPROVEN = frozenset(name for name, reason in _NATIVE.items() if reason in _UNTRIED)
"""Those that no law forbids: they were not tried, or not to the end."""

LAST_SOUND = {"llama4": "5.23"}
"""The last release of transformers tested in which a family's own forward works.

Llama 4's asks, in 5.24, an output of its vision tower for a field that it has not.
"""

# Of served families: (family, configuration, reason). Each family's `refusal` says so.
CONFIGURATIONS: tuple[tuple[str, str, str], ...] = (
    (
        "any",
        "a decoder with sliding windows other than Gemma 2 and 3, Mistral, Compass and Step 3.7",
        "nobody has proven that its windows are counted in the prompt's positions",
    ),
    ("any", "a decoder that attends in both directions (`is_causal=False`)", "masks stay causal"),
    (
        "any",
        "one row of a Ministral 3 or Mistral 4 decoder under flash kernels, once it scales queries",
        "they would read the gaps in its positions as packed sequences",
    ),
    ("any", "a Doge decoder", "it makes masks of its own, at full length"),
    (
        "any",
        "a decoder in which nobody proved dropping",
        "not known to be right; `--allow-unproven` serves it, and the report says so",
    ),
    ("llava", "a vision tower other than CLIP, SigLIP or Pixtral", "its tokens are not known"),
    (
        "gemma3n",
        "drops after the first layer whose keys later ones share (E2B: 18 of 30, E4B: 18 of 35)",
        "those would see dropped tokens in its keys",
    ),
    (
        "gemma4",
        "drops after the first layer whose keys later ones share (E2B: 13 of 35, E4B: 22 of 42)",
        "those would see dropped tokens in its keys; and of a prompt they get the last token alone",
    ),
    ("gemma4", "flash kernels where pictures attend both ways", "they take no mask for it"),
    (
        "mistral_large4",
        "layers that share keys and values",
        "they would see dropped tokens through an earlier layer's keys",
    ),
    (
        "glm5_next",
        "layers that take an earlier one's choice, or an index without what is left over",
        "the choice counts other columns; without a rest first tokens attend to nothing",
    ),
    ("qwen4_exp", "transformers before 5.23", "its layers do not say that they have an index"),
    ("glm5_next", "transformers before 5.23", "its layers do not say that they have an index"),
    ("paligemma", "flash kernels", "transformers does not tell them where the prompt ends"),
    ("gemma3", "flash kernels", "they take no mask that says which columns attend both ways"),
    ("molmo2", "flash kernels", "they take no mask that says which columns attend both ways"),
    ("cosmos3_edge", "flash kernels before 5.23", "transformers tells them wrong positions"),
    ("glm4v_moe", "flash kernels", "transformers tells them wrong positions"),
    ("llama4", f"transformers after {LAST_SOUND['llama4']}", "its own forward fails"),
    (
        "nemotron_h_omni",
        "state-space layers with a bias (`use_bias`)",
        "it would undo the zeros that stand for padding",
    ),
    (
        "nemotron_h_omni",
        "from transformers 5.24 on, a `video_pruning_rate`",
        "it prunes videos before its decoder, whose columns are then others",
    ),
    ("nemotron_h_omni", "video before transformers 5.24", "its own forward fails"),
)
