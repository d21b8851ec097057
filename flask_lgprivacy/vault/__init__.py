"""The vault: key providers, keys of clients and subjects, the sealed record and the blind index."""

from .blind import blind_index, column_key
from .envelope import binding, binding_prefix, seal, unseal
from .keyfile import KeyProvider, LocalKeyFile
from .keyring import (
    PUBLISHER,
    ClientKey,
    KeyCache,
    SubjectKey,
    new_client_material,
    new_subject_material,
    unwrap_client_key,
    wrap_client_material,
)

__all__ = [
    "PUBLISHER",
    "ClientKey",
    "KeyCache",
    "KeyProvider",
    "LocalKeyFile",
    "SubjectKey",
    "binding",
    "binding_prefix",
    "blind_index",
    "column_key",
    "new_client_material",
    "new_subject_material",
    "seal",
    "unseal",
    "unwrap_client_key",
    "wrap_client_material",
]
