"""Items whose prediction was made from a recovered picture, too."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("items", sa.Column("recovered", sa.String(80)))


def downgrade() -> None:
    op.drop_column("items", "recovered")
