"""MetaCompress against NumPy, and what it says where it has no weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.tiny_llava import make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import InstrumentError, ModelError, ScheduleError, UsageError
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.metacompress import Compressing, MetaCompress
from v2drop_cli.methods.mixing import Mixing, fingerprint, load
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape


def by_hand(states, query, key, scale, count):
    """``P`` and ``P · X`` in NumPy, from the definition."""
    n, width = states.shape
    place = np.zeros((n, width))
    for t in range(n):
        for c in range(0, width, 2):
            angle = t / 10_000 ** (c / width)
            place[t, c] = np.sin(angle)
            if c + 1 < width:
                place[t, c + 1] = np.cos(angle)
    placed = states + place
    runs = [range(i * n // count, int(np.ceil((i + 1) * n / count))) for i in range(count)]
    pooled = np.stack([placed[list(run)].mean(axis=0) for run in runs])
    products = (pooled @ query) @ np.diag(scale) @ (placed @ key).T / np.sqrt(len(scale))
    weights = np.exp(products - products.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return runs, weights, weights @ states


def made(width=6, channels=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    parts = (width, channels), (width, channels), (channels,)
    return Mixing(*(torch.randn(*size, generator=draw) for size in parts))


def context(states, count):
    positions = torch.arange(len(states))
    return DropContext(0, count, positions, 0, RowSignals(states, None, positions))


@pytest.mark.parametrize(("n", "count"), [(12, 4), (13, 5), (7, 6), (9, 1), (2, 1)])
def test_outputs_are_the_mixtures_of_the_definition(n, count):
    states = torch.randn(n, 6, generator=torch.Generator().manual_seed(n))
    mixing = made()
    kept = Compressing(mixing).select(context(states, count))
    arrays = (x.double().numpy() for x in (states, mixing.query, mixing.key, mixing.scale))
    runs, weights, mixed = by_hand(*arrays, count)
    np.testing.assert_allclose(kept.merged.numpy(), mixed, atol=1e-5)
    np.testing.assert_allclose(mixing(states, count).numpy(), weights, atol=1e-6)
    places = kept.index.tolist()
    assert places == sorted(set(places))
    assert all(place in run for place, run in zip(places, runs, strict=True))
    assert kept.sources is None


def test_equal_tokens_mix_to_themselves():
    states = torch.ones(5, 6)
    torch.testing.assert_close(
        Compressing(made()).select(context(states, 2)).merged, torch.ones(2, 6)
    )


def test_before_training_queries_and_keys_are_alike():
    fresh = Mixing.fresh(6, 4, seed=1)
    assert torch.equal(fresh.query, fresh.key)
    assert fresh.scale.tolist() == [1.0] * 4


@pytest.fixture
def weights(tmp_path):
    """Weights for `make_llava`, on disk."""
    path = tmp_path / "mixtures.safetensors"
    made(width=32).save(path, "a model")
    return path


def test_weights_are_read_back(weights):
    found, fitted_to = load(weights)
    assert fitted_to == "a model"
    for part in ("query", "key", "scale"):
        assert torch.equal(getattr(found, part), getattr(made(width=32), part))


@pytest.mark.parametrize("make", [one_prompt, mixed_batch])
def test_a_model_runs_on_mixtures(weights, make):
    model, inputs = make_llava(4), make()
    method = f"metacompress:weights={weights}"
    with torch.no_grad(), v2drop.dropping(model, "0:5t", method=method) as trace:
        model(**inputs)
    [event] = trace.events
    assert set(event.after) <= {0, 5}


def test_gradients_reach_the_weights(weights):
    model, inputs = make_llava(4), one_prompt()
    mixing = made(width=32)
    for part in (mixing.query, mixing.key, mixing.scale):
        part.requires_grad_(True)
    with v2drop.dropping(model, "0:5t", method=Compressing(mixing)):
        model(**inputs).logits[0, -1].square().sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in (mixing.query, mixing.key, mixing.scale))


def test_no_other_model_has_weights():
    with (
        pytest.raises(UsageError, match="tiny only") as caught,
        v2drop.dropping(make_llava(4), "0:5t", method="metacompress"),
    ):
        pass
    assert "train-metacompress" in caught.value.hint


def test_weights_that_were_fitted_again_are_read_again(tmp_path):
    model, file, logits = make_llava(2), tmp_path / "weights.safetensors", []
    for seed in (0, 1):
        Mixing.fresh(32, 4, seed).save(file, fingerprint(model))
        method = f"metacompress:weights={file}"
        with torch.no_grad(), v2drop.dropping(model, "0:5t", method=method):
            logits.append(model(**one_prompt()).logits[0, -1])
    assert not torch.allclose(*logits)


def test_weights_of_another_width_are_refused(tmp_path):
    path = tmp_path / "narrow.safetensors"
    made(width=16).save(path, "a model")
    with (
        pytest.raises(UsageError, match="hidden states of 16"),
        v2drop.dropping(make_llava(4), "0:5t", method=f"metacompress:weights={path}"),
    ):
        pass


def test_files_that_are_no_weights(tmp_path):
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"query": torch.zeros(2)}, other)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    for path in (other, broken, tmp_path / "missing.safetensors"):
        with pytest.raises(ModelError, match=path.name):
            load(path)
    with pytest.raises(UsageError, match="no weights of metacompress in"):
        get_method(f"metacompress:weights={tmp_path / 'missing.safetensors'}")


def test_it_drops_before_the_decoder_only():
    method = MetaCompress()
    shape = Shape(n_layers=12, n_vision=576)
    assert str(method.schedule(None, shape)) == "0:0.1"
    assert str(method.schedule(64.0, shape)) == "0:64t"
    from v2drop_cli.schedule import Schedule

    method.check(Schedule.parse("0:0.5"))
    with pytest.raises(ScheduleError, match="layer 3"):
        method.check(Schedule.parse("3:0.5"))
    with pytest.raises(InstrumentError, match="attached"):
        get_method("metacompress").select(context(torch.zeros(4, 6), 2))


def test_a_fingerprint_is_a_models_whatever_its_dtype():
    model, other = make_llava(2), make_llava(2, seed=1)
    own = fingerprint(model)
    assert own == fingerprint(model.half()) == fingerprint(model.bfloat16())
    assert own != fingerprint(other)


def test_weights_are_sent_to_a_device_once_a_context(weights, monkeypatch):
    model, inputs, sent = make_llava(4), one_prompt(), []
    to = Mixing.to
    monkeypatch.setattr(Mixing, "to", lambda self, device: sent.append(device) or to(self, device))
    method = f"metacompress:weights={weights}"
    for contexts in (1, 2):
        with torch.no_grad(), v2drop.dropping(model, "0:5t", method=method):
            for _ in range(3):
                model(**inputs)
        assert len(sent) == contexts


def test_weights_that_are_learned_are_never_a_copy():
    learned = made()
    learned.query.requires_grad_(True)
    method = Compressing(learned)
    first, second = (method._on(torch.device("meta")) for _ in range(2))
    assert first is not second
    assert first.query.device.type == "meta"
    fixed = Compressing(made())
    assert fixed._on(torch.device("meta")) is fixed._on(torch.device("meta"))


def test_nothing_else_is_sent_there():
    """Places and middles are made where the states are: here nowhere, so a copy would fail."""
    nowhere = torch.device("meta")
    states = torch.empty(12, 6, device=nowhere)
    kept = Compressing(made().to(nowhere)).select(context(states, 4))
    assert kept.index.device == kept.merged.device == nowhere


@pytest.mark.parametrize(("weights_width", "said"), [(16, "hidden states of 16"), (32, None)])
def test_a_configuration_tells_whether_weights_fit(tmp_path, weights_width, said):
    file = tmp_path / "weights.safetensors"
    made(width=weights_width).save(file, "a model")
    method, config = get_method(f"metacompress:weights={file}"), make_llava(2).config
    if said is None:
        method.check_model(config)
        return
    for refusing in (method, get_method(f"metacompress:weights={file}+random")):
        with pytest.raises(UsageError, match=said) as caught:
            refusing.check_model(config)
        assert "train-metacompress" in caught.value.hint


def test_weights_for_tiny_are_told_to_be_for_tiny_by_the_width_alone():
    with pytest.raises(UsageError, match="tiny only") as caught:
        MetaCompress().check_model(make_llava(2).config)
    assert "train-metacompress" in caught.value.hint
