"""The README and docs/ name what exists, all of it and nothing else."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import AsyncIterator, Collection
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import aiohttp
import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families

import proxy
from adapters.profiles import PROFILES
from proxy import hookspecs, testkit
from proxy.boot import load
from proxy.chat import Task
from proxy.commands import application
from proxy.context import EndReason
from proxy.gateway import Gateway
from proxy.hookspecs import STAGE_OF_HOOK
from proxy.strikes import MOST
from tests.e2e import files
from tests.markdown import ROOT, Block, blocks

README = (ROOT / "README.md").read_text()
PLUGINS = (ROOT / "docs/plugins.md").read_text()
CONFIGURATION = ROOT / "docs/configuration.md"
ADMIN = ROOT / "docs/admin.md"
CATALOGUE = ROOT / "docs/catalogue.md"
FAMILIES = ROOT / "docs/providers.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = "\n".join(path.read_text() for room in ("proxy", "plugins", "adapters") for path in (ROOT / room).rglob("*.py"))
HOOKS = {
    name: hook
    for group in (hookspecs.Boot, hookspecs.Request)
    for name, hook in vars(group).items()
    if not name.startswith("_")
}


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_signature(name: str) -> None:
    signature = inspect.signature(HOOKS[name])
    arguments = ", ".join(argument for argument in signature.parameters if argument != "self")
    assert f"### `{name}({arguments}) -> {signature.return_annotation}`" in PLUGINS.splitlines()


@pytest.mark.parametrize("name", proxy.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    names = PLUGINS.partition("\n## Every name\n")[2]
    assert f"`{name}`" in names


def test_no_other_name_is_documented_as_public() -> None:
    table = PLUGINS.partition("\n## Every name\n")[2]
    first_column = "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
    assert set(re.findall(r"`(\w+)`", first_column)) == set(proxy.__all__)


def test_the_test_kit_is_documented() -> None:
    kit = PLUGINS.partition("\n### The test kit\n")[2].partition("\n## ")[0]
    rows = [f"| `{told.name}` | {told.told} |" for told in (*testkit.SCENARIOS, *testkit.FAILURES)]
    assert "\n".join(["| scenario | the provider answers |", "|---|---|", *rows, ""]) in kit
    names = kit.partition("\n| names | what |\n")[2]
    first_column = "\n".join(row.split("|")[1] for row in names.splitlines() if row.startswith("|"))
    assert set(re.findall(r"`(\w+)`", first_column)) == set(testkit.__all__)


def cells(heading: str) -> list[list[str]]:
    """The rows of docs/plugins.md's table with this first row, without their backquotes."""
    rows = PLUGINS.partition(f"\n{heading}\n|---")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_of_errors_has_each_class_as_it_is() -> None:
    told = {
        name: (f"{error.status} {error.code}", error.remedy.name, error.progress.name)
        for name, error in vars(proxy).items()
        if isinstance(error, type) and issubclass(error, proxy.UpstreamError) and error is not proxy.UpstreamError
    }
    rows = cells("| class | status, code | `remedy` | `progress` |")
    assert {name: tuple(row[1:]) for row in rows for name in row[0].split(", ")} == told


def test_what_to_raise_is_what_the_test_kit_asks_for() -> None:
    rows = cells("| the provider says | raise | `code` | `remedy` |")
    shown = set()
    for _, raised, code, remedy in rows:
        kind = getattr(proxy, raised.partition(",")[0])
        shown.add((kind, code or kind.code, remedy or kind.remedy.name))
    asked = {(told.kinds[0], told.codes[0], (told.remedies or (told.kinds[0].remedy,))[0].name) for told in testkit.FAILURES}
    assert shown == asked


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("| `outcome.end` | |", get_args(EndReason)),
        ("| `outcome.stage` | the error was raised |", {*STAGE_OF_HOOK.values(), '""'} - {"after"}),
        ("| `ctx.chat.task` | the request is for | `ctx.chat.body` has |", {f'"{task}"' for task in get_args(Task)}),
        ("| `Remedy` | what may help |", proxy.Remedy.__members__),
        ("| `Progress` | how far it got | another attempt | the operator's exposure |", proxy.Progress.__members__),
    ],
)
def test_every_value_has_its_row(heading: str, values: Collection[str]) -> None:
    assert {row[0] for row in cells(heading)} == set(values)


def test_every_member_of_the_context_has_its_row() -> None:
    rows = cells("| member | what |")
    assert {name for row in rows for name in row[0].split(", ")} == {field.name for field in fields(proxy.RequestContext)}


def test_the_help_of_an_adapter_names_its_members() -> None:
    told = set(re.findall(r"^ {4}(\w+)(?:\(.*\))?  ", proxy.Adapter.__doc__ or "", re.MULTILINE))
    assert told == {*proxy.Adapter.__annotations__, "open"}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_configuration_page_are_current(generator: ModuleType) -> None:
    text = CONFIGURATION.read_text()
    assert generator.page(text) == text, "run `make docs`"


def test_the_page_of_the_admin_api_is_current(generator: ModuleType) -> None:
    text = ADMIN.read_text()
    assert generator.admin_page(text) == text, "run `make docs`"


def test_every_key_has_words(generator: ModuleType) -> None:
    silent = [
        f"{title}: {name}"
        for model, title in generator.titles().items()
        for name, field in model.model_fields.items()
        if not field.description and (title, name) != ("providers.NAME", "options")
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path, generator: ModuleType) -> None:
    anchors: dict[Path, set[str]] = {}
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in anchors.setdefault(file, {generator.anchor(heading) for heading in headings}), target


SHOWN = [block for page in (ROOT / "README.md", CONFIGURATION, CATALOGUE, FAMILIES) for block in blocks(page, "yaml")]


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_every_configuration_that_is_shown_is_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(block.text)
    load(file, {})


def test_the_page_of_the_families_has_every_profile_where_it_is() -> None:
    text = FAMILIES.read_text()
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| `(\S+)` \| (?:`(\S+)` )?\|", text, re.MULTILINE)
    assert rows == [(profile.name, profile.base_url, profile.intl_url or "") for profile in PROFILES]
    told = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert told == [profile.name for profile in PROFILES]
    assert [name for name in told if f"`{name}`" not in README] == ["sensenova_compat"]


def commands_of(group: Any, before: str = "") -> set[str]:
    found: set[str] = set()
    for name, command in group.commands.items():
        found |= commands_of(command, f"{before}{name} ") if hasattr(command, "commands") else {f"{before}{name}"}
    return found


def test_the_readme_has_every_command() -> None:
    listing = re.search(r"^## Commands\n\n((?:    .+\n)+)", README, re.MULTILINE)
    assert listing
    named: set[str] = set()
    for words in re.split(r"\||\n", re.sub(r"\[.*?\]|\b[A-Z]+\b", "", listing[1]).strip()):
        group, _, rest = words.strip().removeprefix("paifang ").partition(" ")
        named |= {f"{group} {name}".strip() for name in rest.strip().split("/")}
    assert named == commands_of(typer.main.get_command(application({})))


def test_the_readme_has_every_response_header() -> None:
    in_code = set(re.findall(r'"(x-paifang-[a-z-]+)"', SOURCES))
    assert set(re.findall(r"`(x-paifang-[a-z-]+)`", README)) == in_code


def test_every_error_code_of_the_readme_is_in_the_code() -> None:
    table = README[README.index("| status | codes |") : README.index("\n## Plugins")]
    codes = set(re.findall(r"`([a-z_]+)`", table)) - {"param"}
    assert len(codes) > 25
    assert {code for code in codes if f'"{code}"' not in SOURCES} == set()


@pytest.fixture
async def samples(tmp_path: Path) -> AsyncIterator[dict[str, set[str]]]:
    """{metric: its labels}, after requests that met everything that is counted."""
    busy = {"adapter": "simulator", "fail": {"status": 429}}
    routes = [files.route("busy", "busy", priority=1), files.route("good", "good", priority=2)]
    file = files.write(
        tmp_path,
        providers={"busy": busy, "good": files.SIMULATOR},
        models={"m": files.model(*routes)},
        keys=[files.key("all", files.KEY)],
    )
    gateway = await Gateway.open(file, {})
    url = f"http://127.0.0.1:{await gateway.listen('127.0.0.1', 0)}"
    for counts in (gateway.app.faults.failures, gateway.app.faults.stalls):
        counts["./mine.py", "authorize"] += 1
    for _ in range(MOST):
        gateway.snapshot.chain.strike("access_log", "observe", "waited too long")
    async with aiohttp.ClientSession(url) as session:
        for key, status in ((files.KEY, 200), ("sk-unknown", 401)):
            body = {"model": "m", "messages": files.HI}
            headers = {"authorization": f"Bearer {key}"}
            async with session.post("/v1/chat/completions", json=body, headers=headers) as response:
                assert response.status == status
        async with session.get("/metrics") as response:
            families = list(text_string_to_metric_families(await response.text()))
    yield {
        re.sub(r"_(bucket|count|sum)$", "", sample.name) if family.type == "histogram" else sample.name:
        sample.labels.keys() - {"le"}
        for family in families
        for sample in family.samples
    }
    await gateway.close()


async def test_the_readme_has_every_metric(samples: dict[str, set[str]]) -> None:
    section = README[README.index("\n## Metrics") : README.index("\n## Speed")]
    named = re.findall(r"`(paifang_\w+)(?:\{([\w,]+)\})?`", section)
    assert {name: set(labels.split(",")) - {""} for name, labels in named} == samples
