"""The tables, as SQLAlchemy Core has them. Money is integer nano-USD; SQLite's tables are STRICT, so that it stays so.

owner         each life of a gateway on this store; its epoch marks the holds it made
subject       who and what a usage row or a hold is about, kept once
price         prices that made charges, as JSON, kept once
spending      a budget's or a wallet's window: a derived cache of holds and entries, recomputed by `ledger verify`; `carried` is
              what had been spent in it before it was watched
hold          what a request may cost at most, from admission to its end
hold_leg      the windows that a hold stands in
entry         the ledger itself: amounts moved from one account to another; append-only, so all accounts add up to zero. Of a
              request there is one of each kind, only of exposures and what became of them as many as there are legs
usage_row     the usage log: one row a request
virtual_key   keys made at run time, as digests
meta          facts about the store itself
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem

from proxy.money import MAX_NANOUSD

Int = BigInteger().with_variant(Integer(), "sqlite")
MAX_BALANCE = 9 * 10**18
"""Just inside 64 bits."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _table(name: str, *items: SchemaItem, **options: Any) -> Table:
    return Table(name, metadata, *items, sqlite_strict=True, **options)


def _int(name: str, *items: SchemaItem, **options: Any) -> Column[int]:
    return Column(name, Int, *items, nullable=False, **options)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _range(column: str, lowest: int, highest: int) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN {lowest} AND {highest}", name=column)


def _one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(map(repr, values))})", name=column)


owner = _table(
    "owner",
    _int("epoch", primary_key=True),
    _int("started_ns"),
    _int("seen_ns"),
    _text("state"),
    _one_of("state", "live", "closed", "dead"),
)

subject = _table(
    "subject",
    _int("id", primary_key=True),
    _text("key"),
    _text("wallet"),
    _text("model"),
    _text("family"),
    _text("route"),
    _text("provider"),
    UniqueConstraint("key", "wallet", "model", "family", "route", "provider", name="uq_subject"),
)

price = _table("price", _int("id", primary_key=True), _text("stamp", unique=True))

spending = _table(
    "spending",
    _int("id", primary_key=True),
    _text("scope"),
    _text("period"),
    _int("start_s"),
    _int("end_s"),
    _int("credit"),
    _int("posted"),
    _int("pending"),
    _int("overrun"),
    _int("carried"),
    UniqueConstraint("scope", "period", "start_s", name="uq_spending"),
    CheckConstraint("start_s < end_s", name="span"),
    _range("credit", -MAX_BALANCE, MAX_BALANCE),
    _range("posted", 0, MAX_BALANCE),
    _range("pending", 0, MAX_BALANCE),
    _range("overrun", 0, MAX_BALANCE),
    _range("carried", 0, MAX_BALANCE),
)

hold = _table(
    "hold",
    _int("id", primary_key=True, autoincrement=False),
    _text("request_id"),
    _int("subject_id", ForeignKey("subject.id")),
    _text("user"),
    _int("amount"),
    _int("created_ns"),
    _text("state"),
    _int("dispatched"),
    _int("checkpoint"),
    _int("checkpoint_input"),
    _int("checkpoint_output"),
    _int("posted"),
    _range("amount", 0, MAX_NANOUSD),
    _range("dispatched", 0, 1),
    _range("checkpoint", 0, MAX_NANOUSD),
    _range("posted", 0, MAX_NANOUSD),
    _one_of("state", "open", "posted", "void", "recovered"),
)
Index("uq_hold_request_id", hold.c.request_id, unique=True, sqlite_where=text("state <> 'void'"),
      postgresql_where=text("state <> 'void'"))  # fmt: skip
Index("ix_hold_open", hold.c.id, sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'"))

hold_leg = _table(
    "hold_leg",
    _int("hold_id", ForeignKey("hold.id"), primary_key=True),
    _int("spending_id", ForeignKey("spending.id"), primary_key=True),
    Column("posted", Int),
    CheckConstraint(f"posted IS NULL OR posted BETWEEN 0 AND {MAX_NANOUSD}", name="posted"),
    sqlite_with_rowid=False,
)

ENTRY_KINDS = ("charge", "recovered", "late", "exposure", "reconciled", "refund", "topup", "adjust")
entry = _table(
    "entry",
    _int("id", primary_key=True),
    _text("request_id"),
    _text("kind"),
    _text("debit"),
    _text("credit"),
    _int("amount"),
    Column("price_id", Int, ForeignKey("price.id")),
    _text("actor"),
    _text("line"),
    _int("at_ns"),
    _int("leg"),
    UniqueConstraint("request_id", "kind", "leg", name="uq_entry"),
    _range("amount", 1, MAX_NANOUSD),
    _one_of("kind", *ENTRY_KINDS),
)
EXPOSURES = text("kind = 'exposure'")
Index("ix_entry_exposure", entry.c.at_ns, sqlite_where=EXPOSURES, postgresql_where=EXPOSURES)

usage_row = _table(
    "usage_row",
    _text("request_id", primary_key=True),
    _text("client_request_id"),
    _int("received_ns"),
    _int("subject_id", ForeignKey("subject.id")),
    _text("user"),
    _int("attempts"),
    _int("input_tokens"),
    _int("cached_input_tokens"),
    _int("output_tokens"),
    _int("reasoning_tokens"),
    _int("estimated"),
    _int("debit"),
    Column("cost", Int),
    _int("latency_ms"),
    Column("first_token_ms", Int),
    _int("overhead_ms"),
    _int("status"),
    _text("code"),
    _text("ended"),
    _int("stream"),
    _text("also_counted"),
    _range("debit", 0, MAX_NANOUSD),
)
Index("ix_usage_row_received_ns", usage_row.c.received_ns, usage_row.c.subject_id, usage_row.c.debit)

virtual_key = _table(
    "virtual_key",
    _text("name", primary_key=True),
    _text("digest", unique=True),
    _text("hint"),
    Column("families", Text),
    Column("models", Text),
    Column("wallet", Text),
    _text("timezone"),
    Column("daily_nanousd", Int),
    Column("monthly_nanousd", Int),
    _text("family_budgets"),
    Column("requests_per_minute", Int),
    Column("tokens_per_minute", Int),
    Column("concurrent", Int),
    Column("expires_s", Int),
    _int("created_s"),
    Column("revoked_s", Int),
)

meta = _table("meta", _text("name", primary_key=True), _int("value"))
