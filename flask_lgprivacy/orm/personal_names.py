"""Column names that stand for personal data, in English and French: what `check` asks about where a
table says nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from .ownership_graph import OwnershipGraph
from .registry import INFO_KEY, table_name

_WORDS = frozenset(
    {
        "email", "mail", "courriel", "firstname", "lastname", "surname", "forename", "givenname",
        "familyname", "fullname", "prenom", "nomdefamille", "nomcomplet", "phone", "telephone",
        "tel", "mobile", "portable", "fax", "birthdate", "birthday", "dateofbirth", "dob",
        "datenaissance", "datedenaissance", "naissance", "address", "adresse", "street", "rue",
        "postcode", "zipcode", "codepostal", "ip", "ipaddress", "adresseip", "username", "login",
        "passwordhash", "password", "motdepasse",
    }
)  # fmt: skip
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LONGEST = 3


def is_personal_name(name: str) -> bool:
    """Whether a column's name says that it holds an e-mail address, a name, a phone number, a date
    of birth, an address, an IP address or what somebody signs in with.

    Args:
        name: As the table or model has it.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = [word.lower() for word in _PART.findall(plain)]
    return any(
        "".join(words[start : start + length]) in _WORDS
        for start in range(len(words))
        for length in range(1, _LONGEST + 1)
    )


def unlabelled_personal_columns(graph: OwnershipGraph) -> Iterator[str]:
    """Columns that are named like personal data, of tables whose rows are nobody's by their labels.

    Args:
        graph: The application's.

    Returns:
        A line for each, with what to write.
    """
    reached = set().union(*(graph.reached_from(table) for table in graph.subject_tables))
    for table in graph.tables:
        for column in table.columns if table not in reached else ():
            label = column.info.get(INFO_KEY) or {}
            if is_personal_name(column.name) and "reason" not in label:
                yield (
                    f"{table_name(table)}.{column.key} is named like personal data, and its table "
                    "has no label; say whose the rows are (subject, belongs_to), or write "
                    "info=no_personal_data(reason)"
                )
