from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from plugins.virtual_keys import VirtualKeys
from proxy.errors import Unauthenticated
from proxy.storage.keys import KeyRecord, digest_of
from tests.plugins.targets import context

KEY = "sk-pf-" + "a" * 43
RECORD = KeyRecord(name="ci", digest=digest_of(KEY))


def authenticate(headers: Mapping[str, str], record: KeyRecord = RECORD, now_s: int = 1_000) -> Any:
    plugin = VirtualKeys()
    store = SimpleNamespace(find={record.digest: record}.get)
    plugin.startup(SimpleNamespace(keys=store, clock=SimpleNamespace(now_ns=lambda: now_s * 10**9)))  # type: ignore[arg-type]
    ctx = context(headers=CIMultiDict(headers), snapshot=SimpleNamespace(static_keys={}))
    return plugin.authenticate(ctx)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"Authorization": f"Bearer {KEY}", "X-Api-Key": KEY},
    ],
)
def test_a_key_is_known_by_its_digest(headers: dict[str, str]) -> None:
    assert authenticate(headers).id == "ci"


def test_two_authorization_headers_that_differ_are_refused() -> None:
    twice = CIMultiDict([("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer sk-other")])
    with pytest.raises(Unauthenticated, match=r"^The request holds different keys; send one\.$"):
        authenticate(twice)


def test_without_a_key_the_next_plugin_is_asked() -> None:
    assert authenticate({}) is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer sk-wrong"}, "invalid_api_key"),
        ({"Authorization": "Basic dXNlcg=="}, "invalid_api_key"),
        ({"Authorization": "Bearer "}, "invalid_api_key"),
        ({"Authorization": f"Bearer {KEY}", "x-api-key": "sk-other"}, "invalid_api_key"),
        ({"x-api-key": "schlüssel-☃"}, "invalid_api_key"),
        ({"x-api-key": "\udcff'; DROP TABLE virtual_key; --"}, "invalid_api_key"),
    ],
)
def test_what_is_no_key_of_ours_is_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authenticate(headers)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("change", "code"), [({"revoked_s": 5}, "key_revoked"), ({"expires_s": 1_000}, "key_expired")]
)
def test_a_key_that_has_ended_says_how(change: dict[str, int], code: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authenticate({"x-api-key": KEY}, replace(RECORD, **change))
    assert caught.value.code == code


def test_a_key_lives_until_the_second_it_expires() -> None:
    assert authenticate({"x-api-key": KEY}, replace(RECORD, expires_s=1_000), now_s=999).id == "ci"
