"""What to look at: files, or made-up media for models with dummy weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2drop_cli.cli.common import DEFAULT_FRAMES, media_kind, open_media
from v2drop_cli.cli.options import MEDIA
from v2drop_cli.errors import MediaArgumentError

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.synthetic.options import SyntheticInput

ImageSize = Annotated[
    list[str] | None,
    typer.Option(
        "--image-size",
        metavar="WxH",
        help="Dummy weights, no media: random pixels of this size; repeatable.",
        rich_help_panel=MEDIA,
    ),
]
TextTokens = Annotated[
    int | None,
    typer.Option(
        "--text-tokens",
        metavar="N",
        min=1,
        help="Likewise: random text tokens around them [default: 64].",
        rich_help_panel=MEDIA,
    ),
]


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """Media and prompt as they were typed; ``None`` for what was not."""

    image: list[Path] | None
    video: Path | None
    frames: int | None
    prompt: str | None
    image_size: list[str] | None
    text_tokens: int | None

    def checked(self, load: LoadOptions) -> LoadOptions:
        """``load`` with synthetic input, where dummy weights are given no media.

        Raises:
            MediaArgumentError: nothing to look at, or options that exclude each other.
        """
        if self.image or self.video:
            media_kind(self.image, self.video)
            self._refuse(("--image-size", self.image_size), ("--text-tokens", self.text_tokens))
            if self.image and self.frames is not None:
                typer.echo("note: --frames is for --video, and does nothing here", err=True)
            return load
        if load.weights != "dummy":
            media_kind(self.image, self.video)
        self._refuse(("--prompt", self.prompt))
        return replace(load, synthetic=self._synthetic(load.seed))

    def _synthetic(self, seed: int) -> SyntheticInput:
        from v2drop_cli.models.synthetic.options import TEXT_TOKENS, SyntheticInput, parse_sizes

        sizes, tokens = parse_sizes(self.image_size or ()), self.text_tokens
        return SyntheticInput(sizes, self.frames, TEXT_TOKENS if tokens is None else tokens, seed)

    def _refuse(self, *given: tuple[str, object]) -> None:
        for name, value in given:
            if value is not None and value != []:
                real = bool(self.image or self.video)
                raise MediaArgumentError(
                    f"{name} with {'--image or --video' if real else 'synthetic input'}",
                    hint="it is for synthetic input: leave out the files, with --weights dummy"
                    if real
                    else "synthetic input is random tokens: --text-tokens N, or give --image FILE",
                )

    def open(self) -> list[Media]:
        """Decode the files; none for synthetic input."""
        return open_media(self.image, self.video, self.frames or DEFAULT_FRAMES)

    def fitted(
        self, loaded: LoadedModel, media: list[Media], prompt: str, new_tokens: int
    ) -> list[Media]:
        """``media``, with fewer frames if nobody asked for so many and they do not fit."""
        if self.video is None or self.frames is not None:
            return media
        from v2drop_cli.models.frame_count import fitting

        return [fitting(loaded, video, prompt, new_tokens) for video in media]

    def question(self, model: str, load: LoadOptions) -> str:
        """The prompt, or what stands for it."""
        from v2drop_cli.models.names import default_prompt

        if load.synthetic is not None:
            return load.synthetic.prompt
        if self.prompt is not None:
            return self.prompt
        return default_prompt(model, "video" if self.video else "image")
