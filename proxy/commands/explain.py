"""`paifang explain`: the steps and routes of a request, without calling anyone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.commands.shared import (
    CONFIG,
    ROOM_COLUMNS,
    BadNews,
    ConfigOption,
    JsonOption,
    ask,
    print_json,
    print_whether_running,
)
from proxy.commands.tables import cell, print_rows
from proxy.errors import NotFound

STANDARD_INPUT = Path("-")


def add_to(app: typer.Typer) -> None:
    app.command("explain", epilog="Example: paifang explain doubao-seed --key ci --body request.json")(_explain)


def _explain(
    model: Annotated[str, typer.Argument(help="A model or an alias, as a client would ask for it.")],
    config: ConfigOption = CONFIG,
    key: Annotated[str | None, typer.Option(help="A key's name; left out: a key without limits.")] = None,
    body: Annotated[
        Path | None,
        typer.Option(help="A file with the request's JSON, - for standard input; shows what would be sent.", metavar="FILE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would happen to a request now: each step of the chain, and the routes in the order to try them.

    Exit status 1 if the request would be refused.
    """
    question: dict[str, Any] = {"model": model, "key": key}
    if body is not None:
        question["body"] = _read(body)
    answer = ask(config, "POST", "explain", question)
    if answer["refusal"] and answer["refusal"]["code"] == "model_not_found":
        raise _no_such(model, ask(config, "GET", "models")["models"])
    if as_json:
        print_json(answer)
    else:
        _print(answer, with_request=body is not None)
        print_whether_running(answer)
    if refusal := answer["refusal"]:
        raise BadNews(f"refused with {refusal['status']} {refusal['code']} at {refusal['stage']}: {refusal['message']}")


def _no_such(model: str, models: list[dict[str, Any]]) -> NotFound:
    from proxy.knownnames import no_such

    return NotFound(no_such("model", model, [name for entry in models for name in (entry["name"], *entry["aliases"])]))


def _read(file: Path) -> Any:
    named = "standard input" if file == STANDARD_INPUT else file
    try:
        content = json.loads(sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{named} can't be read: {error.strerror}", param_hint="--body") from None
    except ValueError as error:
        raise typer.BadParameter(f"{named} is not JSON: {error}", param_hint="--body") from None
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{named} must hold a JSON object", param_hint="--body")
    return content


def _print(answer: dict[str, Any], *, with_request: bool) -> None:
    for step in answer["steps"]:
        plugins = f" [{cell(step['plugins'])}]" if step["plugins"] else ""
        typer.echo(f"{step['stage']}{plugins}: {step['result']}")
    if answer["left"]:
        typer.echo("")
        print_rows(ROOM_COLUMNS, answer["left"])
    if answer["clamped_max_tokens"] is not None:
        typer.echo(f"max_tokens is lowered to {answer['clamped_max_tokens']}, which is affordable")
    if answer["routes"]:
        typer.echo("")
        numbered = [
            {"try": number if number <= answer["attempts"] else None, **route}
            for number, route in enumerate(answer["routes"], 1)
        ]
        print_rows(("try", "route", "model", "adapter", "provider", "upstream_model", "price"), numbered)
    for rest in answer["resting"]:
        typer.echo(f"rests: {rest['model']}/{rest['route']}: {rest['reason']}")
    if with_request and answer["dropped"]:
        typer.echo(f"\nleft out, as the first route can't do it: {cell(answer['dropped'])}")
    request = answer["request"]
    if with_request and request is not None:
        typer.echo(f"\n{request['method']} {request['url']}")
        for name, value in request["headers"].items():
            typer.echo(f"{name}: {value}")
        typer.echo("")
        print_json(request["body"])
    elif with_request and answer["routes"]:
        typer.echo("\nnothing is sent: the first route answers by itself")
