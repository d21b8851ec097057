"""Labels on models: what a column is, whose a row is, and how it is sealed."""

from .graph import Graph, build_graph, capacity_of
from .keystore import KeyStore
from .labels import belongs_to, not_personal, sealed, subject, tagged
from .layout import Group, Layout, Tagged
from .lookup import find_by, matching
from .opening import Opener, SubjectName, current_opener, identifier
from .records import records
from .registration import layout_of
from .tables import Tables, define_tables

__all__ = [
    "Graph",
    "Group",
    "KeyStore",
    "Layout",
    "Opener",
    "SubjectName",
    "Tables",
    "Tagged",
    "belongs_to",
    "build_graph",
    "capacity_of",
    "current_opener",
    "define_tables",
    "find_by",
    "identifier",
    "layout_of",
    "matching",
    "not_personal",
    "records",
    "sealed",
    "subject",
    "tagged",
]
