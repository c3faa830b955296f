"""`ledger verify` computes every charge anew from what was counted and the price that is stamped on it."""

from __future__ import annotations

import re

import pytest

from proxy.chat import Usage
from proxy.jsontext import loads
from proxy.money import Price, also_counted, price_of, usage_of
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeOpenAI

PRICES = [
    {"input": 1, "output": 2},
    {"input": 0.7, "output": 2.8, "cached_input": 0.14, "reasoning": 3.3},
    {"currency": "CNY", "tiers": [{"up_to_input_tokens": 3, "input": 0.6, "output": 3.6}, {"input": 1.2, "output": 7.2}]},
    {"input": 1, "output": 2, "tools": {"web_search": 0.002}, "service_tiers": {"fast": 1.6}},
]
COUNTED_IMAGES = "UPDATE usage_row SET also_counted = '{\"images\": 4}'"
FLIPS = [
    "UPDATE usage_row SET input_tokens = input_tokens + 1",
    "UPDATE usage_row SET output_tokens = output_tokens - 1",
    "UPDATE usage_row SET also_counted = '{\"cache_write_tokens\": 2}'",
    "UPDATE usage_row SET also_counted = '{'",
    'UPDATE price SET stamp = replace(stamp, \'"output": "\', \'"output": "1\')',
]


async def served_at(serve: Serve, fake: FakeOpenAI, price: object) -> Served:
    return await serve(
        exchange_rates={"CNY": {"usd": 0.1406, "date": "2026-11-20"}},
        providers={"relay": files.relay(fake)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=price)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
    )


@pytest.mark.parametrize("price", PRICES)
async def test_every_price_is_computed_anew(serve: Serve, fake_openai: FakeOpenAI, price: object) -> None:
    fake_openai.cached_tokens = 1
    served = await served_at(serve, fake_openai, price)
    for stream in (False, True):
        assert (await served.chat(stream=stream)).status == 200
    assert await served.gateway.store.reports.verify() == []
    model = served.gateway.snapshot.models["doubao-seed"]
    again = price_of(loads(model.price.stamp.encode()))
    assert (again, again.stamp) == (model.price, model.price.stamp)


@pytest.mark.parametrize("flip", FLIPS)
async def test_a_flipped_count_is_found(serve: Serve, fake_openai: FakeOpenAI, flip: str) -> None:
    served = await served_at(serve, fake_openai, {"input": 1, "output": 2, "cache_write": 5})
    assert (await served.chat()).status == 200
    store = served.gateway.store
    assert await store.reports.verify() == []
    await store.writer.run(lambda db: db.exec_driver_sql(flip))
    assert any("entry of " in problem for problem in await store.reports.verify())


def test_everything_that_was_counted_is_kept() -> None:
    usage = Usage(
        input_tokens=9, output_tokens=9, cache_write_tokens=1, audio_input_tokens=2, audio_output_tokens=3,
        tool_calls={"web_search": 5}, service_tier="fast",
    )  # fmt: skip
    kept = usage_of({"input_tokens": 9, "output_tokens": 9, **loads(also_counted(usage).encode())})
    assert kept == usage
    assert also_counted(Usage(input_tokens=1, output_tokens=1)) == ""
    assert isinstance(price_of({"currency": "USD", "input": "1.00", "output": "2.00"}), Price)


@pytest.mark.parametrize(("image", "added"), [("0", None), ("0.01", 4 * 10_000_000)])
async def test_images_that_an_earlier_version_counted_are_part_of_the_charge(
    serve: Serve, fake_openai: FakeOpenAI, image: str, added: int | None
) -> None:
    served = await served_at(serve, fake_openai, {"input": 1, "output": 2, "tools": {"web_search": 0.002}})
    assert (await served.chat()).status == 200
    store = served.gateway.store
    await store.writer.run(lambda db: db.exec_driver_sql(COUNTED_IMAGES))
    await store.writer.run(lambda db: db.exec_driver_sql("UPDATE price SET stamp = json_set(stamp, '$.image', ?)", (image,)))
    found = re.findall(r"charged (\d+), its tokens at its price come to (\d+)", "".join(await store.reports.verify()))
    assert [int(due) - int(charged) for charged, due in found] == ([] if added is None else [added])
