"""Photos that visitors share."""

import sqlalchemy as sa
from alembic import op

from demo.store.tables import UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "shared_photos",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("until", UtcTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("shared_photos")
