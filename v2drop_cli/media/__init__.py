"""Image and video files → upright RGB frames, with the presentation times of a video's frames.

:func:`check_media_path` is cheap and comes before any model is loaded; :func:`load_image` and
:func:`load_video` decode. Whatever a file does to its decoder, callers see one
:class:`~v2drop_cli.errors.MediaError`, or a :class:`~v2drop_cli.records.Caveat` where the file
can be used all the same.
"""

from v2drop_cli.media.addresses import check_media_path
from v2drop_cli.media.files import Media, decode_again, load_image, load_video
from v2drop_cli.media.limits import MAX_PIXELS
from v2drop_cli.media.moments import sample_indices

__all__ = [
    "MAX_PIXELS",
    "Media",
    "check_media_path",
    "decode_again",
    "load_image",
    "load_video",
    "sample_indices",
]
