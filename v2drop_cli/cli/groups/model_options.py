"""Which model, in which form, on which device. Names follow transformers where it has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import MODEL, OUTPUT, Looks, again, argument, option

if TYPE_CHECKING:
    from v2drop_cli.models.loading_options import LoadOptions


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """A model, and how to load it."""

    model: str = option(
        "tiny", Looks("--model", "Alias (see v2drop models), Hub id or path.", MODEL, "MODEL")
    )
    weights: str = option(
        "trained", Looks("--weights", "trained, or dummy: random, no download.", MODEL, "KIND")
    )
    device: str = option("auto", Looks("--device", "auto, cpu, cuda or cuda:N.", MODEL, "DEVICE"))
    dtype: str = option(
        "auto", Looks("--dtype", "auto, float32, float16 or bfloat16.", MODEL, "DTYPE")
    )
    attn_implementation: str | None = option(
        None,
        Looks(
            "--attn-implementation",
            "As in transformers: sdpa, eager, flash_attention_2 ...",
            MODEL,
            "NAME",
        ),
    )
    fake_quant: str | None = option(
        None,
        Looks(
            "--fake-quant",
            "Compute as if quantised, e.g. w4a4 (bits of weights, of activations): simulated.",
            MODEL,
            "BITS",
        ),
    )
    revision: str | None = option(
        None, Looks("--revision", "Branch, tag or commit on the Hub.", MODEL, "REV")
    )
    trust_remote_code: bool = option(
        False, Looks("--trust-remote-code", "Run code from the Hub.", MODEL, runs_code=True)
    )
    allow_pickle: bool = option(
        False,
        Looks(
            "--allow-pickle",
            "Load old .bin weights (loading can run code).",
            MODEL,
            runs_code=True,
        ),
    )
    allow_unproven: bool = option(
        False,
        Looks("--allow-unproven", "Drop also in a decoder in which nobody has proven it.", MODEL),
    )

    def load_options(self, seed: int) -> LoadOptions:
        """The same as the loader takes it; ``seed`` is for dummy weights.

        Raises:
            UsageError: a name that means nothing.
        """
        from v2drop_cli.models.loading_options import LoadOptions

        load = LoadOptions(
            device=self.device,
            dtype=self.dtype,
            weights=self.weights,
            attn_implementation=self.attn_implementation,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
            allow_unproven=self.allow_unproven,
            fake_quant=self.fake_quant,
            seed=seed,
        )
        load.check(self.model)
        return load


@dataclass(frozen=True, slots=True)
class LargeModelOptions(ModelOptions):
    """A model that may be too large for one device."""

    tp_plan: str | None = option(
        None,
        Looks(
            "--tp-plan",
            "auto: split each layer among the processes that torchrun started.",
            MODEL,
            "PLAN",
        ),
    )
    device_map: str | None = option(
        None,
        Looks(
            "--device-map", "auto: spread the layers over all devices (accelerate).", MODEL, "MAP"
        ),
    )

    def load_options(self, seed: int) -> LoadOptions:
        """See :meth:`ModelOptions.load_options`.

        Raises:
            UsageError: a name that means nothing, or what does not go together.
        """
        load = replace(
            ModelOptions.load_options(self, seed), tp_plan=self.tp_plan, device_map=self.device_map
        )
        load.check(self.model)
        return load


@dataclass(frozen=True, slots=True)
class DoctorModel:
    """What to look into: a model that need not be there, and the place it is to run in."""

    model: str | None = again(
        ModelOptions,
        "model",
        default=None,
        help="Alias (see v2drop models), Hub id or path [default: tiny; to prove: every family].",
    )
    device: str = again(ModelOptions, "device")
    dtype: str = again(ModelOptions, "dtype")
    attn_implementation: str | None = again(ModelOptions, "attn_implementation")

    def check(self) -> None:
        """Refuse names that mean nothing.

        Raises:
            UsageError: there is one.
        """
        from v2drop_cli.models.loading_options import LoadOptions

        LoadOptions(
            device=self.device, dtype=self.dtype, attn_implementation=self.attn_implementation
        ).check(self.name)

    @property
    def name(self) -> str:
        """The model, or the one that stands for it."""
        return self.model or "tiny"


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """What ``models`` lists."""

    name: str | None = argument(
        "NAME", "Say everything of one: an alias, a family, a model type or a method.", default=None
    )
    refused: bool = option(
        False, Looks("--refused", "List what is not served, with the reasons.", OUTPUT)
    )
