"""Vectors through the gateway, asked for with OpenAI's SDK."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import FakeArk, FakeOpenAI

VISION = "doubao-embedding-vision-251215"
PICTURE: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
CHEAP = {"input": 1}


@pytest.fixture
async def served(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> Served:
    def embedding(*routes: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"task": "embeddings", "family": "doubao", "price": CHEAP, "routes": list(routes), **more}

    return await serve(
        providers={
            "ark": files.ark(fake_ark),
            "relay": files.relay(fake_openai),
            "simulator": files.SIMULATOR,
        },
        models={
            "texts": embedding(files.route("ark", "ark", "doubao-embedding")),
            "parts": embedding(files.route("ark", "ark", VISION), context_tokens=131072),
            "relayed": embedding(files.route("relay", "relay", "any")),
            "simulated": embedding(files.route("sim", "simulator", "any")),
            "failing": embedding(files.route("gone", "ark", "no-such-model"), files.route("relay", "relay", "any", priority=2)),
            "doubao-seed": files.model(files.route("lite", "ark", files.ARK_MODEL)),
        },
        keys=[
            files.key("all", files.KEY, budget={"daily_usd": 1}),
            files.key("none", files.PENNILESS, budget={"daily_usd": 0.0001}),
        ],
    )


async def post(served: Served, path: str, body: Any, key: str = files.KEY) -> Answered:
    return await served.ask("POST", path, json=body, headers={"authorization": f"Bearer {key}"})


@pytest.fixture
async def client(served: Served) -> Any:
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["texts", "relayed"])
@pytest.mark.parametrize("written", ["float", "base64"])
async def test_each_text_has_its_vector(client: openai.AsyncOpenAI, model: str, written: Any) -> None:
    raw = await client.embeddings.with_raw_response.create(model=model, input=["a", "b c"], encoding_format=written)
    answer = raw.parse()
    assert (answer.object, answer.model) == ("list", model)
    if written == "float":
        assert [(item.index, item.embedding[0]) for item in answer.data] == [(0, 1.0), (1, 3.0)]
    usage: Any = answer.usage
    assert (usage.prompt_tokens, usage.total_tokens, usage.tracked, usage.cost) == (3, 3, True, 3e-6)
    assert raw.headers["x-paifang-cost-usd"] == "0.000003"


async def test_the_sdks_own_way_to_ask(client: openai.AsyncOpenAI) -> None:
    """It asks for base64 and reads the numbers out of it."""
    answer = await client.embeddings.create(model="texts", input="abc")
    assert answer.data[0].embedding == [3.0, 0.5, -0.25, 0.0]


async def test_lists_leave_out_what_embeddings_do_not_have(served: Served) -> None:
    bearer = {"authorization": f"Bearer {files.KEY}"}
    listed = {model["id"]: model for model in (await served.ask("GET", "/v1/models", headers=bearer)).json["data"]}
    assert listed["texts"]["pricing"] == {"currency": "USD", "input": "1.00"}
    assert "max_output_tokens" not in listed["texts"]
    assert {"input", "output"} < listed["doubao-seed"]["pricing"].keys()
    assert listed["doubao-seed"]["max_output_tokens"] > 0


async def test_texts_and_pictures_become_one_vector(served: Served) -> None:
    answer = await post(served, "/v1/embeddings", {"model": "parts", "input": [{"type": "text", "text": "a b"}, PICTURE]})
    assert [item["embedding"][0] for item in answer.json["data"]] == [3]
    usage = answer.json["usage"]
    assert (usage["prompt_tokens"], usage["prompt_tokens_details"]["image_tokens"]) == (1314, 1312)


async def test_tokens_where_they_are_taken(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="relayed", input=[[1, 2], [3]], encoding_format="float")
    assert (len(answer.data), answer.usage.prompt_tokens) == (2, 3)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="texts", input=[1, 2])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "input")


async def test_the_simulators_are_of_length_one_and_the_same_each_time(client: openai.AsyncOpenAI) -> None:
    first, again = [await client.embeddings.create(model="simulated", input="hi", dimensions=8) for _ in range(2)]
    vector = first.data[0].embedding
    assert vector == again.data[0].embedding
    assert (len(vector), round(sum(number * number for number in vector), 5)) == (8, 1)


async def test_another_route_answers(served: Served) -> None:
    answer = await post(served, "/v1/embeddings", {"model": "failing", "input": "a"})
    assert (answer.status, answer.headers["x-paifang-route"], answer.headers["x-paifang-attempts"]) == (200, "relay", "2")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/v1/embeddings", {"model": "doubao-seed", "input": "a"}, 400, "invalid_value", "model"),
        ("/v1/chat/completions", {"model": "texts", "messages": files.HI}, 400, "invalid_value", "model"),
        ("/v1/embeddings", {"model": "texts"}, 400, "invalid_value", "input"),
        ("/v1/embeddings", {"model": "texts", "input": ""}, 400, "invalid_value", "input"),
        ("/v1/embeddings", {"model": "texts", "input": ["a", 1]}, 400, "invalid_value", "input"),
        ("/v1/embeddings", {"model": "texts", "input": ["a", ""]}, 400, "invalid_value", "input[1]"),
        ("/v1/embeddings", {"model": "texts", "input": "a", "dimensions": 0}, 400, "invalid_value", "dimensions"),
        ("/v1/embeddings", {"model": "nothing", "input": "a"}, 404, "model_not_found", "model"),
    ],
)
async def test_what_is_refused(served: Served, path: str, body: Any, status: int, code: str, param: str) -> None:
    answer = await post(served, path, body)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)


async def test_a_budget_holds(served: Served) -> None:
    answer = await post(served, "/v1/embeddings", {"model": "texts", "input": "word " * 200}, key=files.PENNILESS)
    assert (answer.status, answer.error["code"]) == (429, "budget_exceeded")
