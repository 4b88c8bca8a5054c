"""How alembic runs the migrations: on the connection that it is handed.

A new migration is a file in versions/, written by hand after its forerunner; a test holds what they make against
tables.py.
"""

from alembic import context

from demo.store.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
