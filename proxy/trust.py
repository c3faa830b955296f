"""Whom a provider's connections trust over TLS, and what they show of us: files → an SSL context, read once at load."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path


class TrustError(ValueError):
    """The files can't be used. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Trust:
    """One provider's TLS. Equal if its files hold the same, so that a reload keeps connections, and sees a new certificate."""

    digest: str
    """SHA-256 over the files' contents."""
    context: ssl.SSLContext = field(compare=False, repr=False)


def read_trust(ca: Path | None, cert: Path | None, key: Path | None) -> Trust:
    """ca: PEM certificates to trust instead of the system's. cert, key: PEM files that a client shows; the key may be in cert.

    Raises: TrustError.
    """
    files = {"ca": ca, "cert": cert, "key": key}
    digest = hashlib.sha256()
    for name, path in files.items():
        try:
            content = b"" if path is None else path.read_bytes()
        except OSError as error:
            raise TrustError(f"{name} {path} can't be read: {error.strerror}") from error
        digest.update(b"%d:%b" % (len(content), content))
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise TrustError(f"ca {ca} holds no PEM certificates") from error
    if cert is not None:
        try:
            # A password would be asked for on the terminal; an empty one fails instead.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise TrustError(
                f"cert {cert} and its key can't be used: expected PEM files that belong together, the key without a password"
            ) from error
    return Trust(digest.hexdigest(), context)
