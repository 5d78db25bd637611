"""CDPruner against its definition in plain NumPy and float64, with CLIP and without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

import v2drop_cli as v2drop
from tests.methods.entering import Entering, drawn, rows_of, unit
from tests.tiny_llava import make_llava, mixed_batch, one_prompt
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.errors import ModelError, UnsupportedModelError, UsageError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.methods.cdpruner import CDPruner
from v2drop_cli.methods.clip_files import clip_parts
from v2drop_cli.methods.registry import get_method
from v2drop_cli.methods.relevance import ByClip, without_answer_format
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.registry import family_for
from v2drop_cli.schedule import Schedule

SCENE = Path(__file__).parents[2] / "sample_media" / "scene.png"


def greedy(kernel, k):
    """The MAP of the process, by determinants: what adds most comes next."""
    chosen = []
    for _ in range(k):
        free = [i for i in range(len(kernel)) if i not in chosen]
        gains = {}
        for i in free:
            rows = [*chosen, i]
            gains[i] = np.linalg.slogdet(kernel[np.ix_(rows, rows)])[1]
        chosen.append(max(free, key=lambda i: (gains[i], -i)))
    return sorted(chosen)


def by_hand(tokens, relevance, k):
    r = (relevance - relevance.min() + 1e-6) / (relevance.max() - relevance.min())
    return greedy(r[:, None] * (unit(tokens) @ unit(tokens).T) * r, k)


def by_decoder(tokens, asked):
    return -(unit(tokens) @ unit(asked).T).mean(axis=1)


def kept(states, asked, k):
    return CDPruner().select(Entering(states, asked).context(k)).index.tolist()


@pytest.mark.parametrize(("n", "k"), [(30, 1), (30, 9), (30, 29), (2, 1)])
def test_it_is_what_the_definition_says(n, k):
    for seed in range(3):
        states, asked = drawn(n, 48, seed=seed), drawn(5, 48, seed=seed + 9)
        tokens, words = states.double().numpy(), asked.double().numpy()
        assert kept(states, asked, k) == by_hand(tokens, by_decoder(tokens, words), k)


def test_duplicates_and_more_tokens_than_the_rank():
    states, asked = drawn(4, 3)[[0, 0, 1, 1, 2, 3]], drawn(2, 3, seed=1)
    for k in range(1, 7):
        assert len(set(kept(states, asked, k))) == k
    assert kept(torch.ones(5, 3), torch.ones(1, 3), 2) == [0, 1]


def test_without_any_text_all_tokens_are_equally_relevant():
    states = drawn(12, 20)
    alike = unit(states.double().numpy()) @ unit(states.double().numpy()).T
    np.fill_diagonal(alike, 1)
    assert kept(states, torch.zeros(0, 20), 5) == greedy(alike, 5)


def test_the_question_of_a_row_is_its_text_after_the_last_picture():
    model, inputs = make_llava(3), mixed_batch()
    with v2drop.dropping(model, "0:8t", method="cdpruner") as trace, torch.no_grad():
        model(**inputs)
    for found, (states, vision, _, after) in zip(
        trace.events[0].kept, rows_of(model, inputs), strict=True
    ):
        places: list[int] = []
        if vision:
            places = by_hand(states[vision], by_decoder(states[vision], states[after]), 8)
        assert list(found) == [vision[i] for i in places]


# With CLIP's text tower ----------------------------------------------------------------------

WORDS = ["what", "is", "it", "red", "a", "?"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny random CLIP whose patches are as wide as those of tests.tiny_llava."""
    folder = tmp_path_factory.mktemp("clip")
    return str(write_clip(folder, width=16))


def write_clip(folder, width, seed=3):
    torch.manual_seed(seed)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    shared = {"intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**shared, **ends, "vocab_size": 40, "hidden_size": 12}
        | {"max_position_embeddings": 8, "initializer_range": 0.5},
        vision_config={**shared, "hidden_size": width, "image_size": 24, "patch_size": 4},
        projection_dim=10,
    )
    model = CLIPModel(config)
    for weight in (model.text_projection.weight, model.visual_projection.weight):
        torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["!", "<|startoftext|>", "<|endoftext|>", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, "!"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", 1), ("<|endoftext|>", 2)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|startoftext|>", eos_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)


class Words:
    """The model's tokenizer: every id is a word."""

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [12 + WORDS.index(word) for word in text.split() if word in WORDS]}

    def decode(self, ids, skip_special_tokens=False):
        return " ".join(WORDS[i % len(WORDS)] for i in ids)


class Processor:
    tokenizer = Words()
    image_token = "<image>"

    def apply_chat_template(self, turns, add_generation_prompt):
        return "red <image> is harmless a ?"


def loaded(processor=None, **config):
    model = make_llava(3)
    for name, value in config.items():
        setattr(model.config.vision_config, name, value)
    family = family_for(model.config)
    device, dtype = torch.device("cpu"), torch.float32
    return LoadedModel(model, processor, family, device, dtype, "", None, "dummy")


def embedded_by_hand(folder, question):
    """CLIP's own text embeddings, segment by segment of 8 ids."""
    clip = CLIPModel.from_pretrained(folder).eval()
    ids = [1, *(3 + WORDS.index(word) for word in question.split()), 2]
    ids, mask = ids + [0] * (-len(ids) % 8), [1] * len(ids) + [0] * (-len(ids) % 8)
    with torch.no_grad():
        pooled = clip.text_model(
            input_ids=torch.tensor(ids).view(-1, 8), attention_mask=torch.tensor(mask).view(-1, 8)
        ).pooler_output
        return clip, clip.text_projection(pooled).double().numpy()


def test_with_clip_patches_meet_the_question_in_its_space(checkpoint):
    target, inputs = loaded(Processor()), one_prompt(images=2)
    method = f"cdpruner:text={checkpoint}"
    with v2drop.dropping(target, "0:11t", method=method) as trace, torch.no_grad():
        target.model(**inputs)
    [(states, vision, _, after)] = rows_of(target.model, inputs)
    asked = [WORDS[inputs["input_ids"][0, i] % len(WORDS)] for i in after]
    text = " ".join(asked).removesuffix("a ?").removeprefix("is").strip()
    clip, embedded = embedded_by_hand(checkpoint, text)
    with torch.no_grad():
        seen = target.model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True)
        patches = seen.hidden_states[-2][:, 1:].flatten(0, 1)
        patches = clip.visual_projection(clip.vision_model.post_layernorm(patches))
    relevance = -(unit(patches.double().numpy()) @ unit(embedded).T).mean(axis=1)
    places = by_hand(states[vision], relevance, 11)
    assert list(trace.events[0].kept[0]) == [vision[i] for i in places]
    assert places != by_hand(states[vision], by_decoder(states[vision], states[after]), 11)


def test_before_another_method_it_still_asks_clip(checkpoint):
    target, inputs = loaded(Processor()), one_prompt()
    kept_by = {}
    for method in (f"cdpruner:text={checkpoint}", f"cdpruner:text={checkpoint}+random"):
        schedule = "0:11t,2:5t" if "+" in method else "0:11t"
        with v2drop.dropping(target, schedule, method=method) as trace, torch.no_grad():
            target.model(**inputs)
        kept_by[method] = trace.events[0].kept
    first, second = kept_by.values()
    assert first == second
    assert [caveat.code for caveat in get_method("qapruner+random").caveats()] == [
        "question_by_decoder"
    ]


def test_what_is_attached_is_called_and_numbered_as_the_method(checkpoint):
    for text in ("cdpruner:positions=original", "qapruner:alpha=0.2"):
        given = get_method(f"{text}{',' if '=' in text else ':'}text={checkpoint}")
        found = given.attach(loaded().model, Processor())
        assert (found.name, found.positions) == (given.name, given.positions)
        assert found.attach(None, None) is found


@pytest.mark.parametrize("length", [1, 6, 7, 20])
def test_long_questions_are_cut_into_segments_of_the_text_tower(checkpoint, length):
    question = " ".join((WORDS * 4)[:length])
    found = clip_parts(checkpoint).embedded(question)
    _, expected = embedded_by_hand(checkpoint, question)
    assert len(found) == -(-(length + 2) // 8)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_how_to_answer_is_no_part_of_the_question():
    asked = "Is it red?\nAnswer the question using a single word or phrase."
    assert without_answer_format(asked) == "Is it red?"
    assert without_answer_format(asked.lower()) == "is it red?"
    assert without_answer_format("Answer me.") == "Answer me."


def test_a_template_that_fails_leaves_all_words_in(checkpoint):
    class Plain:
        tokenizer = Words()

        def apply_chat_template(self, turns, add_generation_prompt):
            raise ValueError("no template")

    assert ByClip.of(checkpoint, loaded().model, Plain()).around == ("", "")
    assert ByClip.of(checkpoint, loaded().model, Processor()).around == ("is", "a ?")


def test_the_files_are_read_once(checkpoint):
    model = loaded().model
    first, second = (ByClip.of(checkpoint, model, Processor()) for _ in range(2))
    assert first.clip.modules is second.clip.modules


def test_a_bare_model_has_no_words(checkpoint):
    with (
        pytest.raises(UsageError, match="without its processor") as caught,
        v2drop.dropping(loaded().model, method=f"cdpruner:text={checkpoint}"),
    ):
        pass
    assert "v2drop.load" in caught.value.hint


def test_another_tower_is_refused_by_name(checkpoint, tmp_path):
    with pytest.raises(UnsupportedModelError, match="siglip_vision_model"):
        ByClip.of(checkpoint, loaded(model_type="siglip_vision_model").model, Processor())
    other = str(write_clip(tmp_path, width=24))
    with pytest.raises(UsageError, match="24 channels, the model's 16"):
        ByClip.of(other, loaded().model, Processor())


def test_what_is_nowhere_is_refused_before_a_model_is_loaded(tmp_path):
    for name in ("cdpruner", "qapruner"):
        with pytest.raises(UsageError, match="no such directory") as caught:
            get_method(f"{name}:text={tmp_path / 'gone'}")
        assert caught.value.hint


def test_what_is_no_whole_clip_is_one_line(checkpoint, tmp_path):
    with pytest.raises(ModelError, match="cannot load the CLIP") as caught:
        clip_parts(str(tmp_path))
    assert "\n" not in caught.value.message
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(ModelError, match="is a bert, no CLIP"):
        clip_parts(str(tmp_path))


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    from safetensors.torch import load_file, save_file

    path = write_clip(tmp_path, width=16) / "model.safetensors"
    weights = load_file(path)
    weights.pop("text_projection.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights: text_projection"):
        clip_parts(str(tmp_path))


def test_a_method_without_text_needs_nothing_attached():
    method = CDPruner()
    assert method.attach(loaded().model, None) is method
    assert [caveat.code for caveat in method.caveats()] == ["question_by_decoder"]
    assert CDPruner(text="org/clip").caveats() == ()


def test_a_report_says_how_the_question_was_read():
    target = v2drop.load("tiny", device="cpu")
    passes = Passes(Subject(target, [v2drop.load_image(SCENE)], "red?"), Nvml(target.device))
    for method, said in (("random", False), ("cdpruner", True)):
        passes.answer(Arm(method, method, Schedule.parse("0:40t")), 1)
        assert ("question_by_decoder" in {caveat.code for caveat in passes.caveats()}) == said


def test_a_clip_is_known_by_where_it_is_and_not_by_its_name(checkpoint, tmp_path, monkeypatch):
    other = write_clip(tmp_path / "two" / "clip", width=16, seed=1)
    one = tmp_path / "one"
    one.mkdir()
    (one / "clip").symlink_to(checkpoint)
    monkeypatch.chdir(one)
    first = clip_parts("clip")
    assert clip_parts(str(checkpoint)) is first  # another name of one directory
    monkeypatch.chdir(other.parent)
    second = clip_parts("clip")  # the same name of another one
    assert not torch.equal(second.embedded("what red"), first.embedded("what red"))


def test_a_clip_that_was_written_again_is_read_again(tmp_path):
    before = clip_parts(str(write_clip(tmp_path, width=16))).embedded("what red")
    after = clip_parts(str(write_clip(tmp_path, width=16, seed=1))).embedded("what red")
    assert not torch.equal(before, after)


def test_on_a_model_spread_over_devices_clip_computes_where_it_is(checkpoint):
    """The tower's patches and the answer are elsewhere: nowhere at all, here."""
    clip = clip_parts(checkpoint)
    assert clip.device.type == "cpu"
    there = clip.to(torch.device("meta"))
    assert there.device.type == "meta"
    assert there.projected(torch.zeros(3, 16)).device.type == "meta"
    assert clip.to(torch.device("cpu")) is clip


def test_an_offloaded_model_leaves_clip_on_the_host(checkpoint):
    model = loaded().model.to("meta")
    assert ByClip.of(checkpoint, model, Processor()).clip.device.type == "cpu"
