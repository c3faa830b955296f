"""The fake control plane, held to the vendor's SDK, which signs, gets a key and calls Ark with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import volcenginesdkarkruntime  # type: ignore[import-untyped]
import volcenginesdkarkruntime._exceptions as ark_errors  # type: ignore[import-untyped]
from volcenginesdkarkruntime._client import StsTokenManager  # type: ignore[import-untyped]

from tests.fakes import FakeArk, FakeVolcengine
from tests.fakes.ark import BOT, ENDPOINT
from tests.fakes.volcengine import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.filterwarnings("ignore:The field 'schema' is deprecated")
LITE = "doubao-seed-2-0-lite-260215"
HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"


@contextmanager
def client(ark: FakeArk, plane: FakeVolcengine, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Iterator[Any]:
    pair: dict[str, Any] = {"ak": access_key, "sk": secret_key}
    with volcenginesdkarkruntime.Ark(**pair, base_url=ark.base_url, max_retries=0) as made:
        made._sts_token_manager = StsTokenManager(**pair, region="cn-beijing")
        made._sts_token_manager.api_instance.api_client.configuration.host = plane.origin
        yield made


@pytest.fixture
def ark(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeArk]:
    monkeypatch.delenv("ARK_API_KEY", raising=False)
    fake = FakeArk()
    with fake.run_in_thread():
        yield fake


@pytest.fixture
def plane(ark: FakeArk) -> Iterator[FakeVolcengine]:
    fake = FakeVolcengine(ark)
    with fake.run_in_thread():
        yield fake


def test_an_endpoint_and_a_bot_get_a_key_each(ark: FakeArk, plane: FakeVolcengine) -> None:
    with client(ark, plane) as made:
        for _ in range(2):
            assert made.chat.completions.create(model=ENDPOINT, messages=HI).choices[0].message.content == HELLO
        assert made.bot_chat.completions.create(model=BOT, messages=HI).choices[0].message.content == HELLO
    assert [asked.query for asked in plane.requests] == [{"Action": "GetApiKey", "Version": "2024-01-01"}] * 2
    assert [asked.body for asked in plane.requests] == [
        {"DurationSeconds": 604800, "ResourceIds": [name], "ResourceType": kind}
        for name, kind in ((ENDPOINT, "endpoint"), (BOT, "bot"))
    ]


def test_a_models_own_id_needs_a_project(ark: FakeArk, plane: FakeVolcengine) -> None:
    with client(ark, plane) as made:
        headers = {"X-Project-Name": "default"}
        assert made.chat.completions.create(model=LITE, messages=HI, extra_headers=headers).choices
    [asked] = plane.requests
    assert asked.body is not None and (asked.body["ResourceType"], asked.body["ProjectName"]) == ("presetendpoint", "default")


@pytest.mark.parametrize(
    ("pair", "code"),
    [({"secret_key": "wrong"}, "SignatureDoesNotMatch"), ({"access_key": "AKLTwrong"}, "InvalidAccessKey")],
)
def test_a_wrong_pair_is_refused(ark: FakeArk, plane: FakeVolcengine, pair: dict[str, str], code: str) -> None:
    with client(ark, plane, **pair) as made, pytest.raises(ark_errors.ArkAPIError, match=code):
        made.chat.completions.create(model=ENDPOINT, messages=HI)
    assert ark.requests == []


def test_a_key_opens_what_it_was_made_for(ark: FakeArk, plane: FakeVolcengine) -> None:
    with client(ark, plane) as made:
        key = made._get_endpoint_sts_token(ENDPOINT)
    with volcenginesdkarkruntime.Ark(api_key=key, base_url=ark.base_url, max_retries=0) as other:
        assert other.chat.completions.create(model=ENDPOINT, messages=HI).choices
        with pytest.raises(ark_errors.ArkAuthenticationError):
            other.chat.completions.create(model=LITE, messages=HI)
