from decimal import Decimal

import pytest

from proxy.yamlscalars import UnclearScalar, read_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-3", -3),
        ("+7", 7),
        ("0x1F", 31),
        ("0.10", Decimal("0.10")),
        (".5", Decimal("0.5")),
        ("1.", Decimal("1")),
        ("1.5e+3", Decimal("1500")),
        ("0.1234567890123456789", Decimal("0.1234567890123456789")),
        ("y", "y"),
        ("2027-01-01", "2027-01-01"),
        ("08:30", "08:30"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("doubao-seed-2-0-lite-260428", "doubao-seed-2-0-lite-260428"),
        ("1.2.3", "1.2.3"),
        ("Nope", "Nope"),
    ],
)
def test_a_scalar_of_one_meaning(text: str, value: object) -> None:
    assert (read_plain(text), type(read_plain(text))) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", 'no is read as false by YAML 1.1 and as text by YAML 1.2: write false or, for text, "no" in quotes'),
        ("Yes", 'Yes is read as true by YAML 1.1 and as text by YAML 1.2: write true or, for text, "Yes" in quotes'),
        ("on", 'on is read as true by YAML 1.1 and as text by YAML 1.2: write true or, for text, "on" in quotes'),
        ("OFF", 'OFF is read as false by YAML 1.1 and as text by YAML 1.2: write false or, for text, "OFF" in quotes'),
        ("010", '010 is read as 8 by YAML 1.1 and as 10 by YAML 1.2: write 8, 10 or, for text, "010" in quotes'),
        ("0o10", '0o10 is read as text by YAML 1.1 and as 8 by YAML 1.2: write 8 or, for text, "0o10" in quotes'),
        ("08", '08 is read as text by YAML 1.1 and as 8 by YAML 1.2: write 8 or, for text, "08" in quotes'),
        ("007", '007 would lose its leading zeros: write 7 or, for text, "007" in quotes'),
        (
            "12:30:45",
            '12:30:45 is read as 45045 by YAML 1.1 and as text by YAML 1.2: write 45045 or, for text, "12:30:45" in quotes',
        ),
        (
            "-1:30.5",
            '-1:30.5 is read as -90.5 by YAML 1.1 and as text by YAML 1.2: write -90.5 or, for text, "-1:30.5" in quotes',
        ),
        ("1_000", '1_000 is read as 1000 by YAML 1.1 and as text by YAML 1.2: write 1000 or, for text, "1_000" in quotes'),
        ("0b11", '0b11 is read as 3 by YAML 1.1 and as text by YAML 1.2: write 3 or, for text, "0b11" in quotes'),
        ("-0x1F", '-0x1F is read as -31 by YAML 1.1 and as text by YAML 1.2: write -31 or, for text, "-0x1F" in quotes'),
        ("1e3", '1e3 is read as text by YAML 1.1 and as 1000 by YAML 1.2: write 1000 or, for text, "1e3" in quotes'),
        (".inf", '.inf is not a number one can count with: write a finite number or, for text, ".inf" in quotes'),
        (".NaN", '.NaN is not a number one can count with: write a finite number or, for text, ".NaN" in quotes'),
        ("1.0e+99", '1.0e+99 is out of range: write a smaller number or, for text, "1.0e+99" in quotes'),
        ("1e999999999", '1e999999999 is out of range: write a smaller number or, for text, "1e999999999" in quotes'),
        ("9" * 5000, 'a number of 5000 characters is too long: write a shorter one or, for text, "…" in quotes'),
    ],
)
def test_a_scalar_of_two_meanings_names_both(text: str, message: str) -> None:
    with pytest.raises(UnclearScalar) as caught:
        read_plain(text)
    assert str(caught.value) == message
