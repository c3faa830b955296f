"""The control socket: how commands reach the gateway of their gateway.yaml, running or not.

A running gateway serves the admin API on a Unix socket beside its store. As that is opened once and the file may name another
one meanwhile, a link beside gateway.yaml leads there too. Where none answers, `connect` opens the gateway in this process, for
as long as the command takes, and serves the same API on a socket of its own: a command knows one way only.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from proxy.boot import store_url
from proxy.configfile import parse
from proxy.configsections import StoreConfig
from proxy.errors import ConfigError
from proxy.storage.sqlite import OwnerError

if TYPE_CHECKING:
    from proxy.gateway import Gateway

LONGEST_SOCKET_PATH_BYTES = 100
"""AF_UNIX ends at 104 bytes on macOS and at 108 on Linux."""
OWNER_WAIT_S = 5.0
"""For another command, which has the store to itself for a moment."""
_STORE_URL = re.compile(r"""^["'{ ]*store["']?:(?:.|\n[ ])*?\burl["']?:\s*["']?([^\s"',}]+)""", re.MULTILINE)
"""In a text that need not be YAML."""


class ControlError(Exception):
    """The gateway can't be reached. The message is one line: what, where, and the remedy."""


class AdminRefusal(Exception):
    """The admin API refused. The message is its own."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class Caller:
    """The admin API of a gateway."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, json: Any = None, **query: str) -> Any:
        """Ask for `/admin/v1/{path}`. Returns the JSON of the answer. Raises: AdminRefusal, ControlError."""
        try:
            async with self._session.request(method, f"/admin/v1/{path}", json=json, params=query) as response:
                answer = await response.json()
        except aiohttp.ClientError as error:
            raise ControlError(f"the gateway went away in the middle ({error}); try again") from error
        if response.status >= 400:
            told = answer["error"]
            raise AdminRefusal(response.status, told["code"], told["message"], told["param"])
        return answer


def control_socket(file: Path, store: str) -> Path:
    """Where a gateway on this file and with this `store.url` listens for commands.

    Beside the SQLite file or, with another store, beside gateway.yaml; where that path is too long for a socket, in a
    folder of this user's alone under the temporary one. Raises: ControlError: that folder is not this user's alone.
    """
    url = store_url(store, file)
    in_file = url.startswith("sqlite:///") and ":memory:" not in url
    return _socket_beside(Path(url.removeprefix("sqlite:///")) if in_file else file)


def _socket_beside(owner: Path) -> Path:
    path = Path(f"{owner.resolve()}.sock")
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH_BYTES:
        return path
    folder = _private_folder(Path(tempfile.gettempdir()) / f"paifang-{os.getuid()}")
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock"


def socket_of(file: Path, environ: Mapping[str, str]) -> Path:
    """The control socket, also while the file is broken: it takes its store's place alone. Raises: ConfigError."""
    section = parse(file, environ).data.get("store")
    url = section.get("url") if isinstance(section, dict) else None
    return control_socket(file, url if isinstance(url, str) else StoreConfig().url)


def link_to(path: Path, file: Path) -> None:
    """Have the control socket at `path` found from gateway.yaml whatever store that names, where its folder can be written."""
    link = _socket_beside(file)
    if path in (link, control_socket(file, StoreConfig().url)):
        return  # it is looked for there anyway
    with suppress(OSError):
        link.unlink(missing_ok=True)
        link.symlink_to(path)


def unlink(path: Path, file: Path) -> None:
    """Remove a control socket, and the link to it unless it leads elsewhere by now."""
    path.unlink(missing_ok=True)
    with suppress(ControlError, OSError):
        link = _socket_beside(file)
        if link.readlink() == path:
            link.unlink()


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ControlError(f"{folder} is not a folder of this user's alone; remove it, or set TMPDIR to another place")
    return folder


def private_socket(path: Path) -> socket.socket:
    """A listening Unix socket at `path`, mode 0600 from its first instant. Replaces one that is left there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    return listener


async def answers(path: Path) -> bool:
    """Whether a gateway listens on this control socket. Raises: ControlError: it is not this user's."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return False
    except PermissionError:
        raise ControlError(f"the gateway at {path} runs as another user; run this command as that user") from None
    writer.close()
    return True


@asynccontextmanager
async def at(path: Path) -> AsyncIterator[Caller]:
    """The admin API on this socket."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession("http://paifang", connector=connector, timeout=timeout) as session:
        yield Caller(session)


async def status_of_running(file: Path, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What the gateway that runs on this very file says of itself; None: none runs, or it can't be asked."""
    try:
        return await _status_at(await socket_on(file, environ), file)
    except (ConfigError, ControlError):
        return None


async def socket_on(file: Path, environ: Mapping[str, str]) -> Path:
    """Where the gateway that runs on this file listens, however it was edited since, else where one would.

    Raises: ConfigError: none runs, and the file can't be read; ControlError.
    """
    path, unreadable = None, None
    try:
        path = await asyncio.to_thread(socket_of, file, environ)
        if await answers(path):
            return path
    except ConfigError as error:
        unreadable = error
    for other in await asyncio.to_thread(_likely_sockets, file):
        with suppress(ControlError):
            if await _status_at(other, file) is not None:
                return other
    if path is None:
        assert unreadable is not None
        raise unreadable
    return path


async def _status_at(path: Path, file: Path) -> Mapping[str, Any] | None:
    """That of the gateway at this socket, if one is there and runs on this file. Raises: ControlError."""
    if not await answers(path):
        return None
    async with at(path) as caller:
        status: Mapping[str, Any] = await caller.call("GET", "status")
    return status if status["config"] == str(await asyncio.to_thread(file.resolve)) else None


def _likely_sockets(file: Path) -> list[Path]:
    """For the store that a broken file seems to name, for any, and for the usual one. Raises: ControlError."""
    try:
        named = _STORE_URL.findall(file.read_text(errors="replace"))
    except OSError:
        named = []
    return [*(control_socket(file, url) for url in named[:1]), _socket_beside(file), control_socket(file, StoreConfig().url)]


@asynccontextmanager
async def connect(file: Path, environ: Mapping[str, str]) -> AsyncIterator[Caller]:
    """The admin API of the gateway on this file: of the one that runs, else of one that lives as long as this context.

    Raises: ConfigError, StoreError, ControlError.
    """
    path = await socket_on(file, environ)
    gateway = await _open_unless_running(path, file, environ)
    if gateway is None:
        async with at(path) as caller:
            yield caller
        return
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="paifang-"))
    try:
        await gateway.listen_control(folder / "sock")
        async with at(folder / "sock") as caller:
            yield caller
    finally:
        await gateway.close()
        await asyncio.to_thread(shutil.rmtree, folder)


async def _open_unless_running(path: Path, file: Path, environ: Mapping[str, str]) -> Gateway | None:
    if await answers(path):
        return None
    # Only commands that find no gateway pay for importing one.
    from proxy.gateway import Gateway

    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + OWNER_WAIT_S
    while True:
        try:
            return await Gateway.open(file, environ, watched=False)
        except OwnerError:
            if loop.time() > deadline_s:
                raise
        await asyncio.sleep(0.1)
        if await answers(path):
            return None
