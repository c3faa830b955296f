"""Secret: a value that prints as ***** and is opened by name."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from proxy.environment import FromEnvironment


class Secret:
    """A credential. `str`, `repr`, logs and JSON show *****; `reveal()` gives the text to whoever must send it."""

    __slots__ = ("_text", "variables")

    def __init__(self, text: str, variables: tuple[str, ...] = ()) -> None:
        """variables: of the environment that it was read from, by name."""
        self._text = text
        self.variables = variables

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "Secret('*****')"

    def __str__(self) -> str:
        return "*****"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def made(value: Any, read: ValidatorFunctionWrapHandler) -> Secret:
            return cls(read(value), value.names if isinstance(value, FromEnvironment) else ())

        return core_schema.no_info_wrap_validator_function(
            made,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )
