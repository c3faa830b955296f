"""What `paifang serve` says on standard output when it has started: plain lines, the demo key among them, once."""

from __future__ import annotations

import ipaddress
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from proxy.aging import aging
from proxy.configfile import DEFAULT_FILE
from proxy.context import Principal
from proxy.snapshot import Snapshot


def banner(snapshot: Snapshot, version: str, address: str, file: Path, today: date) -> Iterator[str]:
    """Where it listens, what it serves, what the operator should know."""
    yield f"Paifang {version} listens on {address} with {file}"
    for name, entry in snapshot.models.items():
        also = f" (also {', '.join(entry.aliases)})" if entry.aliases else ""
        routes = ", ".join(f"{target.route} ({target.provider})" for target in entry.pool)
        yield f"model {name}{also}: {routes or 'no route'}"
    for notice in (*snapshot.notices, *aging(snapshot.config, today)):
        yield f"note: {notice}"


def example(snapshot: Snapshot, address: str, principal: Principal, key: str) -> str | None:
    """A line to paste that uses this key; None if it may use no model that is served."""
    for name, entry in snapshot.models.items():
        if entry.pool and principal.may_use(name, entry.family):
            return curl_line(address, key, name)
    return None


def create_line(file: Path) -> str:
    """The command that makes a key."""
    chosen = "" if file == DEFAULT_FILE else f" -c {shlex.quote(str(file))}"
    return f"{command_name()} keys create NAME{chosen}"


def curl_line(address: str, key: str, model: str) -> str:
    """A chat request that works as pasted into a shell."""
    question = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    body = json.dumps(question, ensure_ascii=False, separators=(",", ":"))
    return (
        f'curl {address}/v1/chat/completions -H "Authorization: Bearer {key}" '
        f'-H "Content-Type: application/json" -d {shlex.quote(body)}'
    )


def command_name() -> str:
    """How this program is called from where the user stands."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return "python -m proxy"
    found = shutil.which("paifang")
    if started.name != "paifang" or (found is not None and Path(found).resolve() == started.resolve()):
        return "paifang"
    folder = Path.cwd()
    return str(started.relative_to(folder) if started.is_relative_to(folder) else started)


def reachable(host: str, port: int) -> str:
    """The address to call a listener at from this machine."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
