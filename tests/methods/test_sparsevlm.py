"""SparseVLM and its clusters against their definitions, written again in NumPy and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.shown import Recorded, asked, decoder_input, run_by_hand
from tests.tiny_llava import IMAGE, PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.density_peaks import density_peaks
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import DropPlan

# The definition -----------------------------------------------------------------------------


def best(scores, k):
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]


def telling_words(vision, text):
    """Which rows of ``text`` rate, by their products with all of ``vision``."""
    shares = np.zeros(len(text))
    for v in vision:
        products = np.array([v @ t for t in text])
        grown = np.exp(products - products.max())
        shares += grown / grown.sum()
    shares /= len(vision)
    chosen = [j for j, share in enumerate(shares) if share > shares.mean()]
    return chosen or list(range(len(text)))


def peaks(points, k):
    """Centres, best first, and for each point the number of its centre."""
    n, width = points.shape
    far = np.array([[math.dist(a, b) / math.sqrt(width) for b in points] for a in points])
    density = [math.exp(-np.mean(np.sort(row)[:k] ** 2)) for row in far]
    apart = []
    for i in range(n):
        denser = [far[i, j] for j in range(n) if density[j] > density[i]]
        apart.append(min(denser, default=far.max()))
    centres = best([a * d for a, d in zip(apart, density, strict=True)], k)
    member = [min(range(k), key=lambda c: (far[centres[c], i], c)) for i in range(n)]
    for c, centre in enumerate(centres):
        member[centre] = c
    return centres, member


def define(score, hidden, count):
    """Kept tokens, then (centre, its cluster's tokens, their mean) for each merged one."""
    n = len(score)
    kept = sorted(best(score, min(count, n - 1)))
    gone = [i for i in range(n) if i not in kept]
    m = int(0.3 * len(gone)) + 1
    pool = best([score[i] if i in gone else -math.inf for i in range(n)], m)
    centres, member = peaks(hidden[pool], int(m / 10) + 1)
    merged = []
    for c, centre in enumerate(centres):
        group = [pool[i] for i in range(m) if member[i] == c]
        merged.append((pool[centre], group, hidden[group].mean(0)))
    return kept, merged


# On recorded signals ------------------------------------------------------------------------

TEXT = 7


def recorded(n, seed=0, words=TEXT):
    """A row of 2 words, ``n`` vision tokens, and ``words`` more words."""
    draw = torch.Generator().manual_seed(seed)
    width = 2 + n + words
    attended = torch.rand(4, width, n, generator=draw)
    return Recorded(
        states=torch.randn(n, 6, generator=draw),
        inputs=torch.randn(width, 6, generator=draw),
        after=torch.arange(2 + n, width),
        attended=attended,
    ), torch.arange(2, 2 + n)


def check(signals, positions, count):
    n = len(positions)
    kept = asked(get_method("sparsevlm"), signals, positions, count)
    inputs, after = signals.inputs.double().numpy(), signals.after.numpy()
    rows = after[telling_words(inputs[positions.numpy()], inputs[after])]
    score = signals.attended.double().numpy().mean(0)[rows].mean(0)
    wanted, merged = define(score, signals.states.double().numpy(), count)
    assert kept.index.tolist() == wanted + [centre for centre, _, _ in merged]
    assert kept.in_order
    torch.testing.assert_close(kept.merged[: len(wanted)], signals.states[wanted])
    means = torch.tensor(np.array([mean for _, _, mean in merged])).float()
    torch.testing.assert_close(kept.merged[len(wanted) :], means, rtol=0, atol=1e-5)
    groups = {i: len(wanted) + c for c, (_, group, _) in enumerate(merged) for i in group}
    assert kept.sources.tolist() == [groups.get(i, -1) for i in range(n)]
    return kept


@pytest.mark.parametrize("n", [1, 2, 30, 150])
@pytest.mark.parametrize("count", [0, 1, 11, 10_000])
def test_it_is_its_definition(n, count):
    signals, positions = recorded(n, seed=n + count)
    check(signals, positions, min(n, count))


def test_where_all_may_stay_one_still_goes_and_comes_back_at_the_end():
    signals, positions = recorded(9)
    kept = check(signals, positions, 9)
    assert sorted(kept.index.tolist()) == list(range(9))
    worst = kept.index[-1]
    torch.testing.assert_close(kept.merged[-1], signals.states[worst])


def test_ties_and_equal_tokens_go_to_the_earlier_one():
    signals, positions = recorded(40)
    signals.attended = torch.ones_like(signals.attended)
    signals.states = torch.ones_like(signals.states)
    kept = check(signals, positions, 5)
    # 35 dropped, 11 recycled, 2 clusters.
    assert kept.index.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_of_one_cluster_the_token_looked_at_most_is_the_centre():
    signals, positions = recorded(30)
    signals.attended = torch.linspace(0, 1, 30).expand_as(signals.attended)
    kept = check(signals, positions, 5)
    # 25 dropped, 8 recycled, 1 cluster: each token is its own only neighbour, so all tie.
    assert kept.index.tolist() == [25, 26, 27, 28, 29, 24]


def test_pairs_of_equal_tokens_land_in_one_cluster():
    signals, positions = recorded(40)
    signals.states = signals.states[torch.arange(40) // 2]
    check(signals, positions, 8)


@pytest.mark.parametrize("words", [1, 2])
def test_one_word_rates_alone_and_equal_words_rate_together(words):
    signals, positions = recorded(30, words=words)
    signals.inputs[signals.after] = signals.inputs[signals.after[0]].clone()
    attended = signals.attended[:, signals.after].mean((0, 1))
    kept = asked(get_method("sparsevlm"), signals, positions, 4)
    assert kept.index[:4].tolist() == sorted(best(attended.tolist(), 4))


def test_raters_are_found_at_the_first_drop_and_stay():
    signals, positions = recorded(30)
    check(signals, positions, 10)
    later, there = recorded(12, seed=1)
    later.notes, later.inputs = signals.notes, torch.full_like(later.inputs, torch.nan)
    later.attended = torch.rand(4, 50, 12, generator=torch.Generator().manual_seed(2))
    kept = asked(get_method("sparsevlm"), later, there, 5)
    rows = telling_words(
        *(signals.inputs.double().numpy()[part] for part in (positions, signals.after))
    )
    score = later.attended[:, signals.after[rows]].mean((0, 1)).tolist()
    assert kept.index[:5].tolist() == sorted(best(score, 5))


def test_without_merging_it_keeps_the_best_alone():
    signals, positions = recorded(30)
    merging = asked(get_method("sparsevlm"), signals, positions, 8)
    kept = asked(get_method("sparsevlm:merge=false"), signals, positions, 8)
    assert kept.index.tolist() == merging.index[:8].tolist()
    assert kept.merged is None
    whole = asked(get_method("sparsevlm:merge=false"), signals, positions, 30)
    assert whole.index.tolist() == list(range(30))


def test_recycle_is_a_share():
    signals, positions = recorded(30)
    method = get_method("sparsevlm:recycle=1")
    assert (asked(method, signals, positions, 10).sources >= 0).sum() == 20
    with pytest.raises(UsageError, match="recycle"):
        get_method("sparsevlm:recycle=1.5")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (60, 7)])
def test_clusters_are_their_definition(seed, n, k):
    points = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    found = density_peaks(points, k)
    centres, member = peaks(points.double().numpy(), k)
    assert found.centres.tolist() == centres
    assert found.member.tolist() == member


# In a model ---------------------------------------------------------------------------------


def dropping_by_hand(states, ids, counts):
    """The drops of ``counts`` for :func:`run_by_hand`; also, per layer, the places kept."""
    inputs, trace = states.double().numpy(), {}
    vision = [i for i, token in enumerate(ids) if token == IMAGE]
    after = list(range(vision[-1] + 1, len(ids)))
    words = telling_words(inputs[vision], inputs[after])

    def picture(place):
        """Which picture a place of the prompt is in: how much text is before it."""
        return sum(token != IMAGE for token in ids[:place])

    def drop(layer, count):
        def change(now, attention, places):
            alive = [c for c, place in enumerate(places) if ids[place] == IMAGE]
            raters = [places.index(after[j]) for j in words]
            score = attention.double().numpy().mean(0)[raters].mean(0)[alive]
            kept, merged = define(score, now[alive].double().numpy(), count)
            tokens = [(places[alive[i]], now[alive[i]]) for i in kept]
            tokens += [(places[alive[i]], torch.tensor(mean).float()) for i, _, mean in merged]
            text = [(place, now[c]) for c, place in enumerate(places) if ids[place] != IMAGE]
            left = sorted(tokens, key=lambda token: picture(token[0]))
            trace[layer] = [place for place, _ in left]
            # A picture goes before the word that it came before.
            left = sorted(
                text + left, key=lambda token: (picture(token[0]), ids[token[0]] != IMAGE)
            )
            return torch.stack([state for _, state in left]), [place for place, _ in left]

        return change

    return {layer: drop(layer, count) for layer, count in counts.items()}, trace


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("positions", ["renumbered", "original"])
def test_three_drops_of_a_prompt_are_a_decoder_run_by_hand(positions, images):
    model, inputs = make_llava(12, attn="eager"), one_prompt(images=images)
    states, ids = decoder_input(model, inputs)[0], inputs["input_ids"][0].tolist()
    drops, wanted = dropping_by_hand(states, ids, {2: 20, 5: 12, 8: 3})
    logits = run_by_hand(model, states, drops, anew=positions == "renumbered")
    method = f"sparsevlm:positions={positions}"
    with v2drop.dropping(model, "2:20t,5:12t,8:3t", method=method) as trace, torch.no_grad():
        found = model(**inputs).logits[0]
    assert {event.layer: list(event.kept[0]) for event in trace.events} == wanted
    torch.testing.assert_close(found[-5:], logits[-5:], rtol=1e-4, atol=1e-4)


def test_rows_of_a_ragged_batch_are_dropped_as_alone():
    model, inputs = make_llava(12), mixed_batch()
    schedule = "2:20t,5:6t"
    with torch.no_grad():
        with v2drop.dropping(model, schedule, method="sparsevlm") as trace:
            logits = model(**inputs).logits
        start = 0
        for b, ids in enumerate(inputs["input_ids"]):
            real = inputs["attention_mask"][b].bool()
            images = int((ids == IMAGE).sum()) // PATCHES
            alone = {"input_ids": ids[real][None], "attention_mask": real[real].long()[None]}
            if images:
                alone["pixel_values"] = inputs["pixel_values"][start : start + images]
            start += images
            with v2drop.dropping(model, schedule, method="sparsevlm") as single:
                one = model(**alone).logits
            torch.testing.assert_close(logits[b, -1], one[0, -1], rtol=1e-4, atol=1e-4)
            shift = int((~real).sum())
            for event, whole in zip(single.events, trace.events, strict=bool(images)):
                assert [p + shift for p in event.kept[0]] == list(whole.kept[b])
                if images:
                    merged = [[p + shift for p in group] for group in event.sources[0]]
                    assert merged == [list(group) for group in whole.sources[b]]


def test_each_forward_of_a_context_has_raters_of_its_own():
    model, alone = make_llava(12), []
    prompts = [one_prompt(seed) for seed in (1, 2)]
    with torch.no_grad():
        for inputs in prompts:
            with v2drop.dropping(model, "2:8t", method="sparsevlm") as trace:
                model(**inputs)
            alone += trace.events
        with v2drop.dropping(model, "2:8t", method="sparsevlm") as trace:
            for inputs in prompts:
                model(**inputs)
    assert [event.kept for event in trace.events] == [event.kept for event in alone]


def test_it_generates():
    model, inputs = make_llava(12), mixed_batch()
    with v2drop.dropping(model, "2:20t,5:6t", method="sparsevlm") as trace:
        out = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert out.shape[1] == inputs["input_ids"].shape[1] + 4
    assert len(trace.events) == 2


# Schedules ----------------------------------------------------------------------------------


def test_its_own_schedule_is_the_authors_of_192():
    method = get_method("sparsevlm")
    own = method.schedule(None, Shape(32))
    alive, found = 576, []
    for drop in own.drops:
        found.append((drop.layer, drop.kept(alive)))
        alive = method.left(alive, drop.kept(alive))
    assert found == [(3, 300), (7, 200), (16, 110)]
    assert alive == 113
    assert [drop.layer for drop in method.schedule(None, Shape(8)).drops] == [1, 2, 4]


@pytest.mark.parametrize(
    ("counts", "left"),
    [
        ((300, 200, 110), (309, 204, 113)),
        ((303, 110, 36), (312, 117, 39)),
        ((66, 30, 17), (82, 32, 18)),
    ],
)
def test_published_counts_after_each_drop(counts, left):
    alive, found = 576, []
    for count in counts:
        alive = get_method("sparsevlm").left(alive, count)
        found.append(alive)
    assert tuple(found) == left


@pytest.mark.parametrize("n_layers", [8, 28, 32, 40])
@pytest.mark.parametrize("n_vision", [36, 576, 3000])
@pytest.mark.parametrize("share", [1 / 3, 2 / 9, 0.9, 1.0])
def test_a_budget_counts_the_merged_tokens(n_layers, n_vision, share):
    method, budget = get_method("sparsevlm"), n_vision * share
    schedule = method.schedule(budget, Shape(n_layers, n_vision=n_vision))
    alive, kept = n_vision, {}
    for drop in schedule.drops:
        alive = kept[drop.layer] = method.left(alive, drop.kept(alive))
    average = DropPlan.realised(n_vision, n_layers, kept).layer_average
    assert average == pytest.approx(budget, abs=0.5)


def test_without_merging_a_budget_is_the_schedule_s_own():
    method, shape = get_method("sparsevlm:merge=false"), Shape(32, n_vision=576)
    assert method.schedule(192, shape) == shape.solved(192, (3, 7, 16))


def test_a_budget_that_merged_tokens_alone_exceed_keeps_no_others():
    schedule = get_method("sparsevlm").schedule(54, Shape(32, n_vision=576))
    assert [drop.count for drop in schedule.drops] == [0, 0, 0]


def test_a_budget_below_its_layers_moves_them():
    schedule = get_method("sparsevlm").schedule(20, Shape(32, n_vision=576))
    assert schedule.moved_from == (3, 7, 16)
    assert schedule.drops[0].layer < 3
