from decimal import Decimal

import pytest

from proxy.errors import ConfigError
from proxy.yamltext import SPOILT, read, render_path


def lines(text: str) -> list[str]:
    """What is wrong with the text, fatal or not."""
    try:
        problems = read(text, "g.yaml").problems
    except ConfigError as error:
        problems = error.problems
    return [problem.render("").removeprefix(":") for problem in problems]


def test_plain_data_with_exact_numbers() -> None:
    document = read('a: {b: 0.70, "c": [1, true, ~, x]}\nd: |\n  two\n  lines\n', "g.yaml")
    assert document.data == {"a": {"b": Decimal("0.70"), "c": [1, True, None, "x"]}, "d": "two\nlines\n"}
    assert document.problems == ()


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_document_is_none(text: str) -> None:
    assert read(text, "g.yaml").data is None


def test_values_and_keys_have_places() -> None:
    document = read("a:\n- b: {c: 1, d:}\n  e: x\n", "g.yaml")
    assert document.place(("a", 0, "b", "c")) == (2, 10)
    assert document.key_place(("a", 0, "b", "d")) == (2, 13)
    assert document.place(("a", 0, "e")) == (3, 6)


def test_what_is_missing_is_placed_at_what_is_around_it() -> None:
    document = read("a:\n  b: 1\n", "g.yaml")
    assert document.place(("a", "nothing", "here")) == (2, 3)
    assert document.key_place(("a", "nothing")) == (2, 3)
    assert read("", "g.yaml").place(("a",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: ${NAME}, b: 1}", "${NAME}"),
        ("{a: ${NAME:-}, b: 1}", "${NAME:-}"),
        ("{a: ${NAME:-[x, y]}, b: 1}", "${NAME:-[x, y]}"),
        ("{a: ${URL:-https://h/v1}, b: 1}", "${URL:-https://h/v1}"),
        ("{a: x${NAME}y, b: 1}", "x${NAME}y"),
        ('{a: "${NAME:-a, b}", b: 1}', "${NAME:-a, b}"),
        ("{a: $${NAME}, b: 1}", "$${NAME}"),
        ("{a: \ue000${NAME}\ue001, b: 1}", "\ue000${NAME}\ue001"),
    ],
)
def test_references_need_no_quotes_in_braces(text: str, value: str) -> None:
    document = read(text, "g.yaml")
    assert document.data == {"a": value, "b": 1}
    assert document.place(("b",)) == (1, len(text) - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ['3:1: a: the key "a" is there twice, first in line 1: remove one']),
        ("a: {b: 1, b: {c: no}}", [
            '1:11: a.b: the key "b" is there twice, first in line 1: remove one',
            '1:18: a.b.c: no is read as false by YAML 1.1 and as text by YAML 1.2: write false or, for text, "no" in quotes',
        ]),
        ("a: &x 1\nb: *x\n", [
            "1:4: a: anchors are not read here: remove &x",
            "2:4: b: aliases are not read here: write the value of *x out",
        ]),
        ("a: [*undefined]", ["1:5: a[0]: aliases are not read here: write the value of *undefined out"]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", [
            "1:4: a: anchors are not read here: remove &x",
            '3:3: c["<<"]: merge keys are not read here: write the members out',
            "3:7: c: aliases are not read here: write the value of *x out",
        ]),
        ("a: !!python/object:os.system {x: 1}", ["1:4: a: tags are not read here: remove !!python/object:os.system"]),
        ("a: !!str 1\nb: !thing x", [
            "1:4: a: tags are not read here: remove !!str",
            "2:4: b: tags are not read here: remove !thing",
        ]),
        ("1: a", ['1:1: 1: the key 1 is not text: write "1" in quotes']),
        ("true: a", ['1:1: true: the key true is not text: write "true" in quotes']),
        ("on: a", ['1:1: on: the key on is read as true by YAML 1.1 and as text by YAML 1.2: write "on" in quotes']),
        ("? [a]\n: 1\n", ["1:3: this key is not text: write plain text before the colon"]),
        ("a: 1\n---\nb: 2\n", ["2:1: a second document begins here: remove the line with ---"]),
    ],
)  # fmt: skip
def test_yaml_that_is_not_read_here(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


def test_a_value_that_can_not_be_read_is_marked() -> None:
    assert read("a: [010, *x, 1]", "g.yaml").data == {"a": [SPOILT, SPOILT, 1]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", "2:1: a tab can't indent YAML: use spaces"),
        ("a: b: c\n", '1:5: unexpected ": " here: put the value in quotes, or mend the indentation'),
        ("a: 1\n  b: 2\n", '2:4: unexpected ": " here: put the value in quotes, or mend the indentation'),
        ("a:\n  b:2\n  c: 3\n", "2:4: a space is missing after this colon"),
        ("a: 1\nbc\nd: 2\n", '2:1: expected "key: value": a colon, or the space after it, is missing'),
        ("a: [1, 2\nb: 3\n", "2:2: expected a comma or ], which closes what opens in line 1"),
        ("a: {b: 1\nc: 2\n", "2:2: expected a comma or }, which closes what opens in line 1"),
        ("a: {b: 1}}", "1:10: } closes nothing: remove it"),
        ("a: 'x\nb: 1\n", "1:4: the quote that opens here is never closed"),
        ('a: "\\q"\n', "1:6: \\q is no escape: write \\\\q, or use single quotes"),
        ('a: "x" y\n', "1:8: not part of what begins in line 1: check indentation and quotes"),
        ("a:\n  b: 1\n c: 2\n", "3:2: not part of what begins in line 1: check indentation and quotes"),
        ("a: @x\n", "1:4: a value can't begin with @: put it in quotes"),
        ("a: *.x\n", "1:5: a value that begins with * or & must stand in quotes"),
        ("a: - b\n", '1:4: unexpected "- " here: begin the list in a line of its own'),
        ("a: ? b\n", '1:4: unexpected "? " here: put the value in quotes'),
        ("a: ]\n", "1:4: expected a value, found ]"),
        ("a: |x\n b\n", "1:5: | and > end their line: begin the text in the next one, or put it in quotes"),
        ("a: !e!x 1\n", "1:4: tags are not read here: remove !e!, or put the value in quotes"),
        ("{a: 1} x\n", "1:8: nothing may follow the end of the document: check the brackets"),
        ("a: {b: ${X, c: 1}\n", "1:9: expected ${NAME} or ${NAME:-default}: a } is missing, or the name is none"),
        ("a: \x07\n", "1:4: the character U+0007 is not allowed in YAML: remove it"),
        ("[" * 100_000, "1:52: nested deeper than 50 levels"),
        ("a: " + "{a: " * 60 + "1" + "}" * 60, "1:204: nested deeper than 50 levels"),
        ("a: 1\n" * 300_000, "1:1: the file is larger than 1048576 characters"),
    ],
    ids=lambda value: value[:40],
)
def test_syntax_errors_in_plain_english(text: str, expected: str) -> None:
    assert lines(text) == [expected]


def test_a_syntax_error_does_not_hide_the_problems_before_it() -> None:
    assert lines("a: 010\nb: @x\n") == [
        '1:4: a: 010 is read as 8 by YAML 1.1 and as 10 by YAML 1.2: write 8, 10 or, for text, "010" in quotes',
        "2:4: a value can't begin with @: put it in quotes",
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("models", "doubao-seed", "routes", 0, "provider"), "models.doubao-seed.routes[0].provider"),
        (("models", "gpt-4.1"), 'models["gpt-4.1"]'),
        ((), ""),
    ],
)
def test_render_path(path: tuple[str | int, ...], text: str) -> None:
    assert render_path(path) == text
