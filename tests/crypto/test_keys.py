"""Keys are guarded: on disk, in memory, in print."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from flask_lgprivacy.crypto import BlindIndex, LocalKeyFile
from flask_lgprivacy.crypto.cache import KeyCache
from flask_lgprivacy.crypto.keys import (
    ClientKey,
    SubjectKey,
    new_subject_material,
    unwrap_client_key,
    wrap_client_material,
)
from flask_lgprivacy.errors import ConfigurationError, KeyUnavailable, SealBroken


@pytest.fixture
def provider(tmp_path: Path) -> LocalKeyFile:
    LocalKeyFile.create(tmp_path / "keys" / "root.key")
    return LocalKeyFile(tmp_path / "keys" / "root.key")


def test_a_new_key_file_is_readable_by_its_owner_only(
    provider: LocalKeyFile, tmp_path: Path
) -> None:
    assert (tmp_path / "keys" / "root.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_file_that_others_can_use_is_refused(
    provider: LocalKeyFile, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "keys" / "root.key"
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        LocalKeyFile(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"roots": {"r": "x"}, "newest": "r", "format": 1}', b"\xff\xfe"],
)
def test_a_damaged_key_file_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "root.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        LocalKeyFile(path)


def test_a_missing_key_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="flask privacy init"):
        LocalKeyFile(tmp_path / "absent.key")


def test_an_existing_key_file_is_never_overwritten(provider: LocalKeyFile, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        LocalKeyFile.create(tmp_path / "keys" / "root.key")


def test_a_client_key_opens_for_its_client_only(provider: LocalKeyFile) -> None:
    wrapped = wrap_client_material(provider, "c1", 1, bytes(64))
    assert unwrap_client_key(provider, "c1", 1, wrapped).index_key == bytes(32)
    with pytest.raises(KeyUnavailable):
        unwrap_client_key(provider, "c2", 1, wrapped)


def test_a_client_key_under_another_root_is_refused(provider: LocalKeyFile, tmp_path: Path) -> None:
    LocalKeyFile.create(tmp_path / "other.key")
    wrapped = wrap_client_material(LocalKeyFile(tmp_path / "other.key"), "c1", 1, bytes(64))
    with pytest.raises(KeyUnavailable):
        unwrap_client_key(provider, "c1", 1, wrapped)


@pytest.mark.parametrize(
    ("subject", "version", "epoch"), [("s2", 1, 1), ("s1", 2, 1), ("s1", 1, 2)]
)
def test_a_subject_key_opens_for_its_subject_only(subject: str, version: int, epoch: int) -> None:
    wrapped = ClientKey("c1", 1, bytes(64)).wrap(
        new_subject_material(), subject="s1", version=1, randomness=os.urandom
    )
    with pytest.raises(SealBroken):
        ClientKey("c1", epoch, bytes(64)).unwrap(
            wrapped, subject=subject, version=version, client="c1"
        )


@pytest.mark.parametrize("holder", [ClientKey("c1", 1, bytes(64)), SubjectKey("c1", 1, bytes(48))])
def test_a_key_does_not_print(holder: object) -> None:
    assert repr(holder) in {"<ClientKey>", "<SubjectKey>"}


@pytest.mark.parametrize("holder", [ClientKey("c1", 1, bytes(64)), SubjectKey("c1", 1, bytes(48))])
def test_a_key_cannot_be_pickled(holder: object) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(holder)


def test_a_provider_cannot_be_pickled(provider: LocalKeyFile) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(provider)


def test_a_cached_key_expires() -> None:
    now = [0.0]
    cache: KeyCache[str, int] = KeyCache(size=2, seconds=10, clock=lambda: now[0])
    cache.put("a", 1)
    now[0] = 9
    assert cache.get("a") == 1
    now[0] = 11
    assert cache.get("a") is None


def test_no_setting_keeps_a_key_longer_than_a_minute() -> None:
    now = [0.0]
    cache: KeyCache[str, int] = KeyCache(size=2, seconds=3600, clock=lambda: now[0])
    cache.put("a", 1)
    now[0] = 61
    assert cache.get("a") is None


def test_a_cache_stays_within_its_size() -> None:
    cache: KeyCache[int, int] = KeyCache(size=3, seconds=10, clock=lambda: 0.0)
    for number in range(10):
        cache.put(number, number)
    assert len(cache) == 3


def test_a_blind_index_differs_from_client_to_client() -> None:
    index = BlindIndex()
    assert index.of(b"a" * 32, "Martin") != index.of(b"b" * 32, "Martin")


def test_a_pseudonym_changes_with_the_school_year() -> None:
    key = SubjectKey("c1", 1, bytes(range(48)))
    assert key.pseudonym(2026) != key.pseudonym(2027)


@pytest.mark.parametrize("written", ["LE GOFF", " le  goff ", "Le\u00a0Goff", "ｌｅ goff"])
def test_writings_of_one_name_are_one(written: str) -> None:
    assert BlindIndex().normal(written) == "le goff"


@pytest.mark.parametrize(
    ("normaliser", "one", "other", "same"),
    [
        ("text", "Éloïse", "éloïse", True), ("text", "Éloïse", "eloise", False), ("accents", "Éloïse", "ELOISE", True),
        ("accents", "Le Goff", "le  goff", True), ("accents", "straße", "strasse", True), ("email", " A.B@Ecole.example ", "a.b@ecole.example", True),
        ("email", "a.b@x.example", "ab@x.example", False), ("exact", "Ana", "ana", False), ("exact", "e\u0301", "é", True),
        ("name", "L\u2019Hostis", "l'hostis", True), ("name", "D'Hervé", "d\u02bcherve", True), ("name", "Le-Goff", "Le\u2011Goff", True),
        ("name", "Tan\u200bguy", "Tanguy", True), ("name", "Ker\u00adbrat", "Kerbrat", True), ("name", "Lecœur", "LECOEUR", True),
        ("name", "Lætitia", "Laetitia", True), ("name", "Jørgensen", "Jorgensen", True), ("name", "\u01fdla", "aela", True),
        ("name", "Le-Goff", "Le Goff", False), ("name", "L'Hostis", "LHostis", False), ("name", "Léa", "Lina", False),
    ],
)  # fmt: skip
def test_each_normaliser_says_what_is_equal(
    normaliser: str, one: str, other: str, same: bool
) -> None:
    index = BlindIndex(normaliser)
    assert (index.of(b"k" * 32, one) == index.of(b"k" * 32, other)) is same


def test_the_normaliser_and_the_bits_are_part_of_the_key() -> None:
    kinds = [
        BlindIndex(),
        BlindIndex("accents"),
        BlindIndex("name"),
        BlindIndex("email"),
        BlindIndex("exact"),
        BlindIndex(bits=8),
    ]
    assert len({index.key(b"i" * 32, table="t", column="c") for index in kinds}) == len(kinds)


def test_few_bits_are_shared_by_several_values() -> None:
    index = BlindIndex(bits=4)
    found = {index.of(b"k" * 32, f"name {number}") for number in range(200)}
    assert len(found) == 16
    assert {len(one) for one in found} == {1}
