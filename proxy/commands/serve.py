"""`paifang serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from proxy.commands.shared import CONFIG, ConfigOption


def add_to(app: typer.Typer) -> None:
    app.command("serve", epilog="Example: paifang serve --port 9090")(_serve)


def _serve(
    config: ConfigOption = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of server.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, instead of server.port; 0: any free one.")
    ] = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Take over from the gateway that runs on this store, without losing a request.")
    ] = False,
) -> None:
    """Start the gateway, until Ctrl+C or SIGTERM. A changed gateway.yaml is picked up while it runs."""
    from proxy.eventloop import run
    from proxy.logs import log_to
    from proxy.serve import serve

    log_to()
    run(serve(config, os.environ, host, port, _say, takeover=takeover))


def _say(line: str) -> None:
    # Whoever reads it through a pipe waits for these lines.
    print(line, flush=True)  # noqa: T201
