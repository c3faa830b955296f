"""`paifang chat`: ask a model from the terminal, as a client would."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from proxy.commands.shared import CONFIG, BadNews, ConfigOption

if TYPE_CHECKING:
    import aiohttp

    from proxy.control import Caller

KEY_VARIABLE = "PAIFANG_KEY"
GUEST_DAILY_USD = "1"
PROMPT = "> "


def add_to(app: typer.Typer) -> None:
    app.command("chat", epilog='Example: paifang chat doubao-seed "Hello"')(_chat)


def _chat(
    model: Annotated[str, typer.Argument(help="A model or an alias.")],
    text: Annotated[str | None, typer.Argument(help="What to ask; left out: a conversation, until Ctrl+D.")] = None,
    config: ConfigOption = CONFIG,
    url: Annotated[
        str | None, typer.Option(help="A gateway elsewhere, such as http://gateway:8080, with or without /v1.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar=KEY_VARIABLE, help="The key to ask with; left out: one that ends with the conversation."),
    ] = None,
) -> None:
    """Ask a model through the gateway and print the answer as it comes; then its route, tokens and cost on standard error.

    Works through the gateway that runs, or without one. Exit status 1 if the question is refused or fails.
    """
    if url is not None and key is None:
        raise typer.BadParameter(f"it needs --key, or {KEY_VARIABLE} in the environment", param_hint="--url")
    address = None if url is None else _address(url)
    told = sys.stderr
    # What is typed is read by the main thread, so that Ctrl+C ends it there, too.
    with asyncio.Runner() as runner:
        open_things = AsyncExitStack()
        try:
            session = runner.run(_session(open_things, config, address, key))
            if text is not None:
                runner.run(_ask(session, model, [{"role": "user", "content": text}], told))
                return
            messages: list[dict[str, str]] = []
            while (line := _read_line()) is not None:
                if line.strip():
                    messages.append({"role": "user", "content": line})
                    messages.append({"role": "assistant", "content": runner.run(_ask(session, model, messages, told))})
        finally:
            runner.run(open_things.aclose())


def _address(url: str) -> str:
    """The gateway's own address; clients are given the one with /v1."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise typer.BadParameter(f"{url!r} is no address: write http://HOST:PORT, with or without /v1", param_hint="--url")
    return url.rstrip("/").removesuffix("/v1")


async def _session(open_things: AsyncExitStack, config: Path, address: str | None, key: str | None) -> aiohttp.ClientSession:
    """What asks the gateway at this address or, without one, the gateway of this file. It ends with `open_things`."""
    import aiohttp

    if address is None:
        address, key = await open_things.enter_async_context(_gateway(config, key))
    headers, timeout = {"authorization": f"Bearer {key}"}, aiohttp.ClientTimeout(total=None)
    session = aiohttp.ClientSession(f"{address}/", headers=headers, timeout=timeout)
    return await open_things.enter_async_context(session)


def _read_line() -> str | None:
    try:
        return input(PROMPT if sys.stdin.isatty() else "")
    except EOFError:
        return None


@asynccontextmanager
async def _gateway(config: Path, key: str | None) -> AsyncIterator[tuple[str, str]]:
    """(URL, key) of the gateway that runs on this file, else of one that lives as long as this context.

    Where no key is given, one is made for the time being.
    """
    from proxy.control import answers, at, socket_on
    from proxy.gateway import Gateway
    from proxy.logs import log_to

    log_to(level=logging.CRITICAL)
    async with AsyncExitStack() as stack:
        path = await socket_on(config, os.environ)
        if not await answers(path):
            # Whoever asks a question doesn't want to read the access log of it.
            stack.enter_context(redirect_stderr(stack.enter_context(await asyncio.to_thread(Path(os.devnull).open, "w"))))
            gateway = await Gateway.open(config, os.environ)
            stack.push_async_callback(gateway.close)
            await gateway.listen("127.0.0.1", 0)
            await gateway.listen_control(path)
        caller = await stack.enter_async_context(at(path))
        address = (await caller.call("GET", "status"))["address"]
        if key is None:
            key = await stack.enter_async_context(_guest_key(caller))
        yield address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:"), key


@asynccontextmanager
async def _guest_key(caller: Caller) -> AsyncIterator[str]:
    """A key that is revoked in the end, and may spend little should that fail."""
    listed = {plugin["name"] for plugin in (await caller.call("GET", "plugins"))["plugins"] if plugin["listed"]}
    limited = {"budget": {"daily_usd": GUEST_DAILY_USD}} if "budget" in listed else {}
    made = await caller.call("POST", "keys", {"name": f"chat-{secrets.token_hex(4)}", **limited})
    try:
        yield made["key"]
    finally:
        await caller.call("DELETE", f"keys/{made['name']}")


async def _ask(session: aiohttp.ClientSession, model: str, messages: list[dict[str, str]], told: TextIO) -> str:
    """Print the answer as it comes, and to `told` what became of it. Returns its text. Raises: BadNews."""
    import aiohttp

    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    said, usage = "", None
    try:
        async with session.post("v1/chat/completions", json=body) as response:
            if response.status != 200:
                raise BadNews(_refusal(response.status, await response.read()))
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                chunk = json.loads(line.removeprefix(b"data: "))
                if "error" in chunk:
                    raise BadNews(f"\nthe answer broke off: {chunk['error']['message']}")
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    delta = choice["delta"].get("content") or ""
                    said += delta
                    typer.echo(delta, nl=False)
    except aiohttp.ClientSSLError as error:
        reason = getattr(error.os_error, "reason", None) or error.os_error
        raise BadNews(f"TLS with {error.host}:{error.port} failed ({reason}): is it an http:// address?") from error
    except aiohttp.ClientConnectorError as error:
        raise BadNews(f"there is no gateway at {error.host}:{error.port}") from error
    except aiohttp.ClientError as error:
        raise BadNews(f"\nthe gateway went away: {error}") from error
    typer.echo()
    typer.echo(_summary(response.headers.get("x-paifang-route", ""), usage), file=told)
    return said


def _refusal(status: int, body: bytes) -> str:
    try:
        told = json.loads(body)["error"]
        return f"{told['code']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return f"no gateway answers there: status {status}"


def _summary(route: str, usage: dict[str, Any] | None) -> str:
    if usage is None:
        return f"route {route}"
    cost = f", {usage['cost']:.9f}".rstrip("0").rstrip(".") + " USD" if "cost" in usage else ""
    return f"route {route}, {usage['prompt_tokens']} + {usage['completion_tokens']} tokens{cost}"
