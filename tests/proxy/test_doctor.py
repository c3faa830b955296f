"""`paifang doctor`, beside a gateway and without one: what it finds, and what it says to do."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from proxy import diagnosis
from proxy.control import control_socket
from proxy.doctor import examine
from proxy.errors import ConfigError
from proxy.finding import Finding
from proxy.gateway import Gateway
from tests.fakes import FakeArk
from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

FREE_PORT = "server: {port: 0}\n"


async def found(file: Path, *, calling: bool = False) -> dict[str, list[Finding]]:
    by_check: dict[str, list[Finding]] = {}
    for finding in await examine(file, {}, call_providers=calling):
        by_check.setdefault(finding.check, []).append(finding)
    return by_check


def states(findings: dict[str, list[Finding]], *checks: str) -> list[str]:
    return [finding.state for check in checks for finding in findings[check]]


async def test_without_a_gateway(tmp_path: Path) -> None:
    findings = await found(write(tmp_path, SIMULATED + FREE_PORT))
    assert states(findings, "store", "port") == ["ok", "ok"]
    assert "can be written and is sound (SQLite 3." in findings["store"][0].message
    assert findings["gateway"][0].remedy == "Start one: `paifang serve`."
    assert states(findings, "clock") == ["note"] and "timedatectl" in findings["clock"][0].remedy
    assert {finding.state for check in findings.values() for finding in check} <= {"ok", "note"}


async def test_beside_a_gateway(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    gateway = await Gateway.open(file, {})
    try:
        await gateway.listen("127.0.0.1", 0)
        await gateway.listen_control(await asyncio.to_thread(control_socket, file, "sqlite:///paifang.db"))
        gateway.app.faults.failures["./mine.py", "observe"] += 3
        gateway.app.faults.stalls["", ""] += 1
        findings = await found(file)
        file.write_text(SIMULATED + "bogus: 1\n")
        broken = await found(file)
    finally:
        await gateway.close()
    assert states(findings, "store", "port", "plugin ./mine.py", "event loop") == ["ok", "ok", "problem", "note"]
    assert findings["plugin ./mine.py"][0].message == "its observe has failed 3 times since the start"
    assert states(broken, "config", "store") == ["problem", "ok"]
    assert "gateway.yaml:15:1: bogus: unknown key" in broken["config"][0].message


async def test_a_file_that_the_gateway_refused(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    gateway = await Gateway.open(file, {})
    try:
        await gateway.listen("127.0.0.1", 0)
        await gateway.listen_control(await asyncio.to_thread(control_socket, file, "sqlite:///paifang.db"))
        file.write_text(SIMULATED + "server: {workers: 2}\n")
        with pytest.raises(ConfigError):
            await gateway.reload()
        refused = await found(file)
        file.write_text(SIMULATED)
        await gateway.reload()
        mended = await found(file)
    finally:
        await gateway.close()
    assert refused["config"][-1].state == "problem"
    told = refused["config"][-1].message
    assert told.startswith("the running gateway refused it, and goes on with the one it read at 20")
    assert told.endswith(
        "Z: gateway.yaml:15:10: server.workers: changing this needs a restart; nothing else of the file is taken before"
    )
    assert {finding.state for finding in mended["config"]} == {"ok", "note"}


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        findings = await found(write(tmp_path, SIMULATED + f"server: {{port: {taken.getsockname()[1]}}}\n"))
    assert states(findings, "port") == ["problem"]
    assert findings["port"][0].remedy == "Stop what runs there, or name another port."


async def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "paifang.db").write_bytes(b"not a database" * 100)
    findings = await found(write(tmp_path, SIMULATED + FREE_PORT))
    assert states(findings, "store") == ["problem"]
    assert "name another file in store.url" in findings["store"][0].message


@pytest.mark.parametrize(
    ("free", "state"), [(diagnosis.SCANT_ROOM_BYTES - 1, "problem"), (diagnosis.LITTLE_ROOM_BYTES - 1, "note")]
)
async def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    findings = await found(write(tmp_path, SIMULATED + FREE_PORT))
    assert states(findings, "room") == [state]


@pytest.mark.parametrize(("limit", "state"), [(200, "problem"), (1024, "note"), (65536, "ok")])
async def test_file_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, state: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    findings = await found(write(tmp_path, SIMULATED + FREE_PORT))
    assert states(findings, "descriptors") == [state]


def with_ark(fake_ark: FakeArk, key: str = "") -> str:
    ark = f'{{adapter: ark, api_key: {key or fake_ark.key}, base_url: "{fake_ark.base_url}"}}'
    dated = "price: {input: 1, output: 1, date: 2024-01-01}"
    routes = "routes: [{provider: ark, model: doubao-seed-2-0-lite-260428}]"
    return f"{FREE_PORT}providers: {{ark: {ark}}}\nmodels: {{m: {{family: f, {dated}, {routes}}}}}\n"


async def test_providers_credentials_and_prices(tmp_path: Path, fake_ark: FakeArk) -> None:
    fine = await found(write(tmp_path, with_ark(fake_ark)), calling=True)
    assert states(fine, "provider ark", "clock", "age") == ["ok", "ok", "note"]
    refused = await found(write(tmp_path, with_ark(fake_ark, "sk-wrong-0123456789")), calling=True)
    assert states(refused, "provider ark") == ["problem"]
    assert "401" in refused["provider ark"][0].message
    assert "Check the API key" in refused["provider ark"][0].remedy
    assert refused["provider ark"][0].remedy.endswith("gateway.yaml:2:33: providers.ark.api_key)")


async def test_a_refused_credential_that_is_taken_again_serves_again(tmp_path: Path, fake_ark: FakeArk) -> None:
    file = write(tmp_path, with_ark(fake_ark))
    gateway = await Gateway.open(file, {})
    told: list[tuple[object, ...]] = []
    gateway.health.tell = lambda *change: told.append(change)
    try:
        await gateway.listen("127.0.0.1", 0)
        await gateway.listen_control(await asyncio.to_thread(control_socket, file, "sqlite:///paifang.db"))
        (target,) = gateway.snapshot.models["m"].pool
        credential = target.health.credential
        credential.refuse("upstream_quota_exhausted", gateway.app.clock.monotonic_ns())
        fake_ark.fail_next(403, "AccountOverdueError")
        still = await found(file, calling=True)
        assert credential.reason == "upstream_quota_exhausted"
        offline = await found(file)
        assert "provider ark" not in offline and credential.reason
        del told[:]
        taken = await found(file, calling=True)
        again = await found(file, calling=True)
    finally:
        await gateway.close()
    assert states(still, "provider ark") == ["problem"]
    assert states(taken, "provider ark") == ["ok"]
    assert taken["provider ark"][0].message == (
        "doubao-seed-2-0-lite-260428 answers; it was left alone (upstream_quota_exhausted), "
        "and from now on requests are sent there again"
    )
    assert again["provider ark"][0].message == "doubao-seed-2-0-lite-260428 answers"
    assert [change[:2] for change in told] == [("circuit", credential.key)]
    assert target.health.standing(0) == ("serving", "", None)


async def test_a_clock_that_is_wrong(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=401, headers={"Date": "Sat, 01 Jan 2050 00:00:00 GMT"})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay = f'{{adapter: openai_chat, base_url: "http://127.0.0.1:{runner.addresses[0][1]}", api_key: sk-0123456789}}'
    model = "{family: f, free: true, routes: [{provider: relay, model: x}]}"
    text = f"{FREE_PORT}providers: {{relay: {relay}}}\nmodels: {{m: {model}}}\n"
    findings = await found(write(tmp_path, text), calling=True)
    await runner.cleanup()
    assert states(findings, "clock") == ["problem"]
    assert "s behind the providers' clocks" in findings["clock"][0].message


def test_a_clock_that_was_set_back() -> None:
    seen = diagnosis.Examination(
        path="p.db", file_bytes=1, free_bytes=10**12, sqlite="3.50", damage="", newest_ns=10**18 + 3600 * 10**9
    )
    (finding,) = diagnosis._clock(seen, 10**18)
    assert finding.state == "problem" and "the clock was set back" in finding.message
    assert list(diagnosis._clock(seen, 10**18 + 3600 * 10**9)) == []


def test_the_command(paifang: Paifang, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text() + FREE_PORT)
    status, out, err = paifang("doctor", "--offline")
    assert (status, err) == (0, "")
    assert out.startswith("check\tstate\tmessage\tremedy\nconfig\tok\tgateway.yaml is valid")
    file.write_text("providers: [")
    status, out, err = paifang("doctor", "--json")
    assert (status, err) == (1, "1 problem found\n")
    assert json.loads(out)["ok"] is False
    assert json.loads(out)["findings"][0]["state"] == "problem"
