"""Reads a OneRoster bundle and names everything wrong with it, by file and line, never by value."""

from __future__ import annotations

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from flask_lgprivacy.policy import Policy, SensitiveTerms

from .roster_format import COLUMNS, NOT_READ, READ, REQUIRED, ROLES, TAKEN

LARGEST = 64 * 1024 * 1024
LEFT_BY_SYSTEMS = frozenset({".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db"})
"""What operating systems put into folders, and people who make a ZIP file cannot see."""
MODES = ("bulk", "delta", "absent")
STATUSES = frozenset({"", "active", "tobedeleted"})
SPREADSHEETS = (".xls", ".xlsx", ".ods", ".numbers")
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: file, line (0 for the file as a whole), what it is, and the clause if one
    forbids it.
    """

    file: str
    line: int
    what: str
    clause: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.what}" + (f" [{self.clause}]" if self.clause else "")


class BundleRefused(Exception):
    """A bundle cannot be taken; `faults` says why."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


@dataclass(slots=True)
class Bundle:
    """A checked bundle: the rows of each file with their line numbers, and what was left aside."""

    version: str = ""
    rows: dict[str, list[tuple[int, Row]]] = field(default_factory=dict)
    delta: set[str] = field(default_factory=set)
    left_aside: list[str] = field(default_factory=list)
    not_taken: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[tuple[int, Row]]:
        """The rows of a file; none where it is absent."""
        return self.rows.get(name, [])


def read_bundle(path: Path | bytes, policy: Policy, *, without: Iterable[str] = ()) -> Bundle:
    """Read and check a bundle: a ZIP file, its bytes, or a folder of CSV files.

    Parameters: `without` names files that the administrator leaves out on purpose. Raises
    `BundleRefused` with every fault found.
    """
    return _Reader(policy, frozenset(without)).read(path)


class _Reader:
    def __init__(self, policy: Policy, without: frozenset[str]) -> None:
        self._terms = SensitiveTerms(policy)
        self._without = {name.removesuffix(".csv").lower() for name in without}
        self._faults: list[Fault] = []
        self._bundle = Bundle()
        self._written: dict[str, str] = {}

    def read(self, path: Path | bytes) -> Bundle:
        files = self._files(path)
        manifest = self._manifest(files.pop("manifest.csv", None))
        known = {name.lower(): name for name in COLUMNS[self._bundle.version]}
        for file, content in files.items():
            plain = file.removesuffix(".csv")
            name = known.get(plain)
            shown = self._written.get(file, file)
            if plain in self._without:
                self._bundle.left_aside.append(f"{shown} (left out on request)")
            elif plain in NOT_READ:
                self._bundle.left_aside.append(shown)
            elif file.endswith(SPREADSHEETS):
                self._refuse(
                    file, 0, "is a spreadsheet; save each of its sheets as CSV, separated by commas"
                )
            elif name is None:
                self._refuse(
                    file,
                    0,
                    f"is no file of OneRoster {self._bundle.version} that this service knows; "
                    "remove it",
                )
            else:
                self._table(name, shown, content)
        self._compare_with_manifest(manifest, files, known)
        for name in ("orgs", "users"):
            if f"{name}.csv" not in files:
                self._refuse(f"{name}.csv", 0, "is missing; a roster cannot be imported without it")
        if not self._faults:
            self._references()
        if self._faults:
            raise BundleRefused(self._faults)
        return self._bundle

    def _compare_with_manifest(
        self, manifest: dict[str, str], files: dict[str, bytes], known: dict[str, str]
    ) -> None:
        for name, mode in manifest.items():
            if (
                mode in {"bulk", "delta"}
                and name.lower() in known
                and f"{name.lower()}.csv" not in files
            ):
                self._refuse("manifest.csv", 0, f"announces {name}.csv, which is not in the bundle")
            if mode == "absent" and f"{name.lower()}.csv" in files:
                self._refuse(
                    "manifest.csv", 0, f"says that {name}.csv is absent, and it is in the bundle"
                )

    def _refuse(self, file: str, line: int, what: str, clause: str | None = None) -> None:
        self._faults.append(Fault(file, line, what, clause))

    def _files(self, path: Path | bytes) -> dict[str, bytes]:
        """The files of a bundle by their names in lower case, whatever folder they stand in; what
        systems leave is passed over.
        """
        name = path.name if isinstance(path, Path) else "roster.zip"
        if isinstance(path, Path) and path.is_dir():
            files = [file for file in sorted(path.iterdir()) if file.suffix.lower() == ".csv"]
            self._written = {file.name.lower(): file.name for file in files}
            return {file.name.lower(): file.read_bytes() for file in files}
        try:
            with zipfile.ZipFile(path if isinstance(path, Path) else io.BytesIO(path)) as archive:
                members = [info for info in archive.infolist() if _is_somebodys(info)]
                if sum(info.file_size for info in members) > LARGEST:
                    raise BundleRefused(
                        [
                            Fault(
                                name,
                                0,
                                f"is larger than {LARGEST >> 20} MiB when unpacked; split it",
                            )
                        ]
                    )
                self._refuse_repeated(members)
                self._written = {
                    _name_of(info): info.filename.replace("\\", "/").rsplit("/", 1)[-1]
                    for info in members
                }
                return {_name_of(info): self._unpacked(archive, info) for info in members}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            raise BundleRefused(
                [Fault(name, 0, "is not a ZIP file that can be read; export the roster again")]
            ) from None

    def _refuse_repeated(self, members: list[zipfile.ZipInfo]) -> None:
        """Nobody can tell which of two files of one name is meant."""
        places: dict[str, list[str]] = {}
        for info in members:
            places.setdefault(_name_of(info), []).append(info.filename.replace("\\", "/"))
        faults = [
            Fault(
                name,
                0,
                f"is in the bundle {len(there)} times ({', '.join(there)}); leave the one that is "
                "meant",
            )
            for name, there in places.items()
            if len(there) > 1
        ]
        if faults:
            raise BundleRefused(faults)

    @staticmethod
    def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        if info.flag_bits & 1:
            protected = "is protected by a password; make a ZIP file without one"
            raise BundleRefused([Fault(_name_of(info), 0, protected)])
        try:
            return archive.read(info)
        except (NotImplementedError, zlib.error, lzma.LZMAError, EOFError, OSError):
            packed = "is packed in a way that cannot be read here; make an ordinary ZIP file"
            raise BundleRefused([Fault(_name_of(info), 0, packed)]) from None

    def _manifest(self, content: bytes | None) -> dict[str, str]:
        if content is None:
            raise BundleRefused(
                [Fault("manifest.csv", 0, "is missing; a OneRoster bundle has one")]
            )
        try:
            rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig", "replace").lstrip())))
        except csv.Error as fault:
            raise BundleRefused(
                [Fault("manifest.csv", 0, f"is not CSV: {_reason(fault)}")]
            ) from None
        rows = rows[1:] if rows and rows[0] and rows[0][0].lower().startswith("sep=") else rows
        separator = _other_separator(rows[0] if rows else [])
        if separator is not None:
            raise BundleRefused([Fault("manifest.csv", 1, _SEPARATED.format(separator))])
        entries = {row[0].strip(): row[1].strip() for row in rows[1:] if len(row) > 1}
        self._bundle.version = entries.get("oneroster.version", "")
        if self._bundle.version not in COLUMNS:
            raise BundleRefused(
                [Fault("manifest.csv", 0, f"oneroster.version must be one of {', '.join(COLUMNS)}")]
            )
        files = {
            name.removeprefix("file."): mode.lower()
            for name, mode in entries.items()
            if name.startswith("file.")
        }
        for name, mode in files.items():
            if mode not in MODES:
                self._refuse("manifest.csv", 0, f"file.{name} is one of {', '.join(MODES)}")
        self._bundle.delta = {name for name, mode in files.items() if mode == "delta"}
        return files

    def _table(self, name: str, file: str, content: bytes) -> None:
        try:
            lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
            header = [column.strip() for column in next(lines, [])]
            if (len(header) == 1 and header[0].lower().startswith("sep=")) or (
                header and header[0].lower() == "sep="
            ):
                header = [column.strip() for column in next(lines, [])]
            while header and not header[-1]:
                header.pop()
            if not self._header(name, file, header):
                return
            rows, first = [], lines.line_num
            for cells in lines:
                line, first = first + 1, lines.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
                    self._refuse(
                        file, line, f"has {len(cells)} cells where the header has {len(header)}"
                    )
                    continue
                row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
                self._row(name, file, line, row)
                rows.append((line, row))
        except UnicodeDecodeError:
            self._refuse(file, 0, "is not UTF-8; export it as UTF-8")
        except csv.Error as fault:
            self._refuse(file, lines.line_num, f"is not CSV: {_reason(fault)}")
        else:
            self._unique(file, rows)
            if name in READ:
                self._bundle.rows[name] = rows
                filled = [
                    column
                    for column in header
                    if column not in TAKEN[name] and any(row[column] for _, row in rows)
                ]
                self._bundle.not_taken += [f"{file}: {column}" for column in filled]
            else:
                self._bundle.left_aside.append(file)

    def _header(self, name: str, file: str, header: list[str]) -> bool:
        separator = _other_separator(header)
        if separator is not None:
            self._refuse(file, 1, _SEPARATED.format(separator))
            return False
        before = len(self._faults)
        columns = COLUMNS[self._bundle.version][name]
        for column in header:
            sensitive = self._terms.match(column)
            if sensitive is not None:
                what = (
                    f"column {column}: {sensitive.says}; export it without this column, or "
                    f"import --without {file}"
                )
                self._refuse(file, 1, what, sensitive.clause)
        if len(self._faults) > before:
            return False
        elsewhere = self._looks_like(name, set(header))
        if elsewhere is not None:
            self._refuse(
                file,
                1,
                f"its columns are those of {elsewhere}.csv: the file is a copy of another one; "
                "export it again",
            )
            return False
        for number, column in enumerate(header, start=1):
            if column not in columns and not column.startswith("metadata."):
                shown = column if column else f"number {number}, which has no name,"
                self._refuse(
                    file,
                    1,
                    f"column {shown} is no column of this file in OneRoster {self._bundle.version}",
                )
        for column in REQUIRED.get(name, ()):
            if column not in header:
                self._refuse(file, 1, f"column {column} is missing")
        return len(self._faults) == before

    def _looks_like(self, name: str, header: set[str]) -> str | None:
        """Another file of the standard that a header fits much better than the one it came
        under.
        """
        columns = COLUMNS[self._bundle.version]
        fits = {other: len(header & of) / len(of) for other, of in columns.items()}
        best = max(fits, key=lambda other: fits[other])
        return best if best != name and fits[best] > fits[name] + 0.3 else None

    def _row(self, name: str, file: str, line: int, row: Row) -> None:
        for column in REQUIRED.get(name, ()):
            if not row[column]:
                self._refuse(file, line, f"{column} is empty")
        if (
            name in {"users", "roles", "enrollments"}
            and row.get("role")
            and row["role"] not in ROLES
        ):
            self._refuse(
                file, line, f"role is none that this service knows; it knows {', '.join(ROLES)}"
            )
        if name in READ and row.get("status", "").lower() not in STATUSES:
            self._refuse(file, line, "status is empty, active or tobedeleted")
        if row.get("enabledUser", "").lower() not in ("", "true", "false"):
            self._refuse(file, line, "enabledUser is empty, true or false")
        if name == "orgs" and row.get("status", "").lower() == "tobedeleted":
            self._refuse(
                file, line, "asks that a school be deleted; the operator does that, not a roster"
            )
        for column in ("birthDate", "beginDate", "endDate"):
            if row.get(column) and not _is_date(row[column]):
                self._refuse(file, line, f"{column} is no date such as 2017-03-09")
        if (
            name in self._bundle.delta
            and row.get("status", "").lower() == "tobedeleted"
            and name in {"users", "demographics"}
        ):
            what = (
                "asks for a deletion; a school erases a person by a request (POST "
                "/privacy/delete), not by a roster"
            )
            self._refuse(file, line, what)

    def _unique(self, file: str, rows: list[tuple[int, Row]]) -> None:
        seen: dict[str, int] = {}
        for line, row in rows:
            one = row.get("sourcedId", "")
            if one and one in seen:
                self._refuse(file, line, f"repeats the sourcedId of line {seen[one]}")
            seen.setdefault(one, line)

    def _references(self) -> None:
        """Everything that a line points at must be in the bundle."""
        ids = {
            name: {row["sourcedId"] for _, row in self._bundle.of(name)}
            for name in ("orgs", "users", "classes")
        }
        orgs_of_users = {row["userSourcedId"] for _, row in self._bundle.of("roles")}
        for line, row in self._bundle.of("users"):
            self._pointing(
                "users.csv",
                line,
                "orgSourcedIds",
                row.get("orgSourcedIds", "").split(",")[0].strip(),
                ids["orgs"],
            )
            self._pointing(
                "users.csv",
                line,
                "primaryOrgSourcedId",
                row.get("primaryOrgSourcedId", ""),
                ids["orgs"],
            )
            if self._bundle.version == "1.1" and not (row.get("orgSourcedIds") and row.get("role")):
                self._refuse("users.csv", line, "orgSourcedIds or role is empty")
            if self._bundle.version == "1.2" and row["sourcedId"] not in orgs_of_users:
                self._refuse(
                    "users.csv",
                    line,
                    "has no line in roles.csv, so nobody knows what this user may do",
                )
        for line, row in self._bundle.of("roles"):
            self._pointing("roles.csv", line, "userSourcedId", row["userSourcedId"], ids["users"])
            self._pointing("roles.csv", line, "orgSourcedId", row["orgSourcedId"], ids["orgs"])
        for line, row in self._bundle.of("classes"):
            self._pointing(
                "classes.csv", line, "schoolSourcedId", row["schoolSourcedId"], ids["orgs"]
            )
        for line, row in self._bundle.of("enrollments"):
            self._pointing(
                "enrollments.csv", line, "classSourcedId", row["classSourcedId"], ids["classes"]
            )
            self._pointing(
                "enrollments.csv", line, "userSourcedId", row["userSourcedId"], ids["users"]
            )
        for line, row in self._bundle.of("demographics"):
            self._pointing("demographics.csv", line, "sourcedId", row["sourcedId"], ids["users"])

    def _pointing(self, file: str, line: int, column: str, value: str, among: set[str]) -> None:
        if value and value not in among:
            self._refuse(file, line, f"{column} points at nothing in this bundle")


_SEPARATED = "is separated by {}, and OneRoster by commas; save it as CSV separated by commas"


def _is_somebodys(info: zipfile.ZipInfo) -> bool:
    """Whether a file of a ZIP was put there by a person."""
    place = info.filename.replace("\\", "/").lower()
    name = place.rsplit("/", 1)[-1]
    return bool(name) and not (
        place.startswith("__macosx/")
        or "/__macosx/" in place
        or name.startswith("._")
        or name in LEFT_BY_SYSTEMS
    )


def _name_of(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/").rsplit("/", 1)[-1].lower()


def _other_separator(header: list[str]) -> str | None:
    """What a file is separated by, where that is not commas."""
    if len(header) > 1 or not header:
        return None
    return next(
        (
            name
            for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"))
            if mark in header[0]
        ),
        None,
    )


def _reason(fault: csv.Error) -> str:
    """What is wrong with CSV, in words."""
    said = str(fault)
    if "field larger" in said:
        return f"a cell has more than {csv.field_size_limit()} characters"
    if "NUL" in said:
        return "it holds a NUL character"
    if "unexpected end" in said:
        return "a quote is opened and never closed"
    return "text follows a closing quote; a quote inside a cell is written twice"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
