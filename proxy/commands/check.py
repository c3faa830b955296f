"""`paifang check` and `schema`: what gateway.yaml says, and what it may say."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.shared import CONFIG, BadNews, ConfigOption, JsonOption, print_json, problem_body


def add_to(app: typer.Typer) -> None:
    app.command("check", epilog="Example: paifang check --live")(_check)
    app.command("schema", epilog="Example: paifang schema > gateway.schema.json")(_schema)


def _check(
    config: ConfigOption = CONFIG,
    live: Annotated[
        bool, typer.Option("--live", help="Also call each provider once with the cheapest request; costs a few tokens.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read gateway.yaml and say everything that is wrong in it, and what has aged: models that end, prices of long ago.

    Exit status 2 if anything is; with --live 1 if a provider refuses.
    """
    from proxy.aging import aging, today_of
    from proxy.boot import compile_loaded, load
    from proxy.clock import SystemClock
    from proxy.commands import NAMES
    from proxy.control import status_of_running
    from proxy.plugincommands import add_commands
    from proxy.pluginpaths import handlers_of
    from proxy.plural import counted
    from proxy.probe import probe_all
    from proxy.surprises import surprises
    from proxy.yamltext import read

    loaded = load(config, os.environ)
    snapshot = compile_loaded(loaded)
    handlers_of(loaded)
    add_commands(loaded, NAMES, {})
    document = read(loaded.source.text, str(config))
    notes = [
        *snapshot.notices,
        *surprises(snapshot, document, str(config)),
        *aging(loaded.config, today_of(SystemClock())),
    ]
    running = asyncio.run(status_of_running(config, os.environ))
    if running is not None and running["config_problem"] is not None:
        notes.append(running["config_problem"])
    probes = asyncio.run(probe_all(snapshot)) if live else []
    refused = {probe.provider: probe.problem(document) for probe in probes if probe.result == "refused"}
    serving = sum(snapshot.routes.values())
    if as_json:
        counts = {
            "providers": len(snapshot.providers),
            "models": len(snapshot.models),
            "routes": len(snapshot.routes),
            "routes_serving": serving,
            "keys": len(loaded.config.keys),
            "plugins": len(loaded.registry.names),
        }
        problems = [problem_body(problem, str(config)) for problem in refused.values()]
        told = [{name: value for name, value in asdict(probe).items() if name != "at"} for probe in probes]
        print_json({"ok": not refused, "problems": problems, "counts": counts, "notes": notes, "providers": told})
    else:
        typer.echo(
            f"{config} is valid: {counted(len(snapshot.models), 'model')}, {serving} of {len(snapshot.routes)} routes serve, "
            f"plugins {', '.join(loaded.registry.names) or 'none'}"
        )
        for note in notes:
            typer.echo(f"note: {note}")
        for probe in probes:
            typer.echo(f"provider {probe.provider}: {probe.result}: {probe.message}")
            if probe.upstream:
                typer.echo(f"    it said {' '.join(f'{name} {value}' for name, value in probe.upstream.items())}")
            if probe.provider in refused:
                typer.echo(f"    it is about {refused[probe.provider].place(str(config))}")
    if refused:
        raise BadNews(f"not every provider answers: {', '.join(refused)}")


def _schema(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Its plugin files are described, too.", metavar="FILE")
    ] = None,
) -> None:
    """Print the JSON Schema of gateway.yaml for editors, with the installed plugins and adapters."""
    from proxy.boot import load
    from proxy.registry import Registry
    from proxy.schema import schema_text

    registry = Registry(None, Path()) if config is None else load(config, os.environ).registry
    typer.echo(schema_text(registry), nl=False)
