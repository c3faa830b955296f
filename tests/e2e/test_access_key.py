"""An AK/SK instead of an API key: gateway, fake control plane, fake Ark."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.control import at
from proxy.probe import probe_all
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeArk, FakeVolcengine
from tests.fakes.ark import BOT, ENDPOINT
from tests.fakes.volcengine import ACCESS_KEY, SECRET_KEY

HELLO = "Hello, you said: hi"


@pytest.fixture
async def plane(fake_ark: FakeArk) -> AsyncIterator[FakeVolcengine]:
    async with FakeVolcengine(fake_ark) as fake:
        yield fake


def pair(plane: FakeVolcengine, **more: Any) -> dict[str, Any]:
    return {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "control_url": plane.origin, "region": "cn-beijing", **more}


def sections(plane: FakeVolcengine, **more: Any) -> dict[str, Any]:
    return {
        "providers": {
            "ark": {"adapter": "ark", "base_url": plane.ark.base_url, **pair(plane, **more)},
            "bots": {"adapter": "ark_bots", "base_url": plane.ark.base_url, **pair(plane, **more)},
        },
        "models": {
            "doubao-seed": files.model(files.route("endpoint", "ark", ENDPOINT)),
            "helper": files.model(files.route("bot", "bots", BOT)),
        },
        "keys": [files.key("all", files.KEY)],
    }


@pytest.fixture
async def served(serve: Serve, plane: FakeVolcengine) -> Served:
    return await serve(**sections(plane))


async def test_one_key_serves_however_many_requests(served: Served, plane: FakeVolcengine) -> None:
    plane.delay(before_s=0.05)
    answers = await asyncio.gather(*(served.chat(stream=number % 2 == 0) for number in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(plane.requests) == 1
    assert (await served.chat("helper")).json["choices"][0]["message"]["content"] == HELLO
    assert [asked.body and asked.body["ResourceIds"] for asked in plane.requests] == [[ENDPOINT], [BOT]]
    sent = {request.headers["authorization"] for request in plane.ark.requests}
    assert sent == {f"Bearer {key}" for key in plane.ark.made_keys} and len(sent) == 2


async def test_the_key_survives_a_reload_and_a_control_plane_that_is_down(served: Served, plane: FakeVolcengine) -> None:
    await served.chat()
    await plane.stop()
    await served.gateway.reload()
    assert (await served.chat()).status == 200
    answered = await served.chat("helper")  # has no key yet
    assert (answered.status, answered.error["code"]) == (502, "upstream_unreachable")
    await plane.start()


async def test_a_key_that_ark_no_longer_takes_is_replaced(
    served: Served, plane: FakeVolcengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.temporary_keys.PAUSE_S", 0)
    await served.chat()
    plane.ark.made_keys.clear()
    assert (await served.chat()).error["code"] == "upstream_auth_failed"
    assert (await served.chat()).status == 200


async def test_a_refused_pair(serve: Serve, plane: FakeVolcengine, fake_ark: FakeArk) -> None:
    served = await serve(**sections(plane, secret_key="not-the-right-one"))
    answered = await served.chat()
    assert (answered.status, answered.error["type"], answered.error["code"]) == (502, "upstream_error", "upstream_auth_failed")
    assert "check access_key, secret_key and region" in answered.error["message"]
    assert answered.error["upstream"]["code"] == "SignatureDoesNotMatch" and answered.headers["x-should-retry"] == "false"
    assert fake_ark.requests == [] and await served.metric("paifang_cost_usd_total") == 0
    [probe, _] = await probe_all(served.gateway.snapshot)
    assert (probe.result, probe.code) == ("refused", "upstream_auth_failed")
    assert "not-the-right-one" not in answered.raw.decode() + str(probe)


async def test_a_quoted_key_stays_out_of_log_and_answer(
    served: Served, plane: FakeVolcengine, capsys: pytest.CaptureFixture[str]
) -> None:
    await served.chat()
    [key] = plane.ark.made_keys
    plane.ark.fail_next(400, f"Key-{key}", f"{key} of {ACCESS_KEY} with {SECRET_KEY}")
    answered = await served.chat()
    told = capsys.readouterr()
    assert "***** of ***** with *****" in told.out + told.err
    for secret in (key, SECRET_KEY):
        assert secret not in told.out + told.err + answered.raw.decode()


async def test_explain_shows_the_request_and_no_secret(served: Served, plane: FakeVolcengine, tmp_path: Any) -> None:
    await served.gateway.listen_control(tmp_path / "c.sock")
    async with at(tmp_path / "c.sock") as caller:
        told = await caller.call("POST", "explain", {"model": "doubao-seed", "key": "all", "body": None})
    assert told["request"]["headers"]["authorization"] == "Bearer *****"
    assert not {ACCESS_KEY, SECRET_KEY} & set(str(told).split("'")) and plane.requests == []


async def test_a_pair_that_is_empty_is_a_provider_that_is_off(serve: Serve, plane: FakeVolcengine) -> None:
    served = await serve(**sections(plane, access_key="${NO_SUCH:-}", secret_key="${NO_SUCH:-}"))
    assert "provider ark is off: its access_key is empty (set NO_SUCH)" in served.gateway.snapshot.notices
    assert (await served.chat()).error["code"] == "no_route_available"
