"""Models larger than one device: split among processes, or spread over the devices of one.

Split is transformers' own tensor parallelism: every process runs the whole program on its slice of
each layer's weights. What a layer hands on is summed among them, so that all have the same hidden
states, and choose the same tokens. What each would see otherwise, a clock say, the first one says.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from v2drop_cli.errors import MissingPackageError, UnsupportedModelError, UsageError
from v2drop_cli.processes import Processes
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions

T = TypeVar("T")


def loading_arguments(options: LoadOptions) -> dict[str, Any]:
    """What ``from_pretrained`` is told of it."""
    if options.device_map is not None:
        if importlib.util.find_spec("accelerate") is None:
            raise MissingPackageError(
                "--device-map needs accelerate, which is not installed",
                hint="pip install accelerate",
            )
        return {"device_map": options.device_map}
    if options.tp_plan is None:
        return {}
    from transformers.distributed.configuration_utils import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_plan="auto")}  # the only one there is


def parts_of(options: LoadOptions) -> int:
    """Among how many processes a model is split; 1 where it is whole in each."""
    return 1 if options.tp_plan is None else Processes.here().count


def check_split(config: Any, device: torch.device, options: LoadOptions) -> None:
    """Refuse what cannot be split among the processes.

    Raises:
        UsageError: a device is named where transformers would not put the model.
        UnsupportedModelError: some processes would have half a head.
    """
    if options.tp_plan is None:
        return
    if torch.cuda.is_available() and device.type == "cpu":
        raise UsageError(
            "--device cpu with --tp-plan: where there are GPUs, transformers splits among them",
            hint="leave --device out; CUDA_VISIBLE_DEVICES= hides the GPUs",
        )
    text, parts = config.get_text_config(), parts_of(options)
    for name in ("num_attention_heads", "num_key_value_heads"):
        heads = getattr(text, name, None)
        if isinstance(heads, int) and heads % parts:
            raise UnsupportedModelError(
                f"--tp-plan shares out heads, and {name}={heads} is no multiple of {parts} "
                "processes",
                hint=f"start as many processes as divide {heads}",
            )


def main_device(model: Any) -> torch.device:
    """Where a model that is spread over devices takes its inputs."""
    device: torch.device = model.device
    if device.type != "meta":
        return device
    places = [_device(each) for each in model.hf_device_map.values() if each != "disk"]
    return next((each for each in places if each.type == "cuda"), torch.device("cpu"))


def split_caveats(model: Any, device: torch.device, parts: int) -> tuple[Caveat, ...]:
    """What the reader of times and memory must know of a model that is not in one place."""
    if parts > 1:
        return (CaveatKind.MODEL_SPLIT.caveat(processes=parts),)
    named = getattr(model, "hf_device_map", None) or {}
    places = dict.fromkeys(
        each if each == "disk" else str(_device(each)) for each in named.values()
    )
    if len(places) < 2:
        return ()
    return (CaveatKind.MODEL_SPREAD.caveat(devices=", ".join(places), device=device),)


def _device(place: int | str | torch.device) -> torch.device:
    """A device by what accelerate calls it: a GPU has a bare number."""
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


def agreed(loaded: LoadedModel, value: T) -> T:
    """What the first process says, where a model is split; elsewhere ``value``."""
    if loaded.parts == 1:
        return value
    said = [value]
    torch.distributed.broadcast_object_list(said, src=0, device=loaded.device)
    return said[0]


def of_all_heads(found: Tensor, attention: Any) -> Tensor:
    """``found [heads, …]``, with the heads that other processes have of a split ``attention``."""
    meshes = (getattr(weight, "device_mesh", None) for weight in attention.parameters())
    mesh = next((each for each in meshes if each is not None), None)
    if mesh is None:
        return found
    group = mesh.get_group()
    parts = [torch.empty_like(found) for _ in range(mesh.size())]
    torch.distributed.all_gather(parts, found.contiguous(), group=group)
    return torch.cat(parts)
