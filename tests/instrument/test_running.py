"""Who is in a forward: one thread, one call, and nothing believed that an interrupt left."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from torch import nn

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.running import Running


class Calls(nn.Module):
    """A module whose forward does what it is given."""

    def forward(self, act):
        return act()


@pytest.fixture
def parts():
    model, decoder = Calls(), Calls()
    return model, decoder, Running(model, decoder)


def elsewhere(act):
    """What `act` returns or raises in another thread, which has ended then."""
    found = []

    def run():
        try:
            found.append(act())
        except InstrumentError as error:
            found.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


class Meanwhile:
    """Another thread that is inside a forward as long as the context is open."""

    def __init__(self, module, enter):
        self.inside, self.go = Event(), Event()

        def act():
            enter()
            self.inside.set()
            self.go.wait()

        self.thread = Thread(target=lambda: module(act))

    def __enter__(self):
        self.thread.start()
        self.inside.wait()

    def __exit__(self, *_):
        self.go.set()
        self.thread.join()


def test_a_call_of_the_model_is_running_from_enter_to_leave(parts):
    model, _, running = parts
    assert not running.whole
    model(running.enter)
    assert running.whole
    running.check()
    assert running.leave()
    assert not running.whole
    assert not running.leave()  # nothing runs any more


def test_a_decoder_called_by_the_model_is_a_part_of_it(parts):
    model, decoder, running = parts

    def act():
        running.enter()
        return decoder(running.enter_decoder)

    assert model(act) is True
    assert running.whole
    assert running.leave()


def test_a_decoder_called_alone_is_no_part(parts):
    _, decoder, running = parts
    assert decoder(running.enter_decoder) is False
    assert not running.whole
    running.check()
    assert running.leave()


def test_a_decoder_after_an_interrupted_model_is_no_part(parts):
    """The interrupt left the model's call noted, but nothing of it is on the stack."""
    model, decoder, running = parts
    model(running.enter)
    assert decoder(running.enter_decoder) is False
    assert not running.whole


def test_a_call_inside_a_call_is_refused_and_its_end_is_not_the_end(parts):
    model, _, running = parts

    def outer():
        running.enter()
        for _ in range(2):
            with pytest.raises(InstrumentError, match="own forward") as caught:
                model(running.enter)
            assert caught.value.hint
        ended = [running.leave(), running.leave()]
        assert running.whole
        return ended, running.leave(), running.leave()

    assert model(outer) == ([False, False], True, False)


def test_a_new_call_after_an_interrupted_one_forgets_what_was_refused(parts):
    model, _, running = parts

    def outer():
        running.enter()
        with pytest.raises(InstrumentError):
            model(running.enter)

    model(outer)  # neither leave came
    model(running.enter)
    assert running.leave()


@pytest.mark.parametrize("which", ["model", "decoder"])
def test_another_threads_forward_is_in_the_way(parts, which):
    model, decoder, running = parts
    module, enter = {
        "model": (model, running.enter), "decoder": (decoder, running.enter_decoder),
    }[which]  # fmt: skip
    with Meanwhile(module, enter):
        for act in (running.enter, running.enter_decoder, running.check):
            with pytest.raises(InstrumentError, match="two threads") as caught:
                act()
            assert caught.value.hint
        assert not running.whole
        assert not running.leave()  # it is not this thread's to end
    running.enter()
    assert running.leave()


def test_a_thread_that_left_without_a_word_is_in_nobodys_way(parts):
    model, _, running = parts
    elsewhere(lambda: model(running.enter))
    running.check()
    assert not running.whole
    running.enter()
    assert running.whole


def test_a_living_thread_that_is_in_no_forward_is_in_nobodys_way(parts):
    """It is in a forward of some other module."""
    *_, running = parts
    with Meanwhile(Calls(), running.enter):
        running.check()
        assert running.enter_decoder() is False


def test_the_first_call_may_come_from_any_thread(parts):
    model, _, running = parts
    assert elsewhere(lambda: model(lambda: (running.enter(), running.leave())[1])) is True


COMPILED = """
def called(act):
    return act()
"""


def compiled(act):
    """As below a frame of dynamo's: what it inlined has no frame of its own."""
    space = {}
    exec(compile(COMPILED, "/lib/torch/_dynamo/eval_frame.py", "exec"), space)
    return space["called"](act)


def test_what_runs_compiled_in_another_thread_may_be_anything_and_is_in_the_way(parts):
    *_, running = parts
    with (
        Meanwhile(compiled, running.enter),
        pytest.raises(InstrumentError, match="two threads"),
    ):
        running.check()


def test_a_hook_below_dynamo_is_called_from_above_it(parts):
    model, decoder, running = parts

    def act():
        running.enter()
        return decoder(lambda: compiled(running.enter_decoder))

    assert model(act) is True
    assert running.leave()
    # A call below dynamo's frame is not what called the hook.
    model(running.enter)
    assert compiled(lambda: model(running.enter_decoder)) is False
