"""A worker process of the test of erasures against writers and exports: `python at_once.py FOLDER WHAT SEED SECONDS`."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from school import Exercise, Student, db, make_backend
from sqlalchemy import select

from flask_lgprivacy import Actor
from flask_lgprivacy.errors import PrivacyError


def main(folder: Path, seed: int, writers: int, exporters: int, separate: bool) -> None:
    """Write about students, and export them, until somebody says that it is enough; print what happened."""
    backend = make_backend(folder, filled=False, separate_keys=separate)
    named = json.loads((folder / "students.json").read_text())
    happened: Counter[str] = Counter()
    administrator = Actor("head", role="administrator", client=named["school"])
    enough = folder / "enough"

    def writing(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        with backend.app.app_context():
            while not enough.exists():
                one = dice.choice(named["students"])
                try:
                    with backend.job(
                        "student.profile",
                        "student.activity",
                        actor=administrator,
                        actions={"read", "write"},
                    ):
                        if dice.random() < 0.5:
                            db.session.add(
                                Exercise(student_id=UUID(one), strokes=[["a", dice.random()]])
                            )
                        else:
                            row = db.session.scalars(
                                select(Student).where(Student.id == UUID(one))
                            ).first()
                            if row is not None:
                                row.first_name = f"N{dice.random()}"
                        db.session.flush()
                        time.sleep(dice.random() / 50)
                        db.session.commit()
                    happened["written"] += 1
                except PrivacyError as refused:
                    happened[refused.code] += 1
                except Exception as fault:  # noqa: BLE001  what it was is asserted by whoever started this
                    happened[type(fault).__name__] += 1
                finally:
                    db.session.rollback()
                    db.session.remove()

    def exporting(number: int) -> None:
        from flask_lgprivacy.policy import Right

        dice = random.Random(seed * 1000 + number)
        with backend.app.app_context():
            while not enough.exists():
                try:
                    backend.privacy.rights.submit(
                        Right.EXPORT,
                        administrator,
                        kind="student",
                        one=dice.choice(named["students"]),
                    )
                    happened["exported"] += 1
                except PrivacyError as refused:
                    happened[f"export:{refused.code}"] += 1
                except Exception as fault:  # noqa: BLE001  the same
                    happened[f"export:{type(fault).__name__}"] += 1
                finally:
                    db.session.rollback()
                    db.session.remove()

    threads: list[Any] = [
        threading.Thread(target=writing, args=(number,)) for number in range(writers)
    ]
    threads += [threading.Thread(target=exporting, args=(number,)) for number in range(exporters)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    print(json.dumps(happened), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), separate=sys.argv[5] == "apart")  # type: ignore[arg-type]
