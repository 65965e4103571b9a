"""Secrets to which a system file refers; no message repeats one."""

import hashlib
import os
from pathlib import Path

from isocline.errors import UsageError
from isocline.model.systemfile.backend_schema import Secret


def read_secret(secret: Secret, folder: Path) -> str:
    """Read a secret and strip white space; relative paths start at `folder`.

    Raises:
        UsageError: The secret is missing, empty, or its file cannot be read.
    """
    if secret.env is not None:
        text, source = os.environ.get(secret.env, ""), f"environment variable {secret.env}"
    else:
        assert secret.file is not None  # by Secret's own check
        path = folder / secret.file
        source = f"file {path}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{source} cannot be read: {_reason(error)}; give a text file"
            ) from None
    if not text.strip():
        raise UsageError(f"{source} is empty or missing; put the secret into it")
    return text.strip()


def read_keys(secret: Secret, folder: Path) -> dict[str, str]:
    """Read API keys: separated by commas in a variable, one per line with # comments in a file.

    Returns:
        Names by key. A name may precede its key, as in `team-a sk-4f...`; otherwise it is made from
        the key's SHA-256, which does not reveal the key.

    Raises:
        UsageError: As `read_secret`; or there is no key, which would admit every request; or an
            entry has more than a name and a key, or two entries have the same key.
    """
    text = read_secret(secret, folder)
    parts = text.split(",") if secret.env is not None else text.splitlines()
    entries = [part.split() for part in parts if part.strip() and not part.strip().startswith("#")]
    if not entries:
        raise UsageError("it contains no key; give at least one")
    if any(len(entry) > 2 for entry in entries):
        raise UsageError("an entry has more than two words; give a key, or a name and a key")
    names: dict[str, str] = {}
    for entry in entries:
        name = entry[0] if len(entry) == 2 else _made_up(entry[0])
        if names.setdefault(entry[-1], name) != name:
            raise UsageError(f"{names[entry[-1]]} and {name} have the same key; give it one name")
    return names


def _made_up(key: str) -> str:
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def read_authorization(secret: Secret, folder: Path) -> str:
    """Read a value for Authorization; a bare key becomes a bearer token (RFC 6750, Section 2.1).

    Raises:
        UsageError: As `read_secret`, or the value is invalid in a header.
    """
    text = read_secret(secret, folder)
    if not (text.isascii() and text.isprintable()):
        raise UsageError("its value is invalid in a header; give printable ASCII on one line")
    return text if " " in text else f"Bearer {text}"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
