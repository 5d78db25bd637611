"""What to look at: files, or made-up media for models with dummy weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import MEDIA, Looks, option
from v2drop_cli.cli.talk import say
from v2drop_cli.errors import MediaArgumentError

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.synthetic.options import SyntheticInput

DEFAULT_FRAMES = 8


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """Media and prompt. Files are kept as they were typed: they may be ``file://`` addresses."""

    image: tuple[str, ...] = option(
        (), Looks("--image", "Image file; repeat for several.", MEDIA, "FILE", rivals=MEDIA)
    )
    video: str | None = option(None, Looks("--video", "Video file.", MEDIA, "FILE", rivals=MEDIA))
    frames: int | None = option(
        None,
        Looks(
            "--frames",
            "Frames sampled evenly, or all there are [default: 8]; or of a made-up video.",
            MEDIA,
            "N",
            within=(1, None),
        ),
    )
    image_size: tuple[str, ...] = option(
        (),
        Looks(
            "--image-size",
            "Dummy weights, no media: random pixels of this size; repeatable.",
            MEDIA,
            "WxH",
            rivals=MEDIA,
        ),
    )
    text_tokens: int | None = option(
        None,
        Looks(
            "--text-tokens",
            "Likewise: random text tokens around them [default: 64].",
            MEDIA,
            "N",
            within=(1, None),
        ),
    )
    prompt: str | None = option(
        None,
        Looks(
            "--prompt",
            "Question, even an empty one [default: one that fits the model].",
            MEDIA,
            "TEXT",
        ),
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are named.

        Raises:
            MediaArgumentError: one of them is not there.
        """
        from v2drop_cli.media import check_media_path

        videos = () if self.video is None else (self.video,)
        return tuple(check_media_path(name) for name in (*self.image, *videos))

    def checked(self, load: LoadOptions) -> LoadOptions:
        """``load`` with synthetic input, where dummy weights are given no media.

        Raises:
            MediaArgumentError: nothing to look at, or options that exclude each other.
        """
        if self.image and self.video is not None:
            raise MediaArgumentError("--image and --video together", hint="give one or the other")
        if self.files:
            self._refuse(("--image-size", self.image_size), ("--text-tokens", self.text_tokens))
            if self.image and self.frames is not None:
                say("note: --frames is for --video, and does nothing here")
            return load
        if load.weights != "dummy":
            raise MediaArgumentError(
                "nothing to look at",
                hint="give --image FILE or --video FILE (see sample_media/), or --weights dummy",
            )
        self._refuse(("--prompt", self.prompt))
        return replace(load, synthetic=self._synthetic(load.seed))

    def _synthetic(self, seed: int) -> SyntheticInput:
        from v2drop_cli.models.synthetic.options import TEXT_TOKENS, SyntheticInput, parse_sizes

        sizes, tokens = parse_sizes(self.image_size), self.text_tokens
        return SyntheticInput(sizes, self.frames, TEXT_TOKENS if tokens is None else tokens, seed)

    def _refuse(self, *given: tuple[str, object]) -> None:
        for name, value in given:
            if value is not None and value != ():
                real = bool(self.image) or self.video is not None
                raise MediaArgumentError(
                    f"{name} with {'--image or --video' if real else 'synthetic input'}",
                    hint="it is for synthetic input: leave out the files, with --weights dummy"
                    if real
                    else "synthetic input is random tokens: --text-tokens N, or give --image FILE",
                )

    def open(self) -> list[Media]:
        """Decode the files; none for synthetic input."""
        from v2drop_cli.media import load_image, load_video

        if self.video is not None:
            return [load_video(self.video, self.frames or DEFAULT_FRAMES)]
        return [load_image(name) for name in self.image]

    def kinds(self, load: LoadOptions) -> frozenset[str]:
        """What is shown: ``image`` or ``video``."""
        made_up = load.synthetic is not None and load.synthetic.frames is not None
        return frozenset({"video" if made_up or self.video is not None else "image"})

    def fitted(
        self, loaded: LoadedModel, media: list[Media], prompt: str, new_tokens: int
    ) -> list[Media]:
        """``media``, with fewer frames if nobody asked for so many and they do not fit."""
        if self.video is None or self.frames is not None:
            return media
        from v2drop_cli.models.frame_count import fitting

        return [fitting(loaded, video, prompt, new_tokens) for video in media]

    def question(self, model: str, load: LoadOptions) -> str:
        """The prompt, or what stands for it.

        Raises:
            MediaArgumentError: what was typed is no text.
        """
        from v2drop_cli.models.names import default_prompt

        if load.synthetic is not None:
            return load.synthetic.prompt
        if self.prompt is not None:
            try:
                self.prompt.encode()
            except UnicodeEncodeError:  # bytes that the shell passed on, and that are no letters
                raise MediaArgumentError(
                    "the prompt is not valid UTF-8", hint="type it anew, or convert its encoding"
                ) from None
            return self.prompt
        return default_prompt(model, "image" if self.video is None else "video")
