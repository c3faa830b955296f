"""The fake Ark's doors for vectors, held to the vendor's SDKs."""

from __future__ import annotations

from typing import Any

import arkruntime  # type: ignore[import-untyped]
import pytest
import volcenginesdkarkruntime  # type: ignore[import-untyped]
import volcenginesdkarkruntime._exceptions as ark_errors  # type: ignore[import-untyped]

from tests.fakes import FakeArk
from tests.fakes.ark import KEY

VISION = "doubao-embedding-vision-251215"
PICTURE: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize("sdk", [volcenginesdkarkruntime.Ark, arkruntime.Ark])
def test_texts(sdk: Any) -> None:
    fake = FakeArk()
    with fake.run_in_thread():
        client = sdk(api_key=KEY, base_url=fake.base_url, max_retries=0)
        answer = client.embeddings.create(model="doubao-embedding", input=["a", "bc"], encoding_format="float")
        assert [item.embedding[0] for item in answer.data] == [1, 2]
        assert (answer.object, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("list", 2, 2)
        client.close()


def test_texts_and_pictures() -> None:
    fake = FakeArk()
    with fake.run_in_thread(), volcenginesdkarkruntime.Ark(api_key=KEY, base_url=fake.base_url, max_retries=0) as client:
        answer = client.multimodal_embeddings.create(model=VISION, input=[{"type": "text", "text": "a b"}, PICTURE])
        # This SDK leaves usage the plain object that it is on the wire.
        assert (answer.data.embedding, answer.usage["prompt_tokens"]) == ([3, 0.5, -0.25, 0], 1314)


def test_each_model_has_one_of_the_doors() -> None:
    fake = FakeArk()
    with fake.run_in_thread(), volcenginesdkarkruntime.Ark(api_key=KEY, base_url=fake.base_url, max_retries=0) as client:
        with pytest.raises(ark_errors.ArkBadRequestError, match="does not support this api"):
            client.embeddings.create(model=VISION, input="a")
        with pytest.raises(ark_errors.ArkBadRequestError, match="does not support this api"):
            client.multimodal_embeddings.create(model="doubao-embedding", input=[PICTURE])
