"""Two threads work for two clients at the same time: no value is ever sealed under the other one's key."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from school import CANARY, Backend, Student, db
from sqlalchemy import select

OPERATIONS = int(os.environ.get("LGPRIVACY_TEST_OPERATIONS", "500"))
"""How many values are opened or sealed altogether; `tox run -e thorough` takes 8,000, `scale` two million."""


@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_no_value_is_sealed_under_the_wrong_key(backend: Backend, cache: str) -> None:
    counts, faults = [0, 0], []
    turn = threading.Barrier(2)

    def work(number: int) -> None:
        own = select(Student).where(Student.school_id == backend.schools[number])
        turn.wait()
        try:
            while counts[number] < OPERATIONS // 2:
                with backend.app.app_context(), backend.writing(number):
                    if cache == "cold" and counts[number] % 7 == 0:
                        backend.runtime.keys.forget_all()
                    said = f"{CANARY} {number} {counts[number]}"
                    students: list[Any] = list(db.session.scalars(own))
                    if counts[number] % 100 < 4:
                        for student in students:
                            student.first_name = said
                        db.session.commit()
                    for student in students:
                        assert student.first_name.startswith(
                            f"{CANARY} {number}" if counts[number] else CANARY
                        )
                        assert student.last_name.startswith(CANARY)
                    db.session.remove()
                counts[number] += 4
        except Exception as fault:  # noqa: BLE001  any fault is what this looks for
            faults.append(f"{type(fault).__name__}: {fault}"[:300])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    backend.runtime.keys.forget_all()
    for number in range(2):
        own = select(Student).where(Student.school_id == backend.schools[number])
        with backend.app.app_context(), backend.reading(number):
            assert all(
                row.first_name.startswith(f"{CANARY} {number} ") for row in db.session.scalars(own)
            )
            db.session.remove()
