"""The database: its schema, its durability, several processes at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from demo.store.database import Store, StoreError
from demo.store.tables import Base, Batch
from tests.batch_making import database

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def url(tmp_path) -> str:
    """SQLite; TEST_DATABASE names another server, on which each test gets a database of its own."""
    return database(tmp_path / "deep/er")


def batch(name: str) -> Batch:
    return Batch(name=name, source="a test", blind=False, per_item=1, opened_by="anna")


def test_the_migrations_make_the_tables(url):
    store = Store(url)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_again_changes_nothing(url):
    first = Store(url)
    with first.writing() as session:
        session.add(batch("one"))
    with Store(url).reading() as session:
        assert session.scalars(select(Batch.name)).all() == ["one"]


def test_sqlite_is_durable_and_readers_do_not_wait(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    with store.engine.connect() as connection:
        values = {name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
        assert values == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    with store.writing() as writer:
        writer.add(batch("unfinished"))
        writer.flush()
        with store.reading() as reader:
            assert reader.scalars(select(Batch)).all() == []


def test_a_failed_block_leaves_nothing(url):
    store = Store(url)
    with pytest.raises(IntegrityError), store.writing() as session:
        session.add(batch("one"))
        session.flush()
        session.add(batch("one"))
    with store.reading() as session:
        assert session.scalars(select(Batch)).all() == []


def test_moments_keep_their_zone(url):
    store = Store(url)
    with store.writing() as session:
        session.add(batch("one"))
    with store.reading() as session:
        opened = session.scalars(select(Batch.opened_at)).one()
    assert opened.utcoffset().total_seconds() == 0


def test_processes_that_start_together_migrate_once(url):
    script = (
        "import sys; from demo.store.database import Store; from sqlalchemy import inspect\n"
        "print(sorted(inspect(Store(sys.argv[1]).engine).get_table_names()))"
    )

    def start(_):
        return subprocess.run(
            [sys.executable, "-c", script, url], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    with ThreadPoolExecutor(3) as together:
        outputs = set(together.map(start, range(3)))
    assert outputs == {f"{sorted(inspect(Store(url).engine).get_table_names())}\n"}


def test_a_newer_schema_is_left_alone(url):
    store = Store(url)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="9999"):
        Store(url)


@pytest.mark.parametrize("wrong", ["", "store.db", "nothing://here", "sqlite:////proc/no/such/folder/store.db"])
def test_a_database_that_cannot_be_used_is_told(wrong):
    with pytest.raises(StoreError, match="the database"):
        Store(wrong)


def test_passwords_are_not_told():
    with pytest.raises(StoreError) as told:
        Store("postgresql+nodriver://anna:secret@localhost/x")
    assert "secret" not in str(told.value)
