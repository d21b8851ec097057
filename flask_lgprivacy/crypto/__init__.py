"""Keys, sealed records, blind indexes and sealed messages of devices."""

from .blind_index import BlindIndex
from .hpke import ingest_key, open_ingested, seal_for_ingest
from .providers.base import KeyProvider
from .providers.local_file import LocalKeyFile

__all__ = [
    "BlindIndex",
    "KeyProvider",
    "LocalKeyFile",
    "ingest_key",
    "open_ingested",
    "seal_for_ingest",
]
