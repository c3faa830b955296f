import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.secret import Secret
from tests.fakes.sections import SimulatorOptions, config_of, problems_of

BASE = """\
providers: {p: {adapter: simulator}}
models: {m: {family: f, free: true, routes: [{provider: p, model: x}]}}
"""
KEY = "k" * 24


def test_defaults(tmp_path: Path) -> None:
    config = config_of(BASE, tmp_path)
    assert config.server.model_dump() == {
        "host": "127.0.0.1",
        "port": 8080,
        "workers": 1,
        "max_body_bytes": 20971520,
        "drain_delay_s": 0,
        "drain_timeout_s": 30,
        "limits": {
            "requests": 2000,
            "connections": 4000,
            "connections_per_client": None,
            "loop_lag_ms": 1000,
            "memory_mb": None,
        },
        "hang_s": 30,
        "stall_s": 1,
    }
    assert config.store.model_dump() == {"url": "sqlite:///paifang.db", "durability": "power", "retention_days": 400}
    assert config.defaults.timeouts.model_dump() == {
        "connect_s": 5,
        "first_byte_s": 120,
        "idle_s": 120,
        "total_s": 1800,
    }
    assert (config.defaults.retry.attempts, config.defaults.on_disconnect) == (3, "cancel")
    assert (config.redis.url, bool(config.admin.token), config.metrics.listen) == (None, False, None)
    assert (config.keys, config.wallets, config.plugins) == ((), {}, None)
    model = config.models["m"]
    assert (model.output_cap, model.price, model.aliases) == (16384, None, ())
    route = model.routes[0]
    assert (route.name, route.priority, route.weight, route.enabled, route.cost) == (None, 1, 1, None, None)
    assert config.providers["p"].options == SimulatorOptions()


@pytest.mark.parametrize(
    ("said", "cap"),
    [("context_tokens: 8192", 4096), ("context_tokens: 1", 1), ("context_tokens: 8192, max_output_tokens: 8000", 8000)],
)
def test_a_cap_that_nobody_wrote_leaves_the_prompt_room(tmp_path: Path, said: str, cap: int) -> None:
    assert config_of(BASE.replace("free: true", f"free: true, {said}"), tmp_path).models["m"].output_cap == cap


def test_numbers_and_flags_are_read_from_the_environment(tmp_path: Path) -> None:
    text = (
        BASE.replace("free: true", "free: ${FREE}").replace("adapter: simulator", "adapter: simulator, delay_ms: ${MS}")
        + "server: {port: ${PORT}, drain_timeout_s: ${S}}\n"
        + "budget: {daily_usd: ${USD}, monthly_usd: ${NONE:-}}\n"
    )
    environ = {"FREE": "true", "PORT": "0", "S": "1.5", "USD": "0.123456789", "MS": "20"}
    config = config_of(text, tmp_path, environ)
    assert config.models["m"].free is True
    assert (config.server.port, config.server.drain_timeout_s) == (0, 1.5)
    assert (config.budget.daily_usd, config.budget.monthly_usd) == (Decimal("0.123456789"), None)
    assert config.providers["p"].options == SimulatorOptions(delay_ms=20)


def test_environment_text_of_the_wrong_kind(tmp_path: Path) -> None:
    text = BASE + "server: {port: ${PORT}}\nmetrics: {listen: ${WHERE}}\n"
    assert problems_of(text, tmp_path, {"PORT": "80a", "WHERE": "hunter2"}) == [
        "3:16: server.port: found the value of ${PORT}, expected a whole number",
        '4:19: metrics.listen: found the value of ${WHERE}, expected "host:port" such as 127.0.0.1:9090',
    ]


def test_empty_sections_are_as_if_left_out(tmp_path: Path) -> None:
    config = config_of(BASE + "server:\nkeys:\nwallets: {a: , b: {}}\nbudget:\n", tmp_path)
    assert (config.server.port, config.keys, list(config.wallets)) == (8080, (), ["a", "b"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("server: {port: true}", "3:16: server.port: found true, expected a whole number"),
        ('server: {port: "80"}', '3:16: server.port: found "80", expected a whole number: remove the quotes'),
        ("server: {port: 80.5}", "3:16: server.port: found 80.5, expected a whole number"),
        ("server: {port: 65536}", "3:16: server.port: found 65536, expected at most 65535"),
        ("server: {port: -1}", "3:16: server.port: found -1, expected at least 0"),
        ("server: {port: }", "3:15: server.port: found nothing, expected a whole number"),
        ("server: {host: 123}", '3:16: server.host: found 123, expected text: write "123" in quotes'),
        ("server: {host: true}", '3:16: server.host: found true, expected text: write "true" in quotes'),
        ('server: {host: ""}', '3:16: server.host: found "", expected text of 1 or more characters'),
        ("server: {drain_timeout_s: 0}", "3:27: server.drain_timeout_s: found 0, expected more than 0"),
        ("server: {drain_timeout_s: x}", '3:27: server.drain_timeout_s: found "x", expected a number'),
        ("server: [a]", "3:9: server: found a list, expected a mapping"),
        ("server: {prot: 1}", '3:10: server.prot: unknown key "prot": did you mean "port"?'),
        ("redis: {zzz: 1}", '3:9: redis.zzz: unknown key "zzz", expected one of url'),
        ("sever: {}", '3:1: sever: unknown key "sever": did you mean "server"?'),
        (
            "store: {url: mysql://u:hunter2@h/d}",
            "3:14: store.url: found no store that this version knows, expected one such as sqlite:///paifang.db",
        ),
        (
            "store: {url: postgresql://u:hunter2@h/d}",
            "3:14: store.url: found PostgreSQL, and this version keeps its books in SQLite alone: write sqlite:///paifang.db",
        ),
        (
            "store: {durability: powr}",
            '3:21: store.durability: found "powr", expected power or process: did you mean "power"?',
        ),
        ("admin: {token: 12345}", "3:16: admin.token: found a number, expected text: put it in quotes"),
        ("redis: {url: 12345}", "3:14: redis.url: found a number, expected text: put it in quotes"),
        ("metrics: {listen: 9090}", '3:19: metrics.listen: found 9090, expected text: write "9090" in quotes'),
        ("metrics: {listen: h:x}", '3:19: metrics.listen: found "h:x", expected "host:port" such as 127.0.0.1:9090'),
        ("defaults: {retry: {attempts: 4}}", "3:30: defaults.retry.attempts: found 4, expected at most 3"),
        (
            "exchange_rates: {cny: {usd: 1, date: 2026-11-20}}",
            '3:18: exchange_rates.cny: found "cny", expected a currency\'s three capital letters, such as USD or CNY',
        ),
        (
            "exchange_rates: {CNY: {usd: 0, date: 2026-11-20}}",
            "3:29: exchange_rates.CNY.usd: found 0, expected more than 0",
        ),
        (
            "exchange_rates: {CNY: {usd: 1, date: 2026-11-31}}",
            "3:38: exchange_rates.CNY.date: found 2026-11-31, which no calendar has: expected a date such as 2026-11-20",
        ),
        ("exchange_rates: {CNY: {usd: 1}}", "3:18: exchange_rates.CNY.date: required, but missing: The day this rate is of"),
        ("budget: {daily_usd: true}", "3:21: budget.daily_usd: found true, expected a number"),
        ("budget: {daily_usd: -0.5}", "3:21: budget.daily_usd: found -0.5, expected at least 0"),
        ("budget: {daily_usd: 0.0000000001}", "3:21: budget.daily_usd: found 0.0000000001, expected at most 9 decimals"),
    ],
)
def test_one_wrong_value(line: str, problem: str, tmp_path: Path) -> None:
    (found,) = problems_of(BASE + line + "\n", tmp_path)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("address", "kept"),
    [("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"), ("https://[::1]/", "https://[::1]"), ("${NONE:-}", None)],
)
def test_base_url(address: str, kept: str | None, tmp_path: Path) -> None:
    config = config_of(BASE.replace("simulator", f'simulator, base_url: "{address}"'), tmp_path)
    assert config.providers["p"].base_url == kept


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://h/", "found no address of that kind, expected one such as https://host/path"),
        ("https://", "found no address of that kind, expected one such as https://host/path"),
        ("https://h:99999/", "found no address of that kind, expected one such as https://host/path"),
        ("https://h/a b", "found no address of that kind, expected one such as https://host/path"),
        (
            "https://u:hunter2@h/",
            "found a user or password in the address: remove them, credentials have keys of their own",
        ),
        ("https://h/?key=x", "found a query or fragment in the address: remove everything from the ? or # on"),
        ("https://h/#x", "found a query or fragment in the address: remove everything from the ? or # on"),
    ],
)
def test_base_url_that_is_none(address: str, message: str, tmp_path: Path) -> None:
    text = BASE.replace("simulator", f'simulator, base_url: "{address}"')
    assert problems_of(text, tmp_path) == [f"1:47: providers.p.base_url: {message}"]


def test_names_of_providers_and_routes_fit_a_header(tmp_path: Path) -> None:
    text = BASE.replace("provider: p", "name: 线路, provider: p")
    assert problems_of(text, tmp_path) == [
        '2:53: models.m.routes[0].name: found "线路", expected letters, digits and signs of ASCII: '
        "it is sent in a response header"
    ]
    assert problems_of(BASE.replace("f,", '" f",'), tmp_path) == [
        "2:22: models.m.family: found spaces around the name, or characters that can't be seen: remove them"
    ]


def test_an_adapters_own_keys_become_its_options(tmp_path: Path) -> None:
    text = BASE.replace("simulator", "simulator, delay_ms: 5, sizes: [1, 2], timeouts: {idle_s: 2}")
    provider = config_of(text, tmp_path).providers["p"]
    assert provider.options == SimulatorOptions(delay_ms=5, sizes=(1, 2))
    assert provider.timeouts is not None
    assert (provider.timeouts.idle_s, provider.timeouts.total_s) == (2, None)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("delay_msx: 1", '1:37: providers.p.delay_msx: unknown key "delay_msx": did you mean "delay_ms"?'),
        ("api_kay: x", '1:37: providers.p.api_kay: unknown key "api_kay": did you mean "api_key"?'),
        ("options: {}", '1:37: providers.p.options: unknown key "options", expected one of adapter, api_key, '),
        ("delay_ms: -1", "1:47: providers.p.delay_ms: found -1, expected at least 0"),
        ("delay_ms: true", "1:47: providers.p.delay_ms: found true, expected a number"),
        ("ratio: '1.5'", '1:44: providers.p.ratio: found "1.5", expected a number: remove the quotes'),
        ("loud: 1", "1:43: providers.p.loud: found 1, expected true or false"),
        ("sizes: [1, true]", "1:48: providers.p.sizes[1]: found true, expected a number"),
        ("sizes: 1", "1:44: providers.p.sizes: found 1, expected a list"),
        ("api_key: 12345678", "1:46: providers.p.api_key: found a number, expected text: put it in quotes"),
        (
            "timeouts: {connect: 5}",
            '1:48: providers.p.timeouts.connect: unknown key "connect": did you mean "connect_s"?',
        ),
    ],
)
def test_wrong_keys_of_a_provider(keys: str, problem: str, tmp_path: Path) -> None:
    (found,) = problems_of(BASE.replace("simulator", f"simulator, {keys}"), tmp_path)
    assert found.startswith(problem)


def test_a_wrong_key_of_an_adapter_does_not_hide_another(tmp_path: Path) -> None:
    assert problems_of(BASE.replace("simulator", "simulator, ratio: x, delay_msx: 1, loud: 1"), tmp_path) == [
        '1:44: providers.p.ratio: found "x", expected a number',
        '1:47: providers.p.delay_msx: unknown key "delay_msx": did you mean "delay_ms"?',
        "1:67: providers.p.loud: found 1, expected true or false",
    ]


def test_weight_zero_names_the_switch(tmp_path: Path) -> None:
    assert problems_of(BASE.replace("model: x", "model: x, weight: 0"), tmp_path) == [
        '2:78: models.m.routes[0].weight: found 0, expected at least 1: write "enabled: false" to switch a route off'
    ]


def test_prices_are_exact(tmp_path: Path) -> None:
    price = "price: {input: 0.70, output: 2, cached_input: 0.000001, tools: {web_search: 0.004}, service_tiers: {fast: 2}}"
    config = config_of(BASE.replace("free: true", price), tmp_path)
    found = config.models["m"].price
    assert found is not None
    assert (found.currency, found.input, found.output, found.cached_input, found.reasoning) == (
        "USD",
        Decimal("0.70"),
        Decimal(2),
        Decimal("0.000001"),
        None,
    )
    assert (found.tools, found.service_tiers) == ({"web_search": Decimal("0.004")}, {"fast": Decimal(2)})


def test_a_price_finer_than_is_counted_is_refused(tmp_path: Path) -> None:
    assert problems_of(BASE.replace("free: true", "price: {input: 0.0000001, output: 1}"), tmp_path) == [
        "2:40: models.m.price.input: found 0.0000001, expected at most 6 decimals"
    ]


def keyed(rest: str) -> str:
    return f"{BASE}keys:\n- {{name: ci, {rest}}}\n"


@pytest.mark.parametrize(
    ("rest", "expires_at"),
    [
        ("expires_at: 2027-01-01", "2027-01-01T00:00:00+00:00"),
        ("expires_at: 2027-01-01, timezone: Asia/Singapore", "2026-12-31T16:00:00+00:00"),
        ("timezone: Africa/Cairo, expires_at: 2027-04-30", "2027-04-29T22:00:00+00:00"),
        ('expires_at: "2027-01-01T18:00:00", timezone: Asia/Singapore', "2027-01-01T10:00:00+00:00"),
        ('expires_at: "2027-01-01T18:00:00Z", timezone: Asia/Singapore', "2027-01-01T18:00:00+00:00"),
        ("expires_at: ${NONE:-}", None),
    ],
)
def test_keys_expire_in_their_zone(rest: str, expires_at: str | None, tmp_path: Path) -> None:
    key = config_of(keyed(f"key: {KEY}, {rest}"), tmp_path).keys[0]
    assert key.expires_at == (None if expires_at is None else dt.datetime.fromisoformat(expires_at))


def test_an_empty_key_is_off_and_no_problem(tmp_path: Path) -> None:
    config = config_of(keyed("key: ${CI_KEY:-}"), tmp_path)
    assert config.keys[0].key == Secret("")


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("key: short", "4:19: keys[0].key: found a key of 5 characters, expected at least 24"),
        (
            f'key: "{KEY} x"',
            "4:19: keys[0].key: found a key with spaces or characters beyond ASCII, which no client can send: use another",
        ),
        ("models: [m]", "4:3: keys[0].key: required, but missing: The key itself, at least 24 characters"),
        (
            f"key: {KEY}, models: []",
            "4:53: keys[0].models: found an empty list, which would allow nothing: leave the key out to allow all",
        ),
        (
            f"key: {KEY}, timezone: Asia/Singapur",
            '4:55: keys[0].timezone: found "Asia/Singapur", expected a time zone such as Asia/Singapore: '
            'did you mean "Asia/Singapore"?',
        ),
        (f"key: {KEY}, timezone: ../etc/passwd", '4:55: keys[0].timezone: found "../etc/passwd", expected a time zone'),
        (
            f"key: {KEY}, expires_at: 2027-02-30",
            "4:57: keys[0].expires_at: found 2027-02-30, expected a date such as 2027-01-01 or 2027-01-01T18:00:00",
        ),
        (f"key: {KEY}, expires_at: 5", "4:57: keys[0].expires_at: found 5, expected a date such as 2027-01-01"),
        (f"key: {KEY}, expires_at: soon", '4:57: keys[0].expires_at: found "soon", expected a date such as 2027-01-01'),
        (f"key: {KEY}, rate_limit: {{concurrent: 0}}", "4:70: keys[0].rate_limit.concurrent: found 0, expected at least 1"),
    ],
)
def test_wrong_keys(rest: str, problem: str, tmp_path: Path) -> None:
    (found,) = problems_of(keyed(rest), tmp_path)
    assert found.startswith(problem)


@pytest.mark.parametrize("credential", ["ключ-012345", "sk-0123…6789", "sk-012345 ", "\\tsk-012345", "sk-01\\r\\n23", " "])
@pytest.mark.parametrize("name", ["api_key", "access_key", "secret_key"])
def test_a_credential_that_no_header_can_hold(name: str, credential: str, tmp_path: Path) -> None:
    text = BASE.replace("simulator", f'ark, {name}: "{credential}"')
    assert problems_of(text, tmp_path)[-1] == (
        f"1:{33 + len(name)}: providers.p.{name}: found a credential that can't be sent, expected printable ASCII without "
        "spaces or line breaks around it: copy the whole of it anew"
    )


def test_a_credential_that_can_not_be_sent_names_its_variable(tmp_path: Path) -> None:
    (problem,) = problems_of(BASE + "admin: {token: ${TOKEN}}\n", tmp_path, {"TOKEN": "ключ"})
    assert problem.startswith("3:16: admin.token: found a credential in TOKEN that can't be sent, expected printable ASCII")
    assert "ключ" not in problem


def test_nothing_of_a_config_shows_a_secret(tmp_path: Path) -> None:
    text = keyed(f"key: {KEY}") + "store: {url: \"sqlite:///hunter2.db\"}\nadmin: {token: hunter2}\n"
    config = config_of(text.replace("simulator", "simulator, api_key: hunter2"), tmp_path)
    assert "hunter2" not in repr(config)
    assert KEY not in repr(config)
    assert config.providers["p"].api_key.reveal() == "hunter2"
