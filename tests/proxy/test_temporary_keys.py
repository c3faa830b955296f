"""Keys made from an AK/SK: a control plane that is a function, and a clock that stands until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from proxy.adapter import Send
from proxy.context import Target
from proxy.credentials import AccessKey
from proxy.errors import Progress, UpstreamError, UpstreamRejectedUs, UpstreamTimeout, UpstreamUnreachable
from proxy.secret import Secret
from proxy.snapshot import Provider
from proxy.temporary_keys import PAUSE_S, RENEW_BEFORE_S, SPARE_S, TemporaryKeys
from tests.fakes.sections import ADAPTERS
from tests.plugins.targets import TARGET

DAY_S = 24 * 3600
ACCESS = AccessKey(id=Secret("AK"), secret=Secret("SK"), region="cn-beijing", project=None, control_url="http://control")
PROVIDER = Provider(
    name="p", adapter=ADAPTERS["ark"], base_url="http://ark", credential=Secret(""), active=True, access=ACCESS
)
ENDPOINT = replace(TARGET, upstream_model="ep-1")


class Plane:
    """Makes keys k1, k2, … for a day, unless told to fail or to hold its answer back."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.calls = 0
        self.fault: UpstreamError | None = None
        self.refusal: tuple[int, bytes] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.lasts_s = DAY_S

    def now_ns(self) -> int:
        return int(self.now_s * 10**9)

    def monotonic_ns(self) -> int:
        return self.now_ns()

    async def ask(self, provider: Provider, target: Target, request: Send) -> tuple[int, bytes]:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if self.refusal is not None:
            return self.refusal
        made = {"ApiKey": f"k{number}", "ExpiredTime": int(self.now_s) + self.lasts_s}
        return 200, orjson.dumps({"Result": made})


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
async def keys(plane: Plane) -> AsyncIterator[TemporaryKeys]:
    made = TemporaryKeys(plane.ask, plane)
    yield made
    await made.close()


async def key(keys: TemporaryKeys, target: Target = ENDPOINT, within_s: float = 5) -> str:
    """As the transport asks for one."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    return (keys.at_hand(PROVIDER, target) or await keys.wait(PROVIDER, target, deadline_s)).reveal()


async def idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_however_many_wait_there_is_one_call(keys: TemporaryKeys, plane: Plane) -> None:
    plane.gate.clear()
    waiting = [asyncio.ensure_future(key(keys)) for _ in range(100)]
    await idle()
    waiting[0].cancel()  # whoever began it may leave
    plane.gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["k1"] * 99
    assert (plane.calls, await key(keys)) == (1, "k1")
    assert [secret.reveal() for secret in keys.secrets()] == ["k1"]


async def test_each_endpoint_has_a_key_of_its_own(keys: TemporaryKeys, plane: Plane) -> None:
    assert [await key(keys), await key(keys, replace(ENDPOINT, upstream_model="ep-2")), await key(keys)] == ["k1", "k2", "k1"]


async def test_a_key_is_renewed_beside_the_requests(keys: TemporaryKeys, plane: Plane) -> None:
    await key(keys)
    plane.now_s += DAY_S - RENEW_BEFORE_S - 1
    assert await key(keys) == "k1" and plane.calls == 1
    plane.now_s += 1
    plane.gate.clear()
    assert [await key(keys) for _ in range(3)] == ["k1"] * 3  # nobody waits
    await idle()
    assert plane.calls == 2
    plane.gate.set()
    await idle()
    assert await key(keys) == "k2"


async def test_a_short_key_is_renewed_in_its_last_quarter(keys: TemporaryKeys, plane: Plane) -> None:
    plane.lasts_s = 400
    await key(keys)
    plane.now_s += 299
    assert await key(keys) == "k1"
    await idle()
    assert plane.calls == 1
    plane.now_s += 1
    assert await key(keys) == "k1"
    await idle()
    assert await key(keys) == "k2"


async def test_a_control_plane_that_is_down_is_survived_while_the_key_lasts(keys: TemporaryKeys, plane: Plane) -> None:
    await key(keys)
    plane.fault = UpstreamUnreachable("down", progress=Progress.AMBIGUOUS)
    plane.now_s += DAY_S - RENEW_BEFORE_S
    for _ in range(RENEW_BEFORE_S - SPARE_S):
        assert await key(keys) == "k1"
        await idle()
        plane.now_s += 1
    assert plane.calls == 1 + (RENEW_BEFORE_S - SPARE_S) // PAUSE_S
    plane.now_s += PAUSE_S
    with pytest.raises(UpstreamUnreachable) as caught:
        await key(keys)
    assert caught.value.progress is Progress.NEVER_SENT
    plane.fault = None
    plane.now_s += PAUSE_S
    assert await key(keys) != "k1"


async def test_without_a_key_a_failure_is_told_at_once_until_the_next_call_is_due(keys: TemporaryKeys, plane: Plane) -> None:
    body = b'{"ResponseMetadata":{"Error":{"Code":"SignatureDoesNotMatch"}}}'
    plane.refusal = 401, body
    seen = []
    for _ in range(3):
        with pytest.raises(UpstreamRejectedUs, match="check access_key, secret_key and region") as caught:
            await key(keys)
        seen.append(caught.value)
    assert plane.calls == 1 and len({id(error) for error in seen}) == 3
    assert {(error.code, error.upstream["code"]) for error in seen} == {("upstream_auth_failed", "SignatureDoesNotMatch")}
    plane.refusal = None
    plane.now_s += PAUSE_S
    assert await key(keys) == "k2"


async def test_a_key_that_is_refused_is_replaced(keys: TemporaryKeys, plane: Plane) -> None:
    await key(keys)
    keys.refused(PROVIDER, ENDPOINT)
    assert await key(keys) == "k1"  # it is so new that another would fare no better
    plane.now_s += PAUSE_S
    keys.refused(PROVIDER, ENDPOINT)
    assert await key(keys) == "k2"


async def test_a_pair_that_no_provider_has_any_more_is_forgotten(keys: TemporaryKeys, plane: Plane) -> None:
    await key(keys)
    keys.keep([PROVIDER])
    assert len(keys.secrets()) == 1
    keys.keep([replace(PROVIDER, access=replace(ACCESS, secret=Secret("another")))])
    assert keys.secrets() == [] and await key(keys) == "k2"


async def test_nobody_waits_beyond_his_deadline(keys: TemporaryKeys, plane: Plane) -> None:
    plane.gate.clear()
    with pytest.raises(UpstreamTimeout) as caught:
        await key(keys, within_s=0.01)
    assert caught.value.progress is Progress.NEVER_SENT
    plane.gate.set()
    assert (await key(keys), plane.calls) == ("k1", 1)


async def test_close_ends_a_call_that_hangs(plane: Plane) -> None:
    keys = TemporaryKeys(plane.ask, plane)
    plane.gate.clear()
    waiting = asyncio.ensure_future(key(keys))
    await idle()
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
