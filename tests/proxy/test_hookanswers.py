"""What answers of plugins lack beside their type; e2e/test_junk_of_plugins.py has what is wrong with them."""

from __future__ import annotations

import pytest

from proxy.chat import Extra, Finish, Part, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage
from proxy.context import Charge, Limits, Principal
from proxy.errors import BudgetExhausted, Forbidden, GatewayError, RateLimited, UpstreamBusy
from proxy.hookanswers import charge_lacks, is_counted, part_lacks, principal_lacks, refusal_lacks

USAGE = Usage(input_tokens=3, output_tokens=5)


@pytest.mark.parametrize(
    "principal",
    [
        Principal(id="ci"),
        Principal(id="用户", wallet="team", budget=Limits(daily_nanousd=5), family_budgets={"doubao": Limits()}),
        Principal(id="ci", budget=Limits(daily_nanousd=10**18, monthly_nanousd=0)),
    ],
)
def test_sound_principals(principal: Principal) -> None:
    assert principal_lacks(principal) == ""


def test_a_budget_has_a_bound() -> None:
    told = "Principal whose budgets are Limits"
    assert principal_lacks(Principal(id="ci", budget=Limits(daily_nanousd=10**18 + 1))) == told
    assert principal_lacks(Principal(id="ci", family_budgets={"doubao": Limits(monthly_nanousd=-1)})) == told


@pytest.mark.parametrize(
    "charge",
    [Charge(amount_nanousd=0, usage=USAGE), Charge(amount_nanousd=5, cost_nanousd=4, usage=USAGE, price_line="5 × ¥3.20/M")],
)
@pytest.mark.parametrize("known", [USAGE, None])
def test_sound_charges(charge: Charge, known: Usage | None) -> None:
    assert charge_lacks(known, charge) == ""


@pytest.mark.parametrize(
    "part",
    [
        Started(id="a", created=5, fields={"service_tier": "default"}),
        Started(),
        TextDelta("hi \ud800", 1),
        ReasoningDelta(""),
        ToolCallDelta(position=0, id="c", name="f"),
        ToolCallDelta(position=0, arguments="{}"),
        Extra(delta={"refusal": None}, choice={"logprobs": [1.5]}),
        Finish("stop"),
    ],
)
def test_sound_parts(part: Part) -> None:
    assert part_lacks(part) == ""


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("no", code="field_missing", param="user", detail="who?"),
        RateLimited("later", retry_after_s=0.5),
        BudgetExhausted("spent", param="key.daily"),
        UpstreamBusy("busy", upstream={"status": 429}),
    ],
)
def test_sound_refusals(error: GatewayError) -> None:
    assert refusal_lacks(error) == ""


@pytest.mark.parametrize("count", [1.5, "1", None])
def test_counts_are_integers(count: int) -> None:
    assert is_counted(USAGE)
    assert not is_counted(Usage(input_tokens=3, output_tokens=5, cached_input_tokens=count))
