"""`paifang init`: a first gateway.yaml, as it comes with Paifang."""

from __future__ import annotations

import shlex
from importlib.resources import files

import typer

from proxy.commands.shared import CONFIG, ConfigOption
from proxy.errors import ConfigError, Problem


def add_to(app: typer.Typer) -> None:
    app.command("init", epilog="Example: paifang init && paifang serve")(_init)


def _init(config: ConfigOption = CONFIG) -> None:
    """Write a first gateway.yaml, which works without any provider key. A file that is there stays as it is."""
    try:
        with config.open("xb") as file:
            file.write(_shipped())
    except FileExistsError:
        message = "the file is there already: edit it, or name another with --config"
        raise ConfigError(str(config), [Problem("", message)]) from None
    except OSError as error:
        raise ConfigError(str(config), [Problem("", f"the file can't be written: {error.strerror}")]) from None
    chosen = "" if config == CONFIG else f" -c {shlex.quote(str(config))}"
    typer.echo(f"wrote {config}, which works as it is: `paifang serve{chosen}`")


def _shipped() -> bytes:
    package = files("proxy")
    packed = package / "gateway.yaml"
    # An editable installation has no packed files: there the repository's own is beside the package.
    return (packed if packed.is_file() else package / ".." / "gateway.yaml").read_bytes()
