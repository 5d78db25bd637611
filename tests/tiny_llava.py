"""Tiny random-weight LLaVA models, and batches for them: small enough for exact tests."""

from __future__ import annotations

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

IMAGE = 3  # placeholder id
PAD = 0
EOS = 2
PATCHES = 36  # vision tokens per image: 6 x 6


def make_llava(
    n_layers: int = 28, attn: str = "sdpa", seed: int = 0, kv_heads: int = 2, tower: int = 2
) -> LlavaForConditionalGeneration:
    """A LLaVA with `n_layers` decoder layers, `tower` blocks before it, float32, random weights."""
    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=512,
        initializer_range=0.15,
        bos_token_id=1,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=tower,
        num_attention_heads=2,
        image_size=24,
        patch_size=4,
        projection_dim=16,
        initializer_range=0.3,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=PATCHES
    )
    model = LlavaForConditionalGeneration(config).eval()
    model.set_attn_implementation(attn)
    model.generation_config.pad_token_id = PAD
    return model


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """`n` random images `[n, 3, 24, 24]`."""
    return torch.randn(n, 3, 24, 24, generator=torch.Generator().manual_seed(seed))


def row(before: int, images: int, after: int, seed: int) -> list[int]:
    """Ids of one prompt: text, `images` images with one text token between, text."""
    draw = torch.Generator().manual_seed(seed)

    def text(n: int) -> list[int]:
        return torch.randint(4, 64, (n,), generator=draw).tolist()

    ids = [1, *text(before)]
    for _ in range(images):
        ids += [*[IMAGE] * PATCHES, *text(1)]
    return ids + text(after)


def batch(rows: list[list[int]], side: str = "left", seed: int = 0) -> dict[str, torch.Tensor]:
    """Rows padded on `side`, with as many random images as they ask for."""
    width = max(map(len, rows))
    ids, mask = [], []
    for ids_row in rows:
        fill, ones = [PAD] * (width - len(ids_row)), [1] * len(ids_row)
        zeros = [0] * len(fill)
        ids.append(fill + ids_row if side == "left" else ids_row + fill)
        mask.append(zeros + ones if side == "left" else ones + zeros)
    out = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    n_images = sum(r.count(IMAGE) for r in rows) // PATCHES
    if n_images:
        out["pixel_values"] = pictures(n_images, seed)
    return out


def one_prompt(seed: int = 0, images: int = 1) -> dict[str, torch.Tensor]:
    """A batch of one: three tokens, the images, five tokens."""
    return batch([row(3, images, 5, seed)], seed=seed)


def mixed_batch(side: str = "left", seed: int = 0) -> dict[str, torch.Tensor]:
    """Four rows: one image, two images, no image, one image late; different lengths."""
    return batch(
        [
            row(3, 1, 5, seed),
            row(2, 2, 4, seed + 1),
            row(9, 0, 3, seed + 2),
            row(11, 1, 2, seed + 3),
        ],
        side,
        seed,
    )
