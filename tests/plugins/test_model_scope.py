import pytest

from plugins.model_scope import authorize
from proxy.context import Principal
from proxy.errors import Forbidden
from proxy.snapshot import ModelEntry
from tests.plugins.targets import TARGET, context, target


def model(name: str, family: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        task="chat",
        family=family,
        aliases=(),
        pool=(),
        resting={},
        fallbacks=(),
        price=TARGET.price,
        context_tokens=None,
        max_output_tokens=1,
    )


DOUBAO = model("doubao-seed", "doubao")


def test_a_key_without_scope_may_use_all() -> None:
    authorize(context(principal=Principal(id="k"), model=DOUBAO))


@pytest.mark.parametrize("families", [{"deepseek"}, {"Doubao"}, {"doubao "}, {"dоubao"}, set()])
def test_families_match_byte_for_byte(families: set[str]) -> None:
    with pytest.raises(Forbidden) as caught:
        authorize(context(principal=Principal(id="k", families=frozenset(families)), model=DOUBAO))
    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "model_not_allowed", "model")


def test_models_and_families_both_have_to_allow() -> None:
    key = Principal(id="k", families=frozenset({"doubao"}), models=frozenset({"doubao-lite"}))
    with pytest.raises(Forbidden):
        authorize(context(principal=key, model=DOUBAO))


def test_a_route_of_another_model_is_judged_by_that_model() -> None:
    key = Principal(id="k", families=frozenset({"doubao"}))
    authorize(context(principal=key, model=DOUBAO, target=target("a")))
    with pytest.raises(Forbidden):
        authorize(context(principal=key, model=DOUBAO, target=target("b", model="deepseek-chat", family="deepseek")))
