"""Keyed hashes in place of identifiers.

A patient key is HMAC-SHA256 of the patient's id under a secret that never enters a shard set: without the secret
nobody can test a guessed id against it. The secret is a file made on first use, readable by its owner only.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from radnet.errors import UsageError
from radnet.files import write_atomically

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
        write_atomically(path, secrets.token_hex(SECRET_BYTES) + "\n", mode=0o600)
    try:
        return KeyedHash(bytes.fromhex(path.read_text().strip()))
    except (ValueError, OSError) as error:
        raise UsageError(
            "This file holds no secret (64 hex digits on one line)",
            file=path,
            fix="Name another file with --secret",
        ) from error
