"""Processors at the sizes their authors publish, and with the limits that their classes have.

`PROCESSORS` are for shipped architectures: alias → processor. `OWN_LIMITS` are for tiny models,
whose patch is of `PATCH` pixels or of `OWN_PATCH`: family → processor.
"""

from __future__ import annotations

from tests.families import CASES
from tests.families.llava import clip_images
from tests.families.qwen2_5_omni import hearing
from v2drop_cli.prove.cases.idefics2 import QUERIES
from v2drop_cli.prove.cases.qwen2_vl import PATCH

SIDE = 4 * PATCH  # of Molmo 2's tiny crops
WHOLE, TILE = 12 * PATCH, 8 * PATCH  # of Unlimited-OCR's tiny pages


def llava(tokenizer):
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor=clip_images(336),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_next(tokenizer):
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    side = {"height": 336, "width": 336}
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(size={"shortest_edge": 336}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_onevision(tokenizer):
    from transformers import (
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(),
        num_image_tokens=729,
        vision_feature_select_strategy="full",
    )


def internvl(tokenizer):
    from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    size = {"height": 448, "width": 448}
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=256,
    )


PROCESSORS = {
    "llava-1.5-7b": llava,
    "llava-next-vicuna-7b": llava_next,
    "llava-onevision-0.5b": llava_onevision,
    "internvl3-1b": internvl,
}


def lfm2_vl(tokenizer):
    from transformers import Lfm2VlImageProcessor, Lfm2VlProcessor

    images = Lfm2VlImageProcessor(encoder_patch_size=PATCH, tile_size=32 * PATCH)
    return Lfm2VlProcessor(image_processor=images, tokenizer=tokenizer)


def minicpmv4_6(tokenizer):
    from transformers import (
        MiniCPMV4_6ImageProcessor,
        MiniCPMV4_6Processor,
        MiniCPMV4_6VideoProcessor,
    )

    images = MiniCPMV4_6ImageProcessor(patch_size=PATCH)
    return MiniCPMV4_6Processor(images, MiniCPMV4_6VideoProcessor(patch_size=PATCH), tokenizer)


def kimi_k25(tokenizer):
    from transformers import Kimi_K25ImageProcessor, Kimi_K25Processor, Kimi_K25VideoProcessor

    images = Kimi_K25ImageProcessor(patch_size=PATCH)
    return Kimi_K25Processor(images, tokenizer, Kimi_K25VideoProcessor(patch_size=PATCH))


def qwen2_5_omni(tokenizer):
    from transformers import Qwen2_5OmniProcessor

    return omni(Qwen2_5OmniProcessor, "qwen2_5_omni", tokenizer)


def qwen3_omni_moe(tokenizer):
    from transformers import Qwen3OmniMoeProcessor

    return omni(Qwen3OmniMoeProcessor, "qwen3_omni_moe", tokenizer)


def omni(made, name, tokenizer):
    """The class itself limits videos, in pixels; checkpoints limit pictures, as Qwen2.5-VL's do."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    size = {"shortest_edge": 3136, "longest_edge": 12845056}
    images = Qwen2VLImageProcessor(patch_size=OWN_PATCH[name], size=size)
    videos = Qwen2VLVideoProcessor(patch_size=OWN_PATCH[name])
    return made(images, videos, hearing(), tokenizer)


def exaone4_5(tokenizer):
    from transformers import Exaone4_5_Processor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    patch = {"patch_size": OWN_PATCH["exaone4_5"]}
    images, videos = Qwen2VLImageProcessor(**patch), Qwen2VLVideoProcessor(**patch)
    return Exaone4_5_Processor(images, tokenizer, videos)


def idefics2(tokenizer):
    from transformers import Idefics2ImageProcessor, Idefics2Processor

    size = {"shortest_edge": 378 // 14 * PATCH, "longest_edge": 980 // 14 * PATCH}
    images = Idefics2ImageProcessor(size=size, do_image_splitting=True)
    return Idefics2Processor(images, tokenizer, image_seq_len=QUERIES)


def muse_glimmer(tokenizer):
    from transformers import MuseGlimmerProcessor

    return MuseGlimmerProcessor(*muses(), tokenizer=tokenizer)


def muse_spark(tokenizer):
    from transformers import MuseSparkFeatureExtractor, MuseSparkProcessor

    images, videos = muses()
    hears = MuseSparkFeatureExtractor()
    return MuseSparkProcessor(images, videos, tokenizer=tokenizer, feature_extractor=hears)


def muses():
    from transformers import MuseGlimmerImageProcessor, MuseGlimmerVideoProcessor

    return MuseGlimmerImageProcessor(patch_size=PATCH), MuseGlimmerVideoProcessor(patch_size=PATCH)


def molmo2(tokenizer):
    """Crops of four patches; neighbours share one, as they share four of 27 as published."""
    from transformers import Molmo2ImageProcessor, Molmo2Processor, Molmo2VideoProcessor

    sizes = {"size": {"height": SIDE, "width": SIDE}, "patch_size": PATCH}
    images = Molmo2ImageProcessor(**sizes, overlap_margins=[1, 1])
    # The class leaves frames as bytes unless its checkpoint's file says this, as it does.
    videos = Molmo2VideoProcessor(**sizes, do_rescale=True, do_normalize=True)
    return Molmo2Processor(images, videos, tokenizer)


def nemotron_h_omni(tokenizer):
    from transformers import (
        NemotronH_Omni_Reasoning_V3ImageProcessor,
        NemotronH_Omni_Reasoning_V3Processor,
        NemotronH_Omni_Reasoning_V3VideoProcessor,
        ParakeetFeatureExtractor,
    )

    sizes = {"patch_size": PATCH, "norm_mean": [0.5] * 3, "norm_std": [0.5] * 3}
    images = NemotronH_Omni_Reasoning_V3ImageProcessor(**sizes)
    videos = NemotronH_Omni_Reasoning_V3VideoProcessor(**sizes)
    hears = ParakeetFeatureExtractor()
    return NemotronH_Omni_Reasoning_V3Processor(images, videos, tokenizer, hears)


def fuyu(tokenizer):
    """As its tests have it, with a frame of as many patches as published."""
    processor = CASES["fuyu"].processor(tokenizer)
    processor.image_processor.size = {"height": 36 * PATCH, "width": 64 * PATCH}
    return processor


def unlimited_ocr(tokenizer):
    from transformers import UnlimitedOcrImageProcessor, UnlimitedOcrProcessor

    size = {"height": WHOLE, "width": WHOLE}
    images = UnlimitedOcrImageProcessor(size=size, tile_size=TILE)
    return UnlimitedOcrProcessor(images, tokenizer, patch_size=PATCH)


def phi4_multimodal(tokenizer):
    """As its tests have it, with as many crops as published."""
    processor = CASES["phi4_multimodal"].processor(tokenizer)
    processor.image_processor.dynamic_hd = 36
    return processor


def glm5_next(tokenizer):
    from transformers import Glm5NextImageProcessor, Glm5NextProcessor, Glm5NextVideoProcessor

    images = Glm5NextImageProcessor(patch_size=PATCH)
    return Glm5NextProcessor(images, tokenizer, Glm5NextVideoProcessor(patch_size=PATCH))


def dots3_note(tokenizer):
    from transformers import (
        Dots3NoteFeatureExtractor,
        Dots3NoteProcessor,
        Qwen2VLImageProcessor,
        Qwen3VLVideoProcessor,
    )

    sizes = {"patch_size": PATCH, "temporal_patch_size": 1}
    images, videos = Qwen2VLImageProcessor(**sizes), Qwen3VLVideoProcessor(**sizes)
    return Dots3NoteProcessor(images, tokenizer, videos, Dots3NoteFeatureExtractor(feature_size=8))


# Where the limits are tokens of the published patch in pixels, no other patch has these tokens.
OWN_PATCH = {"exaone4_5": 14, "qwen2_5_omni": 14, "qwen3_omni_moe": 16}
OWN_LIMITS = {
    "lfm2_vl": lfm2_vl,
    "minicpmv4_6": minicpmv4_6,
    "kimi_k25": kimi_k25,
    "exaone4_5": exaone4_5,
    "idefics2": idefics2,
    "muse_glimmer": muse_glimmer,
    "muse_spark": muse_spark,
    "qwen2_5_omni": qwen2_5_omni,
    "qwen3_omni_moe": qwen3_omni_moe,
    "dots3_note": dots3_note,
    "molmo2": molmo2,
    "nemotron_h_omni": nemotron_h_omni,
    "fuyu": fuyu,
    "unlimited_ocr": unlimited_ocr,
    "phi4_multimodal": phi4_multimodal,
    "glm5_next": glm5_next,
}
