"""The fetch service: a builder proxy that looks into TLS, so its authority's certificate must be trusted in the target.

Most programs read the system's bundle. Those that bring their own are told of it in the environment.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contractor.core.errors import Rejected

if TYPE_CHECKING:
    from contractor.buildd.target.target import Target

SECRET = "fetch_service_mitm_certificate"  # noqa: S105 - its name among the arguments' secrets
CERTIFICATE = "/usr/local/share/ca-certificates/local-ca.crt"
_UPDATE = "/usr/sbin/update-ca-certificates"
_SEQUENCE = b"\x30"  # how a certificate's DER begins
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

ENVIRONMENT = {"CARGO_HTTP_CAINFO": _BUNDLE, "REQUESTS_CA_BUNDLE": _BUNDLE, "GOPROXY": "direct"}


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
