from pathlib import Path

import pytest

from proxy.environment import FromEnvironment, environment_beside, expand
from proxy.yamltext import SPOILT, read

UNREADABLE = 'this line can\'t be read: write NAME=value, or NAME="value" with both quotes'
NO_EQUALS = "there is no = in this line: write NAME=value, or remove it"
ENVIRON = {"A": "one", "B": "${A}", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${A:-z}", "one"),
        ("${NONE:-z}", "z"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-z}", "z"),
        ("${NONE:-a:-b}", "a:-b"),
        ("${B}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A", "$A"),
    ],
)
def test_references_are_expanded_once(text: str, value: str) -> None:
    assert expand(read(f"k: '{text}'", "g.yaml"), ENVIRON) == ({"k": value}, [])


def test_every_scalar_value_is_expanded_and_no_key() -> None:
    document = read("a: [${A}, {b: ${A}}]\n${A}: 1\n", "g.yaml")
    assert expand(document, ENVIRON) == ({"a": ["one", {"b": "one"}], "${A}": 1}, [])


def test_what_came_out_of_the_environment_is_text_that_says_so() -> None:
    data, _ = expand(read("a: ${PORT}\nb: $${PORT}\n", "g.yaml"), {"PORT": "8080"})
    assert isinstance(data["a"], FromEnvironment)
    assert data["a"].names == ("PORT",)
    assert not isinstance(data["b"], FromEnvironment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NO}", "the environment variable NO is not set: set it, or write ${NO:-default} (${NO:-} for an empty one)"),
        ("x ${A", "a ${ is never closed: add the }, or write $${ for the two characters themselves"),
        ("${}", "${} names no variable: expected ${NAME} or ${NAME:-default}"),
        ("${1A}", "${1A} names no variable: expected ${NAME} or ${NAME:-default}"),
        ("${A?x}", "${A?x} names no variable: expected ${NAME} or ${NAME:-default}"),
        ("${A:-${B}}", "the default of ${A} can't hold another reference: write a plain value"),
    ],
)
def test_a_wrong_reference_is_a_problem_at_its_place(text: str, message: str) -> None:
    data, problems = expand(read(f"a:\n  b: '{text}'\n", "g.yaml"), ENVIRON)
    assert data == {"a": {"b": SPOILT}}
    assert [problem.render("g.yaml") for problem in problems] == [f"g.yaml:2:6: a.b: {message}"]


def test_dotenv_beside_the_file_yields_to_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=${A}\n# C\nexport C='quoted'\nD=\n", encoding="utf-8-sig")
    found = environment_beside(tmp_path / "gateway.yaml", {"A": "real", "E": "e"})
    assert found == ({"A": "real", "B": "${A}", "C": "quoted", "D": "", "E": "e"}, [])


def test_no_dotenv(tmp_path: Path) -> None:
    assert environment_beside(tmp_path / "gateway.yaml", {"A": "real"}) == ({"A": "real"}, [])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('A="unclosed\nB=2\n', {1: UNREADABLE}),
        ("B=2\r\n\r\nA='unclosed\r\n\r\nsk-pasted\r\n", {3: UNREADABLE, 5: NO_EQUALS}),
        ("export A\nARK KEY=sk-pasted\nB=2", {1: NO_EQUALS, 2: UNREADABLE}),
    ],
)
def test_lines_of_the_dotenv_that_say_nothing(text: str, lines: dict[int, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(text, encoding="utf-8", newline="")
    environment, problems = environment_beside(tmp_path / "gateway.yaml", {})
    assert environment == {"B": "2"}
    assert [problem.render("gateway.yaml") for problem in problems] == [
        f"{tmp_path}/.env:{line}: {message}" for line, message in lines.items()
    ]


def test_a_dotenv_that_can_not_be_read(tmp_path: Path) -> None:
    def told() -> list[str]:
        return [problem.render("gateway.yaml") for problem in environment_beside(tmp_path / "gateway.yaml", {})[1]]

    dotenv = tmp_path / ".env"
    dotenv.write_bytes("A=1\n".encode("utf-16"))
    assert told() == [f"{dotenv}: this is not UTF-8: save the file in that encoding"]
    dotenv.unlink()
    dotenv.mkdir()
    assert told() == []  # many a virtualenv is called so
