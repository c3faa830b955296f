"""Certificates out of files, and when two readings of them are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from proxy.trust import TrustError, read_trust


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def test_the_same_files_are_the_same_trust_until_they_change(ca: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    first = read_trust(file, None, None)
    assert first == read_trust(file, None, None) and hash(first) == hash(read_trust(file, None, None))
    trustme.CA().cert_pem.write_to_path(str(file))
    assert first != read_trust(file, None, None)


def test_an_authority_alone_is_believed(ca: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    assert len(read_trust(file, None, None).context.get_ca_certs()) == 1


def test_a_key_of_another_certificate(ca: trustme.CA, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ca.issue_cert("a.example").cert_chain_pems[0].write_to_path(str(cert))
    ca.issue_cert("b.example").private_key_pem.write_to_path(str(key))
    with pytest.raises(TrustError, match="belong together"):
        read_trust(None, cert, key)
