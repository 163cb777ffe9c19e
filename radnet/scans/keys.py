"""Keyed hashes in place of identifiers.

A patient key is HMAC-SHA256 of the patient's id under a secret that never enters a shard set: without the secret
nobody can test a guessed id against it. The secret is a file made on first use, readable by its owner only.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from radnet.errors import UsageError
from radnet.files import explained_disk_errors

KEY_HEX_DIGITS = 32
SECRET_BYTES = 32


@dataclass(frozen=True)
class KeyedHash:
    """HMAC-SHA256 under one secret; the secret does not show in `repr`.

    Attributes:
        secret: At least 16 bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 16:
            raise UsageError(
                "The secret is too short to protect patient ids", seen=len(self.secret), fix="Use 32 bytes"
            )

    def key(self, kind: str, identifier: str) -> str:
        """The keyed hash of an identifier as 32 hex digits.

        Args:
            kind: What is hashed ("patient", "series", "split"), so that equal ids of two kinds differ.
            identifier: The identifier itself, exactly as the source gives it. A path may hold bytes that are no UTF-8,
                as Python gives them (surrogates).
        """
        message = f"{kind}\0{identifier}".encode(errors="surrogateescape")
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:KEY_HEX_DIGITS]

    def identity(self) -> str:
        """Which secret this is, as 32 hex digits: the keyed hash of a fixed text.

        Equal for equal secrets only. It reveals the secret as little as a patient key does, so it may stand in a set.
        """
        return self.key("build", "the same secret")


def load_secret(path: Path) -> KeyedHash:
    """The secret in `path`; a new random one is written there (mode 0600) when the file does not exist.

    Raises:
        UsageError: The file is there but holds no secret.
    """
    path = path.expanduser()
    if not path.exists():
        _write_first(path, secrets.token_hex(SECRET_BYTES) + "\n")
    try:
        return KeyedHash(bytes.fromhex(path.read_text().strip()))
    except (ValueError, OSError) as error:
        raise UsageError(
            "This file holds no secret (64 hex digits on one line)",
            file=path,
            fix="Name another file with --secret",
        ) from error


def _write_first(path: Path, text: str) -> None:
    """Write a whole file (mode 0600) unless another process was first; then its file stays.

    Raises:
        RadnetError: The disk is full or not writable.
    """
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable by its owner only
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                _give_name(Path(name), path)
        finally:
            Path(name).unlink(missing_ok=True)


def _give_name(whole: Path, path: Path) -> None:
    """Give a finished file its name, which must be free.

    Raises:
        FileExistsError: It is not.
    """
    try:
        path.hardlink_to(whole)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the name is taken first, and filled at once
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(whole.read_bytes())
