"""``--model v2drop`` of lmms-eval: its benchmarks, asked of a model that drops vision tokens.

Only lmms-eval imports this, for it is a model class of its own kind. Answers come as they are
made, so that its cache (``--use_cache``) keeps them when a run is killed.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from loguru import logger
from PIL.Image import Image

from v2drop_cli.errors import UsageError, V2DropError
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.models.loading import load
from v2drop_cli.plugins.model_args import ModelArgs
from v2drop_cli.plugins.one_arm import OneArm, Question

LONGEST = 1024
"""Tokens of an answer where a task does not say, as in lmms-eval's own LLaVA."""
PLACEHOLDERS = ("<image>", "<video>")
NOBODY_CHOSE = "\n\n"
"""lmms-eval's own stop where a task names none: it stands between examples of few shots."""


class V2Drop(lmms):  # type: ignore[misc]  # lmms-eval has no types
    """A model with one way of dropping; see ``docs/lmms-eval.md`` for its arguments.

    Raises:
        V2DropError: an argument means nothing, or the model cannot be loaded or served.
    """

    is_simple = True

    def __init__(self, **given: Any) -> None:
        super().__init__()
        with _telling():
            asked = ModelArgs.read(given)
            self.accelerator = _accelerator()
            self._rank = self.accelerator.process_index
            self._world_size = self.accelerator.num_processes
            self._frames, self.batch_size = asked.frames, asked.batch_size
            options = asked.load
            if self._world_size > 1 and options.device == "auto":
                options = replace(options, device=str(self.accelerator.device))
            if asked.arms is not None:
                asked.arms.check_media(frozenset())
                options = replace(options, accepts=asked.arms.check_model)
            loaded = load(asked.pretrained, options)
        for caveat in loaded.caveats:
            logger.warning(caveat.message)
        self.pretrained, self.device = asked.pretrained, loaded.device
        self.one_arm = OneArm(loaded, asked.arms)

    def generate_until(self, requests: Sequence[Any]) -> Iterator[str]:
        """The answer to each request, in order, a batch at a time."""
        rest = iter(requests)
        while batch := list(islice(rest, self.batch_size)):
            with _telling():
                asked = [self._generation(request) for request in batch]
                said = self.one_arm.answers([question for question, _ in asked])
            for text, (_, stops) in zip(said, asked, strict=True):
                yield _until(text, stops)
        logger.info(f"v2drop: {self.one_arm.told}")

    def loglikelihood(self, requests: Sequence[Any]) -> Iterator[Judged]:
        """The loss of each answer, not its likelihood: lmms-eval takes the lowest."""
        for request in requests:
            context, target, visual, *where = request.args
            with _telling():
                document = self._document(*where)
                answer = target if isinstance(target, str) else target(document)
                shown = visual(document) if visual is not None else None
                asked = Question(self._media(shown, where), _words(context))
                yield Judged(*self.one_arm.loss(asked, str(answer)))

    def generate_until_multi_round(self, requests: Sequence[Any]) -> Iterator[list[str]]:
        """All answers to each request, whose task asks on from what was answered before."""
        for request in requests:
            with _telling():
                yield self._rounds(request)

    def _rounds(self, request: Any) -> list[str]:
        context, settings, visual, go_on, *where = request.args
        longest, stops = _settings(settings, where[1])
        document, said, known, number = self._document(*where), list[str](), None, 0
        shown = visual(document) if visual is not None else None
        while True:
            asked = Question(self._media(shown, where), _words(context), longest)
            [answer] = self.one_arm.answers([asked])
            said, number = [*said, _until(answer, stops)], number + 1
            shown, context, over, said, known = go_on(
                document, previous_output=said, round_idx=number, previous_round_info=known
            )
            if over:
                return list(said)

    def clean(self) -> None:
        """Give the memory back: lmms-eval may start a model that judges now."""
        del self.one_arm
        super().clean()

    def _generation(self, request: Any) -> tuple[Question, tuple[str, ...]]:
        """What is asked, and at which texts its answer ends."""
        context, settings, visual, *where = request.args
        longest, stops = _settings(settings, where[1])
        shown = visual(self._document(*where)) if visual is not None else None
        return Question(self._media(shown, where), _words(context), longest), stops

    def _document(self, number: Any, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]

    def _media(self, shown: Any, where: Sequence[Any]) -> tuple[Media, ...]:
        """What a task shows of a document, in order."""
        number, task, _ = where
        return tuple(
            _medium(one, f"{task}-{number}-{place}.png", self._frames)
            for place, one in enumerate(_flat(shown or ()))
        )


class Judged(str):
    """The loss of an answer, and whether it is the greedy one: ``loss, greedy = judged``.

    As the text of both, for lmms-eval (0.7.3) makes text of whatever a model returns that is
    none, and then takes it apart as if it had not.
    """

    pair: tuple[float, bool]

    def __new__(cls, loss: float, greedy: bool) -> Judged:
        """From both."""
        made = super().__new__(cls, (loss, greedy))
        made.pair = loss, greedy
        return made

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pair)


def _flat(shown: Any) -> Iterator[Any]:
    for one in shown:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        elif one is not None:
            yield one


def _medium(shown: Any, name: str, frames: int) -> Media:
    """One thing that a task shows: a picture, or the file of one or of a video.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(shown, Image):
        picture = shown.convert("RGB")
        return Media(Path(name), "image", (picture,), None, picture.width, picture.height)
    if isinstance(shown, str | Path):
        kind, _ = mimetypes.guess_type(str(shown))
        if (kind or "").startswith("image/"):
            return load_image(shown)
        return load_video(shown, frames)
    raise UsageError(
        f"the task shows a {type(shown).__name__}, which is no picture and no video",
        hint="vision tokens are dropped here, so only tasks with pictures or videos can be run",
    )


def _words(context: str) -> str:
    """The question without places for pictures, which are shown before it."""
    for placeholder in PLACEHOLDERS:
        context = context.replace(placeholder, "")
    return context.strip()


def _settings(settings: Mapping[str, Any], task: str) -> tuple[int, tuple[str, ...]]:
    """The longest answer, and what ends one.

    Raises:
        UsageError: the task draws its answers, or searches for them.
    """
    drawn = (settings.get("temperature") or 0) > 0 and settings.get("do_sample") is not False
    if drawn or (settings.get("num_beams") or 1) > 1:
        raise UsageError(
            f"{task} asks for sampled answers or beams, and answers here are greedy",
            hint="--gen_kwargs do_sample=false,temperature=0,num_beams=1",
        )
    until = settings.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    longest = settings.get("max_new_tokens") or settings.get("max_gen_toks") or LONGEST
    return int(longest), tuple(stop for stop in stops if stop and stop != NOBODY_CHOSE)


def _until(text: str, stops: Sequence[str]) -> str:
    """``text`` as far as the first of ``stops``."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=None)]


def _accelerator() -> Any:
    from accelerate import Accelerator

    return Accelerator()


@contextmanager
def _telling() -> Iterator[None]:
    """What is wrong for the user in one line, with its hint: lmms-eval prints neither of them."""
    try:
        yield
    except V2DropError as error:
        logger.error(f"v2drop: {error.message}; {error.hint}")
        raise
