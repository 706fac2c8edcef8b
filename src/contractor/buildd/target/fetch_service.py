"""The fetch service: a builder proxy that looks into TLS, so its authority's certificate must be trusted in the target.

Most programs read the system's bundle. Those that bring their own are told of it in the environment. A stage of an
image is not changed at all: its commands see the bundle in a memory file system, and all of them are told of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contractor.core.errors import Rejected
from contractor.sandbox.spec import Mount

if TYPE_CHECKING:
    from contractor.buildd.target.target import Target

SECRET = "fetch_service_mitm_certificate"  # noqa: S105 - its name among the arguments' secrets
CERTIFICATE = "/usr/local/share/ca-certificates/local-ca.crt"
_UPDATE = "/usr/sbin/update-ca-certificates"
_SEQUENCE = b"\x30"  # how a certificate's DER begins
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

ENVIRONMENT = {"CARGO_HTTP_CAINFO": BUNDLE, "REQUESTS_CA_BUNDLE": BUNDLE, "GOPROXY": "direct"}

_STAGE_BUNDLE = "/dev/shm/.fetch-service.crt"
_STAGE_APT = "/dev/shm/.fetch-service.apt"
_STAGE_WGET = "/dev/shm/.fetch-service.wget"
STAGE_ENVIRONMENT = {
    **dict.fromkeys(
        (
            "SSL_CERT_FILE",  # OpenSSL, Go
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "REQUESTS_CA_BUNDLE",
            "PIP_CERT",
            "CARGO_HTTP_CAINFO",
            "NODE_EXTRA_CA_CERTS",
        ),
        _STAGE_BUNDLE,
    ),
    "APT_CONFIG": _STAGE_APT,
    "WGETRC": _STAGE_WGET,
}


def stage_mounts(pem: bytes, bundle: bytes) -> tuple[Mount, ...]:
    """What a stage's commands see besides its tree, behind /dev/shm. bundle: the certificates that the stage trusts."""
    lines = b"" if not bundle or bundle.endswith(b"\n") else b"\n"
    return (
        Mount("file", _STAGE_BUNDLE, data=bundle + lines + pem, mode=0o444),
        Mount("file", _STAGE_APT, data=f'Acquire::https::CAInfo "{_STAGE_BUNDLE}";\n'.encode(), mode=0o444),
        Mount("file", _STAGE_WGET, data=f"ca_certificate = {_STAGE_BUNDLE}\n".encode(), mode=0o444),
    )


def certificate_of(secrets: Mapping[str, str]) -> bytes:
    """The certificate as PEM. Raises Rejected when there is none, or it is no certificate; does not quote it."""
    import ssl

    text = secrets.get(SECRET, "")
    if not text:
        raise Rejected(f"the fetch service is to be used, but secrets has no {SECRET}")
    try:
        pem = base64.b64decode(text, validate=True)
        for block in pem.decode("ascii").split("-----END CERTIFICATE-----")[:-1] or [""]:
            if ssl.PEM_cert_to_DER_cert(f"{block.strip()}\n-----END CERTIFICATE-----\n")[:1] != _SEQUENCE:
                raise ValueError
    except (binascii.Error, ValueError):
        raise Rejected(f"secrets.{SECRET} is not the base64 of a PEM certificate") from None
    return pem.strip() + b"\n"


def install(target: Target, secrets: Mapping[str, str]) -> None:
    """Have the target trust the fetch service. Raises Rejected, TargetFailed, and Failed when the image has no
    ca-certificates and it cannot be installed."""
    pem = certificate_of(secrets)
    if not target.exists(_UPDATE):
        from contractor.buildd.target.preparation import install as install_packages

        install_packages(target, ["ca-certificates"])
    target.write(CERTIFICATE, pem)
    target.run([_UPDATE], check=True)
