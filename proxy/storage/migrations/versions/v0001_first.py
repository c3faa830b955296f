"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", Int, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
        sqlite_strict=True,
    )
    op.create_table(
        "owner",
        sa.Column("epoch", Int, nullable=False),
        sa.Column("started_ns", Int, nullable=False),
        sa.Column("seen_ns", Int, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('live', 'closed', 'dead')", name=op.f("ck_owner_state")),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_owner")),
        sqlite_strict=True,
    )
    op.create_table(
        "price",
        sa.Column("id", Int, nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price")),
        sa.UniqueConstraint("stamp", name=op.f("uq_price_stamp")),
        sqlite_strict=True,
    )
    op.create_table(
        "spending",
        sa.Column("id", Int, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("start_s", Int, nullable=False),
        sa.Column("end_s", Int, nullable=False),
        sa.Column("credit", Int, nullable=False),
        sa.Column("posted", Int, nullable=False),
        sa.Column("pending", Int, nullable=False),
        sa.Column("overrun", Int, nullable=False),
        sa.Column("carried", Int, nullable=False),
        sa.CheckConstraint("credit BETWEEN -9000000000000000000 AND 9000000000000000000", name=op.f("ck_spending_credit")),
        sa.CheckConstraint("carried BETWEEN 0 AND 9000000000000000000", name=op.f("ck_spending_carried")),
        sa.CheckConstraint("overrun BETWEEN 0 AND 9000000000000000000", name=op.f("ck_spending_overrun")),
        sa.CheckConstraint("pending BETWEEN 0 AND 9000000000000000000", name=op.f("ck_spending_pending")),
        sa.CheckConstraint("posted BETWEEN 0 AND 9000000000000000000", name=op.f("ck_spending_posted")),
        sa.CheckConstraint("start_s < end_s", name=op.f("ck_spending_span")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spending")),
        sa.UniqueConstraint("scope", "period", "start_s", name="uq_spending"),
        sqlite_strict=True,
    )
    op.create_table(
        "subject",
        sa.Column("id", Int, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("key", "wallet", "model", "family", "route", "provider", name="uq_subject"),
        sqlite_strict=True,
    )
    op.create_table(
        "virtual_key",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("families", sa.Text(), nullable=True),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("wallet", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("daily_nanousd", Int, nullable=True),
        sa.Column("monthly_nanousd", Int, nullable=True),
        sa.Column("family_budgets", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", Int, nullable=True),
        sa.Column("tokens_per_minute", Int, nullable=True),
        sa.Column("concurrent", Int, nullable=True),
        sa.Column("expires_s", Int, nullable=True),
        sa.Column("created_s", Int, nullable=False),
        sa.Column("revoked_s", Int, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_virtual_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_virtual_key_digest")),
        sqlite_strict=True,
    )
    op.create_table(
        "entry",
        sa.Column("id", Int, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount", Int, nullable=False),
        sa.Column("price_id", Int, nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("at_ns", Int, nullable=False),
        sa.Column("leg", Int, nullable=False),
        sa.CheckConstraint(
            "kind IN ('charge', 'recovered', 'late', 'exposure', 'reconciled', 'refund', 'topup', 'adjust')",
            name=op.f("ck_entry_kind"),
        ),
        sa.CheckConstraint("amount BETWEEN 1 AND 1000000000000000", name=op.f("ck_entry_amount")),
        sa.ForeignKeyConstraint(["price_id"], ["price.id"], name=op.f("fk_entry_price_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        sa.UniqueConstraint("request_id", "kind", "leg", name="uq_entry"),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_entry_exposure",
        "entry",
        ["at_ns"],
        unique=False,
        sqlite_where=sa.text("kind = 'exposure'"),
        postgresql_where=sa.text("kind = 'exposure'"),
    )
    op.create_table(
        "hold",
        sa.Column("id", Int, autoincrement=False, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("subject_id", Int, nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("amount", Int, nullable=False),
        sa.Column("created_ns", Int, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dispatched", Int, nullable=False),
        sa.Column("checkpoint", Int, nullable=False),
        sa.Column("checkpoint_input", Int, nullable=False),
        sa.Column("checkpoint_output", Int, nullable=False),
        sa.Column("posted", Int, nullable=False),
        sa.CheckConstraint("state IN ('open', 'posted', 'void', 'recovered')", name=op.f("ck_hold_state")),
        sa.CheckConstraint("amount BETWEEN 0 AND 1000000000000000", name=op.f("ck_hold_amount")),
        sa.CheckConstraint("checkpoint BETWEEN 0 AND 1000000000000000", name=op.f("ck_hold_checkpoint")),
        sa.CheckConstraint("dispatched BETWEEN 0 AND 1", name=op.f("ck_hold_dispatched")),
        sa.CheckConstraint("posted BETWEEN 0 AND 1000000000000000", name=op.f("ck_hold_posted")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_hold_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_hold_open",
        "hold",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "uq_hold_request_id",
        "hold",
        ["request_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'void'"),
        postgresql_where=sa.text("state <> 'void'"),
    )
    op.create_table(
        "usage_row",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("client_request_id", sa.Text(), nullable=False),
        sa.Column("received_ns", Int, nullable=False),
        sa.Column("subject_id", Int, nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("attempts", Int, nullable=False),
        sa.Column("input_tokens", Int, nullable=False),
        sa.Column("cached_input_tokens", Int, nullable=False),
        sa.Column("output_tokens", Int, nullable=False),
        sa.Column("reasoning_tokens", Int, nullable=False),
        sa.Column("estimated", Int, nullable=False),
        sa.Column("debit", Int, nullable=False),
        sa.Column("cost", Int, nullable=True),
        sa.Column("latency_ms", Int, nullable=False),
        sa.Column("first_token_ms", Int, nullable=True),
        sa.Column("overhead_ms", Int, nullable=False),
        sa.Column("status", Int, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=False),
        sa.Column("stream", Int, nullable=False),
        sa.Column("also_counted", sa.Text(), nullable=False),
        sa.CheckConstraint("debit BETWEEN 0 AND 1000000000000000", name=op.f("ck_usage_row_debit")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_usage_row_subject_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_usage_row")),
        sqlite_strict=True,
    )
    op.create_index("ix_usage_row_received_ns", "usage_row", ["received_ns", "subject_id", "debit"], unique=False)
    op.create_table(
        "hold_leg",
        sa.Column("hold_id", Int, nullable=False),
        sa.Column("spending_id", Int, nullable=False),
        sa.Column("posted", Int, nullable=True),
        sa.CheckConstraint("posted IS NULL OR posted BETWEEN 0 AND 1000000000000000", name=op.f("ck_hold_leg_posted")),
        sa.ForeignKeyConstraint(["hold_id"], ["hold.id"], name=op.f("fk_hold_leg_hold_id")),
        sa.ForeignKeyConstraint(["spending_id"], ["spending.id"], name=op.f("fk_hold_leg_spending_id")),
        sa.PrimaryKeyConstraint("hold_id", "spending_id", name=op.f("pk_hold_leg")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
