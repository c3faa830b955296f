"""What is asked of POST /admin/v1/explain."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, StrictStr


class ExplainForm(BaseModel):
    """POST of a question: what would happen to a request?"""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: StrictStr
    """A model or an alias, as a client would ask for it."""
    key: StrictStr | None = None
    """A key's name; left out: a key without limits."""
    body: dict[str, Any] | None = None
    """The request; the answer then has what would be sent upstream."""
