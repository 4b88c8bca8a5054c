"""The database: opened by its address, brought to the newest schema, read and written in transactions.

SQLite is the default: its log is written ahead (WAL), so that nobody who reads waits for one who writes, and every
commit reaches the disk before it returns (``synchronous=FULL``). Any other server that SQLAlchemy knows is named by
its URL; its driver has to be installed.
"""

import argparse
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from demo import settings

MIGRATIONS = Path(__file__).with_name("migrations")
WAIT_MS = 30_000
"""How long one process waits for another's write, which takes a few milliseconds."""
MIGRATION_LOCK = 0x5EE7B0D5
"""Any number, the same for every process: what PostgreSQL's advisory lock is named by."""
_WRITES = "demo_writes"


def default_url(data: Path) -> str:
    """Where the database is unless whoever starts the server names another: SQLite in the folder of its data."""
    return f"sqlite:///{data.absolute()}/annotations.db"


def add_arguments(parser) -> None:
    """Add where things are kept to a command line or a group of one; `store_from` reads it."""
    data = os.environ.get("DEMO_DATA", settings.DATA)
    parser.add_argument("--data", type=Path, default=data, help="folder of database and pictures (DEMO_DATA)")
    url = os.environ.get("DEMO_DATABASE")
    parser.add_argument("--database", default=url, help="URL; default SQLite in that folder (DEMO_DATABASE)")


def store_from(arguments: argparse.Namespace) -> "Store":
    """The database that `add_arguments` and the environment choose.

    Raises:
        StoreError: it cannot be used.
    """
    return Store(arguments.database or default_url(Path(arguments.data)))


class StoreError(RuntimeError):
    """A database that cannot be used; the text says which and why."""


class Store:
    """One database. Can be shared by threads; every process opens its own.

    Args:
        url: as SQLAlchemy takes it, ``sqlite:////folder/file.db`` or ``postgresql+psycopg://…``.

    Raises:
        StoreError: it cannot be opened, or was made by a newer version of this program.
    """

    def __init__(self, url: str):
        try:
            self.url = make_url(url)
            if self.url.get_backend_name() == "sqlite" and self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = _engine(self.url)
            with _migrating, self.engine.connect().execution_options(**{_WRITES: True}) as connection:
                _migrate(connection)
        except (ArgumentError, ImportError, OSError, SQLAlchemyError) as error:
            raise StoreError(f"the database {_without_password(url)} cannot be used: {_cause(error)}") from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are all there for good, or none, when the block ends; writers take turns."""
        engine = self.engine.execution_options(**{_WRITES: True})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


_migrating = threading.Lock()  # alembic's context is one per process


def _engine(url) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": WAIT_MS / 1000})

    @event.listens_for(engine, "connect")
    def prepare(connection, _):
        connection.isolation_level = None  # the driver would begin transactions by its own rules
        for pragma in (f"busy_timeout={WAIT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection):
        # Who is going to write waits now: a reader's snapshot could not be written to any more.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _migrate(connection: Connection) -> None:
    """Bring the schema to its newest version; of processes that start together one does it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
        try:
            command.upgrade(config, "head")
        except command.util.CommandError as error:
            raise StoreError(
                f"the database {connection.engine.url.render_as_string()} has a schema that this version does not know "
                f"({error}); update the program, or give another database"
            ) from error


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "whose address cannot be read"


def _cause(error: Exception) -> str:
    return str(error.orig if isinstance(error, OperationalError) else error).splitlines()[0]
