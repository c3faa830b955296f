"""`paifang doctor`: what is amiss, and what to do about it."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import asdict
from typing import Annotated

import typer

from proxy.commands.shared import CONFIG, BadNews, ConfigOption, JsonOption, print_json
from proxy.commands.tables import print_rows


def add_to(app: typer.Typer) -> None:
    app.command("doctor", epilog="Example: paifang doctor --offline")(_doctor)


def _doctor(
    config: ConfigOption = CONFIG,
    offline: Annotated[bool, typer.Option("--offline", help="Call no provider; else each is asked for one token.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at everything a gateway needs: configuration, store, disk, clock, file limits, ports, providers, prices.

    Works beside a gateway that runs and without one. Exit status 1 if there is a problem.
    """
    from proxy.doctor import examine
    from proxy.logs import log_to
    from proxy.plural import counted

    log_to(level=logging.CRITICAL)
    findings = [asdict(finding) for finding in asyncio.run(examine(config, os.environ, call_providers=not offline))]
    problems = sum(finding["state"] == "problem" for finding in findings)
    if as_json:
        print_json({"ok": not problems, "findings": findings})
    else:
        print_rows(("check", "state", "message", "remedy"), findings)
    if problems:
        raise BadNews(f"{counted(problems, 'problem')} found")
