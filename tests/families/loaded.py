"""Tiny models of every family as the package holds a loaded model, without a processor."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.families import CASES
from tests.families.case import Tested
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.base import LoadedModel, Synthetic
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.prove.cases.case import Prompt


def pieces_of(case):
    """A stand-in for a family's own function: the pieces that the matrix tests are made of."""

    def synthetic(config, media):
        makers = [case.image if item.frames is None else case.video for item in media]
        pieces = [make(seed) for seed, make in enumerate(makers)]
        return Synthetic([p.ids for p in pieces], case.join([pieces]))

    return synthetic


def loaded_case(name: str) -> LoadedModel:
    case = CASES[name]
    model = case.make("eager")
    family = family_for(model.config)
    return LoadedModel(
        model=model,
        processor=None,
        family=replace(family, synthetic=pieces_of(case)),
        device=torch.device("cpu"),
        dtype=torch.float32,
        source=name,
        revision=None,
        weights="dummy",
    )


def inputs_of(case: Tested, prompt: Prompt) -> Inputs:
    """One prompt as a processor gives it."""
    tensors, vision = case.batch([prompt])
    index = (torch.tensor(vision[0], dtype=torch.long),)
    return Inputs(tensors, VisionTokens(index, ((),)), packed=get_family(case.family).packed)


def case_passes(loaded: LoadedModel, rows: int = 1, frames: int | None = None) -> Passes:
    """Passes over one piece of the family's case among 7 random words."""
    given = SyntheticInput(((24, 24),), frames, 7, seed=3)
    return Passes(Subject(loaded, (), given.prompt, rows, given), Nvml(loaded.device))
