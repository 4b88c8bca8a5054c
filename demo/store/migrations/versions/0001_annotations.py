"""Batches, items, seats, judgements."""

import sqlalchemy as sa
from alembic import op

from demo.store.tables import UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("per_item", sa.Integer, nullable=False),
        sa.Column("opened_by", sa.String(100), nullable=False),
        sa.Column("opened_at", UtcTime, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("key", sa.String(500), nullable=False),
        sa.Column("picture", sa.String(80), nullable=False),
        sa.Column("clean", sa.String(80)),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("applied", sa.Text),
        sa.Column("model", sa.String(100)),
        sa.Column("chain", sa.Text),
        sa.Column("predicted", sa.Text),
        sa.UniqueConstraint("batch_id", "number"),
        sa.UniqueConstraint("batch_id", "key"),
    )
    op.create_table(
        "seats",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
        sa.Column("annotator", sa.String(100), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.UniqueConstraint("item_id", "annotator"),
    )
    op.create_index("ix_seats_annotator", "seats", ["annotator"])
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
        sa.Column("annotator", sa.String(100), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("verdict", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("undoes", sa.Integer, sa.ForeignKey("judgements.id")),
        sa.UniqueConstraint("item_id", "annotator", "revision"),
    )
    op.create_index("ix_judgements_annotator", "judgements", ["annotator"])


def downgrade() -> None:
    for table in ("judgements", "seats", "items", "batches"):
        op.drop_table(table)
