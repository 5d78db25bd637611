"""Which tokens each drop kept, over the picture: a slide per drop."""

from __future__ import annotations

from v2drop_cli.records import Report
from v2drop_cli.report.html.markup import Markup


def kept_panel(report: Report) -> Markup | None:
    """``None`` where there is no picture to show."""
    return None
