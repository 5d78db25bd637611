"""What to try next. The same seed, number and history give the same answer, in whatever process.

So a search that was killed and gone on with tries what an unbroken one tries: a sampler keeps
nothing between two trials.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from v2drop_cli.errors import MissingPackageError, unknown_name
from v2drop_cli.tuning.space import Parameters, Space

TPE, RANDOM = "tpe", "random"
STARTUP = 10
"""Trials before TPE begins to draw by what they showed; until then it draws at random."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial that is over.

    Attributes:
        parameters: what was drawn.
        value: how bad it was; the search wants it small.
    """

    parameters: Parameters
    value: float


Sampler = Callable[[Space, str, Sequence[Tried]], Parameters]
"""Space, key and history → parameters; another key is another draw."""


def sampler_of(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        UnknownNameError: there is none.
        MissingPackageError: it needs optuna, which is not here.
    """
    if name not in _SAMPLERS:
        raise unknown_name("sampler", name, _SAMPLERS)
    if name == TPE:
        _optuna()
    return _SAMPLERS[name]


def _random(space: Space, key: str, history: Sequence[Tried]) -> Parameters:
    """At random, whatever was tried: what another sampler has to beat."""
    return space.any(key)


def _tpe(space: Space, key: str, history: Sequence[Tried]) -> Parameters:
    """Optuna's tree-structured Parzen estimator (Bergstra 2011): like the good, unlike the bad."""
    optuna = _optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=_seed(key), n_startup_trials=STARTUP, multivariate=True
        )
        study = optuna.create_study(sampler=sampler)
        drawn_from = _distributions(space, optuna)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(one.parameters), distributions=drawn_from, value=one.value
                )
                for one in history
            ]
        )
        return dict(study.ask(drawn_from).params)


def _distributions(space: Space, optuna: Any) -> dict[str, Any]:
    return {name: _distribution(among, optuna) for name, among in space.choices.items()}


def _distribution(among: Sequence[Any] | None, optuna: Any) -> Any:
    """Counts are numbers to it: three drops are nearer to two than to none."""
    kinds = optuna.distributions
    if among is None:
        return kinds.FloatDistribution(0.0, 1.0)
    if isinstance(among, range):
        return kinds.IntDistribution(among[0], among[-1])
    return kinds.CategoricalDistribution(tuple(among))


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError(
            f"the sampler {TPE} needs optuna: {error}",
            hint="pip install optuna, or --sampler random, which needs nothing",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


_SAMPLERS: dict[str, Sampler] = {TPE: _tpe, RANDOM: _random}
