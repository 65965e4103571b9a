"""Readable errors of certificate and key files: the file, the fault, a remedy.

OpenSSL says neither which of two files it means nor what to do ("[SSL] PEM lib (_ssl.c:3905)"), so
the files are looked at once it has refused them.
"""

import ssl
from pathlib import Path
from typing import NoReturn

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY, _LOCKED = b"PRIVATE KEY-----", (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


def refuse_passphrase() -> NoReturn:
    """Refuse OpenSSL's question on the terminal, which a service cannot answer."""
    raise ValueError("the key is encrypted")


def authorities_problem(path: str, error: Exception) -> str:
    """Describe why a file of trusted certificates is unusable; `error` is what reading raised."""
    remedy = "give a PEM file with the certificates of the authorities to trust"
    problem = _unreadable(path)
    if problem is None and _CERTIFICATE not in Path(path).read_bytes():
        problem = "holds no certificate"
    return f"{path} {problem or _system_text(error)}; {remedy}"


def pair_problem(certificate: str, key: str | None, error: Exception) -> str:
    """Describe why a certificate and its key cannot be used; `error` is what loading raised.

    Args:
        certificate: Path of a PEM file.
        key: Path of a PEM file; None: the key is in the certificate's file.
        error: Exception of OpenSSL or the system.
    """
    keys = key or certificate
    for path in (certificate, keys):
        if (problem := _unreadable(path)) is not None:
            return f"{path} {problem}; give a PEM file that can be read"
    if _CERTIFICATE not in Path(certificate).read_bytes():
        return f"{certificate} holds no certificate; give a PEM file with the certificate's chain"
    text = Path(keys).read_bytes()
    if any(mark in text for mark in _LOCKED):
        remedy = "give one without a passphrase, as openssl pkey -in KEY -out NEW writes it"
        return f"{keys} holds an encrypted key; {remedy}"
    if _KEY not in text:
        remedy = "give a PEM file with the private key" + ("" if key else " as key")
        return f"{keys} holds no private key; {remedy}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"the key in {keys} is not that of {certificate}; give two that belong together"
    return f"{certificate} with key {keys}: {_system_text(error)}; give PEM files that are whole"


def _unreadable(path: str) -> str | None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        words = error.strerror or type(error).__name__
        return f"cannot be read: {words[:1].lower()}{words[1:]}"
    return None


def _system_text(error: Exception) -> str:
    """OpenSSL's reason without its place in its source."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"cannot be used: {error.reason.lower().replace('_', ' ')}"
    return f"cannot be used: {error}"
