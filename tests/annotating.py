"""An annotator as a process of its own: ``python -m tests.annotating FOLDER BATCH NAME``.

Prints ``saved ITEM REVISION`` after each verdict, at the moment from which on it must never be lost.
"""

import sys
import time
from pathlib import Path

from demo.annotate.desk import Desk
from demo.store.database import Store
from tests.batch_making import database

LOOK_S = 0.01
"""What a person needs is much more; without a pause one process can have the database's lock for itself."""


def main(folder: str, batch: str, name: str) -> None:
    desk = Desk(Store(database(Path(folder))))
    print("ready", flush=True)
    sys.stdin.readline()
    while task := desk.next(int(batch), name):
        verdict = {"marks": dict.fromkeys(task.predicted, "right"), "comment": f"{name} on {task.number}"}
        revision = desk.save(task.id, name, verdict, task.revision)
        print("saved", task.id, revision, flush=True)
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
