"""Following gateway.yaml: changes are taken once settled, whatever way they came about."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy import reload
from proxy.gateway import Gateway
from proxy.reload import follow, stamps_of
from tests.proxy.gateways import SIMULATED, write

PLUGIN = "from proxy import hookimpl\n@hookimpl\ndef authorize(ctx):\n    pass\n"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK_EVERY_S", 0.02)


@asynccontextmanager
async def followed(file: Path, nudged: asyncio.Event | None = None) -> AsyncIterator[Gateway]:
    read = await asyncio.to_thread(stamps_of, file)
    gateway = await Gateway.open(file, {})
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow(gateway, nudged or asyncio.Event(), read))
        try:
            yield gateway
        finally:
            following.cancel()
            await gateway.close()


async def comes(about: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not about():
            await asyncio.sleep(0.01)


def renamed(alias: str) -> str:
    return SIMULATED.replace("aliases: [doubao]", f"aliases: [{alias}]")


async def test_a_file_that_is_written_anew(tmp_path: Path) -> None:
    async with followed(write(tmp_path, SIMULATED)) as gateway:
        write(tmp_path, renamed("b"))
        await comes(lambda: "b" in gateway.snapshot.aliases)


async def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    async with followed(write(tmp_path, SIMULATED)) as gateway:
        (tmp_path / "new").write_text(renamed("b"))
        (tmp_path / "new").replace(tmp_path / "gateway.yaml")
        await comes(lambda: "b" in gateway.snapshot.aliases)


async def test_a_link_that_is_swapped(tmp_path: Path) -> None:
    for version, text in (("one", SIMULATED), ("two", renamed("b"))):
        (tmp_path / version).mkdir()
        write(tmp_path / version, text)
    (tmp_path / "current").symlink_to("one")
    (tmp_path / "gateway.yaml").symlink_to("current/gateway.yaml")
    async with followed(tmp_path / "gateway.yaml") as gateway:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "current")
        await comes(lambda: "b" in gateway.snapshot.aliases)


async def test_a_change_between_reading_and_following(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    read = await asyncio.to_thread(stamps_of, file)
    gateway = await Gateway.open(file, {})
    write(tmp_path, renamed("b"))
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow(gateway, asyncio.Event(), read))
        await comes(lambda: "b" in gateway.snapshot.aliases)
        following.cancel()
    await gateway.close()


async def test_a_plugin_file_that_comes_changes_and_goes(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    (tmp_path / "mine.py").write_text(PLUGIN)
    listed = "plugins: [virtual_keys, ./mine.py]\n"
    async with followed(file) as gateway:
        outcomes = gateway.app.reloads.outcomes
        write(tmp_path, SIMULATED + listed)
        await comes(lambda: "./mine.py" in gateway.registry.names)
        before = gateway.registry.object_of("./mine.py")
        (tmp_path / "mine.py").write_text(PLUGIN + "changed = True\n")
        await comes(lambda: gateway.registry.object_of("./mine.py") is not before)
        write(tmp_path, SIMULATED)
        await comes(lambda: "./mine.py" not in gateway.registry.names)
        await asyncio.sleep(0.2)
        assert outcomes == {"ok": 3, "failed": 0}


async def test_a_broken_file_is_refused_once_and_a_mended_one_taken(tmp_path: Path) -> None:
    async with followed(write(tmp_path, SIMULATED)) as gateway:
        outcomes = gateway.app.reloads.outcomes
        write(tmp_path, "providers: [")
        await comes(lambda: outcomes["failed"] == 1)
        await asyncio.sleep(0.2)
        assert outcomes == {"ok": 0, "failed": 1}
        assert "doubao" in gateway.snapshot.aliases
        write(tmp_path, renamed("b"))
        await comes(lambda: "b" in gateway.snapshot.aliases)


async def test_what_needs_a_restart_is_told_with_its_place(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with followed(write(tmp_path, f"server: {{host: 127.0.0.1, port: 1}}\n{SIMULATED}")) as gateway:
            write(tmp_path, f"server: {{host: 127.0.0.1,\n  port: 2}}\n{SIMULATED}")
            await comes(lambda: gateway.app.reloads.outcomes["failed"] == 1)
    assert [line["problems"] for line in lines if "problems" in line] == [
        "gateway.yaml:2:3: server.port: changing this needs a restart; nothing else of the file is taken before"
    ]


async def test_a_nudge_reloads_what_has_not_changed(tmp_path: Path) -> None:
    nudged = asyncio.Event()
    async with followed(write(tmp_path, SIMULATED), nudged) as gateway:
        nudged.set()
        await comes(lambda: gateway.app.reloads.outcomes["ok"] == 1)


BREAKS = {
    "import": "import asyncio\nraise {error}\n",
    "startup": PLUGIN + "import asyncio\n@hookimpl\ndef startup(app):\n    raise {error}\n",
    "awaited": PLUGIN + "import asyncio\n@hookimpl\nasync def startup(app):\n    raise {error}\n",
    "routes": PLUGIN + "import asyncio\n@hookimpl\ndef register_routes(register):\n    raise {error}\n",
    "adapters": PLUGIN + "import asyncio\n@hookimpl\ndef register_adapters(register):\n    raise {error}\n",
    "model": PLUGIN + "import asyncio\n@hookimpl\ndef config_model():\n    raise {error}\n",
}


@pytest.mark.parametrize(
    ("where", "error"),
    [
        *((where, "SystemExit(3)") for where in BREAKS),
        *(("startup", error) for error in ("OSError('no')", "KeyboardInterrupt", "asyncio.CancelledError")),
        *((where, "asyncio.CancelledError") for where in ("import", "awaited")),
    ],
)
async def test_a_plugin_that_breaks_is_refused_once_and_taken_once_it_is_mended(tmp_path: Path, where: str, error: str) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    listed = SIMULATED + "plugins: [virtual_keys, routing, metering, ./mine.py]\n"
    with capture_logs() as lines:  # structlog's own way to show an exception blocks
        async with followed(write(tmp_path, listed)) as gateway:
            outcomes, before = gateway.app.reloads.outcomes, gateway.registry.object_of("./mine.py")
            (tmp_path / "mine.py").write_text(BREAKS[where].format(error=error))
            await comes(lambda: outcomes["failed"] == 1)
            await asyncio.sleep(0.2)
            assert outcomes == {"ok": 0, "failed": 1}
            assert gateway.registry.object_of("./mine.py") is before
            assert ["./mine.py" in line["problems"] for line in lines if "refused" in line["event"]] == [True]
            (tmp_path / "mine.py").write_text(PLUGIN + "mended = True\n")
            await comes(lambda: hasattr(gateway.registry.object_of("./mine.py"), "mended"))


async def test_a_new_plugin_that_breaks_is_looked_at_until_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit")
    async with followed(write(tmp_path, SIMULATED)) as gateway:
        write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")
        await comes(lambda: gateway.app.reloads.outcomes["failed"] == 1)
        (tmp_path / "mine.py").write_text(PLUGIN)
        await comes(lambda: "./mine.py" in gateway.registry.names)


async def test_a_plugin_file_that_changes_while_the_gateway_starts(tmp_path: Path) -> None:
    edited = PLUGIN + "changed = True\n"
    (tmp_path / "mine.py").write_text(f"{PLUGIN}from pathlib import Path\nPath(__file__).write_text({edited!r})\n")
    async with followed(write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")) as gateway:
        await comes(lambda: hasattr(gateway.registry.object_of("./mine.py"), "changed"))


async def test_a_file_of_the_same_size_and_time(tmp_path: Path) -> None:
    file = write(tmp_path, renamed("a"))
    os.utime(file, (1e9, 1e9))
    async with followed(file) as gateway:
        write(tmp_path, renamed("b"))
        os.utime(file, (1e9, 1e9))
        await comes(lambda: "b" in gateway.snapshot.aliases)
