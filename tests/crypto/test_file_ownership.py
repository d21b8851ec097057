"""A key file is its owner's alone, in a folder of the owner's, and two who change it at once lose nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from flask_lgprivacy.crypto import LocalKeyFile
from flask_lgprivacy.errors import ConfigurationError

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    made = tmp_path / "lgprivacy.key"
    LocalKeyFile.create(made)
    return made


def test_a_key_file_in_a_folder_that_others_may_write_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match="where others may put files"):
        LocalKeyFile(path)
    path.parent.chmod(0o1777)  # as /tmp: nobody replaces another one's file
    LocalKeyFile(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o440])
def test_a_key_file_that_others_may_read_is_refused_with_what_a_container_does(
    path: Path, mode: int
) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600.*defaultMode: 0400"):
        LocalKeyFile(path)


@ROOT_ONLY
def test_a_key_file_or_a_link_of_another_user_is_refused(path: Path) -> None:
    link = path.parent / "link.key"
    link.symlink_to(path)
    LocalKeyFile(link)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        LocalKeyFile(link)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        LocalKeyFile(path)


def test_two_new_roots_at_once_lose_neither(path: Path) -> None:
    threads = [threading.Thread(target=lambda: LocalKeyFile(path).add_root()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LocalKeyFile(path).roots()) == 9
