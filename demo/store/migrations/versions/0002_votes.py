"""Votes on pairs of answers."""

import sqlalchemy as sa
from alembic import op

from demo.store.tables import UtcTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ballot", sa.String(32), nullable=False, unique=True),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("voter", sa.String(64), nullable=False),
        sa.Column("photo", sa.String(200)),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("temperature", sa.Float, nullable=False),
        sa.Column("max_new_tokens", sa.Integer, nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("replies", sa.JSON, nullable=False),
        sa.Column("first", sa.String(10), nullable=False),
        sa.Column("better", sa.String(10), nullable=False),
        sa.Column("right", sa.String(10)),
        sa.Column("seconds", sa.Float),
        sa.Column("at", UtcTime, nullable=False),
        sa.UniqueConstraint("item", "voter"),
    )


def downgrade() -> None:
    op.drop_table("votes")
