"""Llama 4 at tiny size: tiles, experts, chunks shorter than the prompt, and layers without rope."""

from __future__ import annotations

from typing import Any

from transformers import (
    Llama4Config,
    Llama4ForConditionalGeneration,
    Llama4TextConfig,
    Llama4VisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

NEXT_TILE, NEXT_ROW, WHOLE, IMAGE, BEGIN, END = 3, 4, 5, 6, 7, 8
SIDE, TOKENS = 24, 9  # pixels along a tile, and tokens of it
CHUNK = 16


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The third layer has no rope and attends to everything; experts in every other layer."""
    width = 16
    vision = Llama4VisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,  # four patches become one token
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=4,
        projector_input_dim=24,
        projector_output_dim=24,
        vision_output_dim=24,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    experts: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 1}
    decoder = Llama4TextConfig(
        **{**experts, **text},
        intermediate_size_mlp=48,
        head_dim=8,
        interleave_moe_layer_step=2,
        no_rope_layer_interval=3,
        attention_chunk_size=CHUNK,
    )
    return Llama4Config(vision_config=vision, text_config=decoder, **ids)


def image(seed: int) -> Piece:
    """Pictures of 1 x 2 tiles, of one, of 2 x 1; a picture of several is shown whole as well."""
    rows, columns = [(1, 2), (1, 1), (2, 1)][seed % 3]
    ids, tile = [BEGIN], [IMAGE] * TOKENS
    if rows * columns > 1:
        for _ in range(rows):
            ids += [*tile, *[NEXT_TILE, *tile] * (columns - 1), NEXT_ROW]
    ids += [WHOLE, *tile, END]
    squares = rows * columns + (rows * columns > 1)
    return piece(ids, IMAGE, {"pixel_values": noise(squares, 3, SIDE, SIDE, seed=seed)})


def layers(model: Any) -> Any:
    """The decoder's blocks: the decoder sits in a language model of its own."""
    return model.language_model.model.layers


CASE = Case(
    name="llama4",
    model=Llama4ForConditionalGeneration,
    config=config,
    ids={"image_token_index": IMAGE, "boi_token_index": BEGIN, "eoi_token_index": END},
    image=image,
    smooth={"num_experts_per_tok": 4},
    layers=layers,
)
