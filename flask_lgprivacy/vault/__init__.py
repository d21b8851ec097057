"""The vault: key providers, keys of clients and subjects, the sealed record and the blind index."""

from .blind import FEW, BlindIndex
from .envelope import binding, binding_prefix, named_version, seal, unseal, unseal_with
from .ingest import ingest_key, is_named, open_ingested, seal_for_ingest
from .keyfile import KeyProvider, LocalKeyFile
from .keyring import (
    PUBLISHER,
    ClientKey,
    KeyCache,
    SubjectKey,
    new_client_material,
    new_subject_material,
    renewed_client_material,
    renewed_subject_material,
    unwrap_client_key,
    unwrap_client_material,
    wrap_client_material,
)
from .providers import key_provider
from .services import ROOT, KeyServices, SingleFlight

__all__ = [
    "FEW",
    "PUBLISHER",
    "ROOT",
    "BlindIndex",
    "ClientKey",
    "KeyCache",
    "KeyProvider",
    "KeyServices",
    "LocalKeyFile",
    "SingleFlight",
    "SubjectKey",
    "binding",
    "binding_prefix",
    "ingest_key",
    "is_named",
    "key_provider",
    "named_version",
    "new_client_material",
    "new_subject_material",
    "open_ingested",
    "renewed_client_material",
    "renewed_subject_material",
    "seal",
    "seal_for_ingest",
    "unseal",
    "unseal_with",
    "unwrap_client_key",
    "unwrap_client_material",
    "wrap_client_material",
]
