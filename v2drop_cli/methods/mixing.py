"""The learned part of MetaCompress: every output token is a mixture of all vision tokens."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import ModelError
from v2drop_cli.tensors import whole

PARTS = ("query", "key", "scale")
KIND, FITTED_TO = "kind", "fitted_to"


@dataclass(frozen=True, eq=False, slots=True)
class Mixing:
    """How k output tokens look for their share of n input tokens.

    Attributes:
        query: ``[D, d]`` for the pooled tokens.
        key: ``[D, d]`` for all tokens; the same as ``query`` before any training.
        scale: ``[d]`` the weight of each channel.
    """

    query: Tensor
    key: Tensor
    scale: Tensor

    @classmethod
    def fresh(cls, width: int, channels: int, seed: int) -> Mixing:
        """Before training: queries and keys alike, all channels of weight 1."""
        draw = torch.Generator().manual_seed(seed)
        query = torch.randn(width, channels, generator=draw) / math.sqrt(width)
        return cls(query, query.clone(), torch.ones(channels))

    def __call__(self, states: Tensor, count: int) -> Tensor:
        """``P [count, n]``, each row a distribution over ``states [n, D]``.

        ``P = rowsoftmax(X_q · diag(scale) · X_kᵀ / √d)`` with ``X_k = (X + E) · key`` and
        ``X_q = AvgPool(X + E) · query``.
        """
        placed = states.float() + places(len(states), states.shape[1], states.device)
        pooled = torch.nn.functional.adaptive_avg_pool1d(placed.T[None], count)[0].T
        asked, offered = pooled @ self.query, placed @ self.key
        products = (asked * self.scale) @ offered.T / math.sqrt(len(self.scale))
        return products.softmax(dim=1)

    def to(self, device: torch.device) -> Mixing:
        """The same on ``device``."""
        return Mixing(*(getattr(self, part).to(device) for part in PARTS))

    def save(self, path: Path, fitted_to: str) -> None:
        """Write a safetensors file that :meth:`load` reads."""
        from safetensors.torch import save

        tensors = {part: getattr(self, part).detach().contiguous() for part in PARTS}
        content = save(tensors, {KIND: "metacompress", FITTED_TO: fitted_to})
        part = path.with_name(path.name + ".part")
        part.write_bytes(content)
        part.replace(path)


def load(path: Path) -> tuple[Mixing, str]:
    """The weights in ``path``, and the :func:`fingerprint` of the model they were fitted to.

    Raises:
        ModelError: it is no file that ``v2drop train-metacompress`` wrote.
    """
    from safetensors import SafetensorError, safe_open

    hint = "v2drop train-metacompress DATA --model MODEL --output FILE writes one"
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get(KIND) != "metacompress" or set(file.keys()) != set(PARTS):
                raise ModelError(f"{path} holds no weights of metacompress", hint=hint)
            return Mixing(*(file.get_tensor(part) for part in PARTS)), about[FITTED_TO]
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint=hint) from None


def places(n: int, width: int, device: torch.device) -> Tensor:
    """``[n, width]`` the sinusoids of Vaswani et al. for 0 to n − 1: which token is where."""
    channels = torch.arange(0, width, 2, device=device)
    angles = torch.arange(n, device=device)[:, None] * torch.exp(
        channels * (-math.log(10_000) / width)
    )
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def middles(n: int, count: int, device: torch.device) -> Tensor:
    """``[count]`` long: of each stretch of n tokens that is pooled, the middle one.

    Made on ``device``: nothing is sent there.

    >>> host = torch.device("cpu")
    >>> middles(6, 2, host).tolist(), middles(5, 4, host).tolist()
    ([1, 4], [0, 1, 2, 3])
    """
    stretch = torch.arange(count, device=device)
    first, end = stretch * n // count, -(-(stretch + 1) * n // count)
    return (first + end - 1) // 2


def fingerprint(model: Any) -> str:
    """What tells a model from others of its size: the signs of its first word embeddings.

    Signs are the same in every dtype.
    """
    words = whole(model.get_input_embeddings().weight[:64].detach())
    signs = (words > 0).to("cpu", torch.uint8).numpy().tobytes()
    return hashlib.sha256(signs).hexdigest()[:16]
