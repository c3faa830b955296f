"""Where the control socket lies, and one way to a gateway that runs and to one that doesn't."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from pathlib import Path

import pytest

from proxy.boot import load
from proxy.control import ControlError, answers, connect, control_socket, link_to, private_socket
from proxy.errors import ConfigError
from proxy.gateway import Gateway
from proxy.storage.sqlite import OwnerError
from tests.proxy.gateways import SIMULATED, opened, write


def socket_of(file: Path) -> Path:
    return control_socket(file, load(file, {}).config.store.url)


def test_it_is_beside_the_sqlite_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = write(tmp_path, SIMULATED + "store: {url: sqlite:///data/books.db}\n")
    assert socket_of(file) == tmp_path / "data/books.db.sock"


def test_it_is_beside_gateway_yaml_with_a_store_in_no_file(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    assert control_socket(file, "sqlite:///:memory:") == tmp_path / "gateway.yaml.sock"


async def test_a_broken_file_still_leads_to_the_gateway_that_runs_on_it(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, _):
        await gateway.listen_control(await asyncio.to_thread(socket_of, gateway.file))
        gateway.file.write_text(SIMULATED + "modles: {}\n")
        async with connect(gateway.file, {}) as caller:
            assert (await caller.call("GET", "status"))["pid"] == os.getpid()


NO_YAML = "keys: [\n"
ON_ONE_LINE = "store: {durability: process, url: 'sqlite:///books.db'}\n"
ON_MORE = "store:  # of all\n  durability: process\n  url: sqlite:///books.db\n"


@pytest.mark.parametrize(
    ("store", "broken"), [("", NO_YAML), ("", None), (ON_ONE_LINE, ON_ONE_LINE + NO_YAML), (ON_MORE, ON_MORE + NO_YAML)]
)
async def test_a_file_that_is_no_yaml_or_gone_leads_there_too(tmp_path: Path, store: str, broken: str | None) -> None:
    async with opened(tmp_path, SIMULATED + store) as (gateway, _):
        await gateway.listen_control(await asyncio.to_thread(socket_of, gateway.file))
        if broken is None:
            gateway.file.unlink()
        else:
            gateway.file.write_text(broken)
        async with connect(gateway.file, {}) as caller:
            assert (await caller.call("GET", "status"))["pid"] == os.getpid()


@pytest.mark.parametrize("edited", [SIMULATED, SIMULATED + "store: {url: sqlite:///new.db}\n", NO_YAML, None])
@pytest.mark.parametrize("store", ["", "store: {url: sqlite:///books.db}\n", "store: {url: 'sqlite:///:memory:'}\n"])
async def test_whatever_store_the_file_names_by_now(tmp_path: Path, store: str, edited: str | None) -> None:
    file = write(tmp_path, SIMULATED + store)
    gateway = await Gateway.open(file, {})
    try:
        path = await asyncio.to_thread(socket_of, file)
        await gateway.listen_control(path)
        await asyncio.to_thread(link_to, path, file)
        if edited is None:
            file.unlink()
        else:
            file.write_text(edited)
        before = sorted(tmp_path.iterdir())
        async with connect(file, {}) as caller:
            await caller.call("POST", "keys", {"name": "a"})
        assert [record.name for record in gateway.app.keys.list()] == ["a"]
        assert sorted(tmp_path.iterdir()) == before
    finally:
        await gateway.close()
    assert not list(tmp_path.glob("*.sock"))


async def test_a_gateway_on_the_store_of_now_goes_before_one_on_that_of_before(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    before = await Gateway.open(file, {})
    await before.listen_control(tmp_path / "paifang.db.sock")
    file.write_text(SIMULATED + "store: {url: sqlite:///books.db}\n")
    now = await Gateway.open(file, {})
    await now.listen_control(tmp_path / "books.db.sock")
    try:
        async with connect(file, {}) as caller:
            await caller.call("POST", "keys", {"name": "a"})
        assert [len(gateway.app.keys.list()) for gateway in (before, now)] == [0, 1]
    finally:
        await before.close()
        await now.close()


async def test_a_link_that_leads_elsewhere_by_now_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED + "store: {url: sqlite:///books.db}\n") as (gateway, _):
        for name in ("c.sock", "d.sock"):
            await asyncio.to_thread(link_to, tmp_path / name, gateway.file)
    assert (tmp_path / "gateway.yaml.sock").readlink() == tmp_path / "d.sock"


async def test_a_file_that_is_no_yaml_leads_to_no_gateway_on_another_file(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, _):
        await gateway.listen_control(await asyncio.to_thread(socket_of, gateway.file))
        other = tmp_path / "other.yaml"
        other.write_text(NO_YAML)
        with pytest.raises(ConfigError, match=r"other\.yaml"):
            async with connect(other, {}):
                pass


def test_two_names_of_one_file_have_one_socket(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "real", SIMULATED)
    assert socket_of(tmp_path / "real/gateway.yaml") == socket_of(tmp_path / "link/gateway.yaml")


def test_a_long_path_falls_back_to_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tempfile.mkdtemp()
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    file = write(folder, SIMULATED)
    path = socket_of(file)
    assert path.parent == Path(temporary) / f"paifang-{os.getuid()}"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(os.fsencode(path)) <= 100
    assert socket_of(file) == path


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"paifang-{os.getuid()}").mkdir(mode=0o755)
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    with pytest.raises(ControlError, match="not a folder of this user's alone"):
        socket_of(write(folder, SIMULATED))


async def test_the_running_gateway_answers(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    gateway = await Gateway.open(file, {})
    try:
        path = await asyncio.to_thread(socket_of, file)
        await gateway.listen_control(path)
        gateway.address = "http://127.0.0.1:1"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with connect(file, {}) as caller:
            assert (await caller.call("GET", "status"))["address"] == "http://127.0.0.1:1"
    finally:
        await gateway.close()


async def test_without_one_a_gateway_is_opened_for_the_question(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    async with connect(file, {}) as caller:
        await caller.call("POST", "keys", {"name": "a"})
        assert not await answers(await asyncio.to_thread(socket_of, file))
    async with connect(file, {}) as caller:
        assert [key["name"] for key in (await caller.call("GET", "keys"))["keys"]] == ["a"]


async def test_a_socket_that_was_left_behind_is_no_gateway(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    (await asyncio.to_thread(private_socket, await asyncio.to_thread(socket_of, file))).close()
    async with connect(file, {}) as caller:
        assert (await caller.call("GET", "status"))["address"] == ""


async def test_two_commands_at_once_take_turns(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)

    async def make(name: str) -> None:
        async with connect(file, {}) as caller:
            await caller.call("POST", "keys", {"name": name})

    await asyncio.gather(make("a"), make("b"))
    async with connect(file, {}) as caller:
        assert len((await caller.call("GET", "keys"))["keys"]) == 2


async def test_a_store_that_nobody_answers_for_is_named_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.OWNER_WAIT_S", 0)
    file = write(tmp_path, SIMULATED)
    gateway = await Gateway.open(file, {})
    try:
        with pytest.raises(OwnerError, match="in use"):
            async with connect(file, {}):
                pass
    finally:
        await gateway.close()
