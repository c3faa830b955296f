"""/metrics: the names and labels that contract.md promises, and nothing that a client can invent."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.processes import free_port
from tests.fakes import FakeArk, eventually
from tests.system_tools import needs

LABELS = {
    "paifang_requests_total": {"model", "route", "status", "code"},
    "paifang_route_latency_seconds_bucket": {"model", "route", "stream", "outcome", "le"},
    "paifang_route_first_token_seconds_bucket": {"model", "route", "le"},
    "paifang_overhead_seconds_bucket": {"stage", "le"},
    "paifang_tokens_total": {"model", "route", "kind"},
    "paifang_cost_usd_total": {"model", "family", "route"},
    "paifang_route_up": {"route"},
    "paifang_route_state": {"route", "state"},
    "paifang_credential_up": {"provider"},
    "paifang_route_in_flight": {"route"},
    "paifang_route_attempts_total": {"route", "outcome"},
    "paifang_fallbacks_total": {"model", "from", "to", "reason"},
    "paifang_denied_total": {"stage", "code"},
    "paifang_usage_anomalies_total": {"route", "kind"},
    "paifang_stale_connections_total": {"provider"},
    "paifang_plugin_seconds_bucket": {"plugin", "hook", "le"},
    "paifang_config_reloads_total": {"outcome"},
    "paifang_config_last_reload_success_timestamp_seconds": set(),
    "paifang_ledger_unsettled": set(),
    "paifang_build_info": {"version"},
}
STAGES = {"auth", "scope", "budget", "routing", "adapter", "metering", "after"}


async def some_traffic(gateway: Served, fake_ark: FakeArk) -> str:
    await gateway.chat("doubao")
    await gateway.chat("relayed", stream=True)
    fake_ark.fail_next(500, "InternalServiceError", "oops")
    await gateway.chat("pooled", headers={"x-client-request-id": "invented-by-client"}, user="invented-user")
    await gateway.chat("invented-model")
    await gateway.chat("relayed", key=files.DOUBAO_ONLY)
    await gateway.chat(key="sk-pf-invented")
    await gateway.chat(key=files.PENNILESS)
    scraped = await gateway.ask("GET", "/metrics")
    assert scraped.headers["content-type"].startswith("text/plain; version=0.0.4")
    return scraped.raw.decode()


async def test_names_labels_and_numbers(gateway: Served, fake_ark: FakeArk) -> None:
    text = await some_traffic(gateway, fake_ark)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    seen = {sample.name: set(sample.labels) for sample in samples}
    assert {name: seen.get(name) for name in LABELS} == LABELS
    assert {s.labels["stage"] for s in samples if s.name == "paifang_overhead_seconds_count"} <= STAGES
    assert "invented" not in text and "sk-" not in text and "127.0.0.1" not in text

    assert await gateway.metric("paifang_requests_total", status="200", code="") == 3
    assert await gateway.metric("paifang_requests_total", model="", code="model_not_found", status="404") == 1
    assert await gateway.metric("paifang_denied_total", stage="auth", code="invalid_api_key") == 1
    assert await gateway.metric("paifang_denied_total", stage="scope", code="model_not_allowed") == 1
    assert await gateway.metric("paifang_denied_total", stage="scope", code="model_not_found") == 1
    assert await gateway.metric("paifang_denied_total", stage="budget", code="budget_exceeded") == 1
    assert await gateway.metric("paifang_fallbacks_total", reason="upstream_error") == 1
    assert await gateway.metric("paifang_route_latency_seconds_count") == 4
    assert await gateway.metric("paifang_route_first_token_seconds_count", model="relayed") == 1
    assert await gateway.metric("paifang_tokens_total", route="relay", kind="output") == 6
    assert await gateway.metric("paifang_route_up") == 7
    assert await gateway.metric("paifang_route_in_flight") == 0
    assert await gateway.metric("paifang_ledger_unsettled") == 0


@needs("promtool")
async def test_promtool_has_nothing_to_say(gateway: Served, fake_ark: FakeArk) -> None:
    gateway.gateway.app.faults.report("./mine.py", "observe", ValueError())
    gateway.gateway.app.faults.stalls["", ""] += 1
    text = await some_traffic(gateway, fake_ark)
    check = ["promtool", "check", "metrics"]
    lint = await asyncio.to_thread(subprocess.run, check, input=text, capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


async def test_a_route_in_flight(gateway: Served, fake_ark: FakeArk) -> None:
    pacer = fake_ark.stepwise()
    asking = asyncio.ensure_future(gateway.chat("doubao", stream=True))
    await pacer.step()
    assert await gateway.metric("paifang_route_in_flight", route="ark-lite") == 1
    assert await gateway.metric("paifang_ledger_unsettled") == 1
    while await pacer.step():
        pass
    await asking
    assert await gateway.metric("paifang_route_in_flight") == 0


async def test_cost_is_what_was_debited(gateway: Served) -> None:
    costs = [(await gateway.chat("doubao")).json["usage"]["cost"] for _ in range(3)]
    assert await gateway.metric("paifang_cost_usd_total", model="doubao-seed", family="doubao") == pytest.approx(sum(costs))


async def test_a_listener_of_its_own(serve: Serve, fake_ark: FakeArk) -> None:
    port = free_port()
    served = await serve(
        providers={"ark": files.ark(fake_ark)},
        models={"doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL))},
        keys=[files.key("all", files.KEY)],
        metrics={"listen": f"127.0.0.1:{port}"},
    )
    assert (await served.ask("GET", "/metrics")).status == 404
    async with served.session.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200 and "paifang_build_info" in await response.text()
    async with served.session.get(f"http://127.0.0.1:{port}/v1/models") as response:
        assert response.status == 404


SLOW = """
import asyncio
from proxy import hookimpl

TOLD = []

@hookimpl
async def observe(ctx, outcome):
    await asyncio.sleep(0.1)
    TOLD.append(outcome.status)
"""


async def test_a_client_that_leaves_with_its_answer_cuts_off_no_observer(serve: Serve) -> None:
    served = await serve(
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"), free=True)},
        keys=[files.key("ci", files.KEY)],
        plugins=["virtual_keys", "model_scope", "routing", "metering", "./slow.py", "metrics"],
        also={"slow.py": SLOW},
    )
    assert (await served.chat("m", headers={"connection": "close"})).status == 200
    told = served.gateway.registry.object_of("./slow.py").TOLD
    await eventually(lambda: told == [200])
    await asyncio.sleep(0)
    assert await served.metric("paifang_requests_total", model="m", status="200") == 1
