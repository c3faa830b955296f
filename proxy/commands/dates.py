"""The options of commands that look back: which days, and whose."""

from __future__ import annotations

from typing import Annotated

import typer

Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this date or time on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to this date or time, itself not included.")]
Day = Annotated[str | None, typer.Option("--day", metavar="DATE", help="Of this day, such as 2026-11-20.")]
Month = Annotated[str | None, typer.Option("--month", metavar="MONTH", help="Of this month, such as 2026-11.")]
Timezone = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Whose days and months these are.")]


def span(since: str | None, until: str | None, day: str | None, month: str | None, timezone: str) -> dict[str, str]:
    """The admin API's query of what was given."""
    given = {"since": since, "until": until, "day": day, "month": month, "timezone": timezone}
    return {name: value for name, value in given.items() if value is not None}
