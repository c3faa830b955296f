"""`paifang tail`: live requests of the gateway that runs, a line each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.commands.shared import CONFIG, ConfigOption, JsonOption
from proxy.commands.tables import cell

RETRY_S = 1.0
SILENCE_S = 60
"""The gateway says every 15 s that it is alive."""
COLUMNS = {"at": 24, "status": 6, "key": 16, "model": 20, "route": 20, "tokens": 13, "debit_usd": 13, "ms": 9, "code": 0}
"""{column: its width on a terminal}."""


def add_to(app: typer.Typer) -> None:
    app.command("tail", epilog="Example: paifang tail --key ci --errors")(_tail)


def _tail(
    config: ConfigOption = CONFIG,
    key: Annotated[str | None, typer.Option(help="Only requests with this key, by its name.")] = None,
    model: Annotated[str | None, typer.Option(help="Only requests for this model.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only requests that were refused or failed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Follow the requests of the running gateway, each as it ends. Waits for a gateway, and connects again, by itself.

    With --json an object a line. Never shows prompts, answers or keys.
    """
    given = {"key": key, "model": model, "errors": "true" if errors else None}
    query = {name: value for name, value in given.items() if value is not None}

    async def print_all() -> None:
        async for name, told in followed(config, os.environ, query, _remark):
            _print(name, told, as_json)

    if not as_json:
        _print_line(list(COLUMNS))
    asyncio.run(print_all())


async def followed(
    file: Path, environ: Mapping[str, str], query: Mapping[str, str], say: Callable[[str], None]
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """("request", what is told of it) or ("lost", {"lost": how many}), for ever.

    query: as `GET /admin/v1/events` takes it. say: told when the connection comes and goes. Raises: ConfigError, ControlError.
    """
    import aiohttp
    from aiohttp_sse_client.client import EventSource  # type: ignore[import-untyped]

    from proxy.control import ControlError, answers, socket_on

    following = False

    def opened() -> None:
        nonlocal following
        following = True
        say("following")

    def lost() -> None:
        nonlocal following
        if following:
            say("the gateway went away: connecting again")
        following = False

    path = await socket_on(file, environ)
    if not await answers(path):
        say(f"no gateway runs on {file}: waiting for one")
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    while True:
        connector = aiohttp.UnixConnector(str(path))
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            source = EventSource(
                "http://paifang/admin/v1/events",
                session=session,
                params=query,
                reconnection_time=timedelta(seconds=RETRY_S / 2),
                on_open=opened,
                on_error=lost,
            )
            try:
                await source.connect()
                async for event in source:
                    yield event.type, json.loads(event.data)
            except (aiohttp.ClientError, TimeoutError):
                lost()  # it is starting, or restarting
            except ConnectionError as error:
                raise ControlError(f"the gateway at {path} does not tell of its requests: {error}") from error
            finally:
                await source.close()
        await asyncio.sleep(RETRY_S)


def _print(name: str, told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"event": name, **told}, ensure_ascii=False))
    elif name == "lost":
        _remark(f"{told['lost']} requests are not shown: this tail was too slow for them")
    else:
        tokens = None if told["input_tokens"] is None else f"{told['input_tokens']}+{told['output_tokens']}"
        row = {**told, "tokens": tokens, "ms": told["latency_ms"]}
        _print_line([cell(row[column]) for column in COLUMNS], alarming=told["status"] >= 400)


def _print_line(cells: list[str], *, alarming: bool = False) -> None:
    if not sys.stdout.isatty():
        return typer.echo("\t".join(cells))
    line = " ".join(text.ljust(width) for text, width in zip(cells, COLUMNS.values(), strict=True))
    typer.secho(line.rstrip(), fg="red" if alarming else None)


def _remark(text: str) -> None:
    typer.echo(text, err=True)
