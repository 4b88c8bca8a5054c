"""Items whose prediction answers by the option's index."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

PUBLISHED = ("Jiaqi-hkust/Robust-R1-RL", "Jiaqi-hkust/Robust-R1-SFT")
"""Models that do, by the names under which their predictions are kept."""


def upgrade() -> None:
    op.add_column("items", sa.Column("by_index", sa.Boolean, nullable=False, server_default=sa.false()))
    items = sa.table("items", sa.column("model", sa.String), sa.column("by_index", sa.Boolean))
    op.execute(items.update().where(items.c.model.in_(PUBLISHED)).values(by_index=True))


def downgrade() -> None:
    op.drop_column("items", "by_index")
