"""Secrets that a system file points to; no message repeats one."""

import os
from pathlib import Path

from isocline.errors import UsageError
from isocline.model.systemfile.serving_schema import Secret


def read_secret(secret: Secret, folder: Path) -> str:
    """Read a secret, without space at the ends; a relative path starts at `folder`.

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
        raise UsageError(f"{source} is empty or not there; put the secret into it")
    return text.strip()


def read_keys(secret: Secret, folder: Path) -> list[str]:
    """Read API keys: separated by commas in a variable, one per line with # comments in a file.

    Raises:
        UsageError: As `read_secret`, or there is no key, which would admit every request.
    """
    text = read_secret(secret, folder)
    parts = text.split(",") if secret.env is not None else text.splitlines()
    keys = [part.strip() for part in parts]
    keys = [key for key in keys if key and not key.startswith("#")]
    if not keys:
        raise UsageError("there is no key in it; give one at least")
    return keys


def read_authorization(secret: Secret, folder: Path) -> str:
    """Read a value of Authorization; a bare key becomes a bearer token (RFC 6750, Section 2.1).

    Raises:
        UsageError: As `read_secret`, or the value is not valid in a header.
    """
    text = read_secret(secret, folder)
    if not (text.isascii() and text.isprintable()):
        raise UsageError("its value cannot stand in a header; give printable ASCII on one line")
    return text if " " in text else f"Bearer {text}"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
