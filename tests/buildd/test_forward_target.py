"""A build's own proxy from inside a target: real sandboxes, a real builder proxy, real tokens."""

from __future__ import annotations

import base64
import http.server
import subprocess
from pathlib import Path

import pytest
from proxy_kit import Service, TokenServer, proxy_of
from target_kit import Account, image_of, kinds, small_tree

_ASK = """
ask() { exec 3<>/dev/tcp/127.0.0.1/3128; printf '%s\\r\\n' "$@" "Connection: close" "" >&3; cat <&3; }
ask "GET http://$1/page HTTP/1.1" "Host: $1"; echo
ask "CONNECT $1 HTTP/1.1" "Host: $1" "" "GET /tunnel HTTP/1.1" "Host: x"; echo
for name in http_proxy https_proxy HTTP_PROXY HTTPS_PROXY SNAPPY_STORE_NO_CDN GOPROXY REQUESTS_CA_BUNDLE; do
    echo "$name=${!name}"
done
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do cat "$file" 2>/dev/null; done
"""


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"this is {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("kind", kinds())
def test_a_build_reaches_the_builder_proxy_and_learns_nothing(kind: str, top: Path) -> None:
    tree = top / f"tree-{kind}"
    small_tree(tree, {"update-ca-certificates": "echo updated; cat /usr/local/share/ca-certificates/local-ca.crt"})
    (tree / "usr/bin/update-ca-certificates").rename(tree / "usr/sbin/update-ca-certificates")
    (tree / "usr/bin/ask").write_text(f"#!/bin/bash\n{_ASK}")
    (tree / "usr/bin/ask").chmod(0o755)
    authority = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fetch"]
    pem = subprocess.run([*authority, "-keyout", "/dev/null"], capture_output=True, check=True).stdout
    with Service(TokenServer) as tokens, proxy_of(tokens) as proxy, Service(Web) as web:
        tokens.live["CI-7"] = "very-secret"
        arguments = {
            "series": "x",
            "name": "x",
            "git_repository": "https://example.org/x",
            "proxy_url": f"http://CI-7:very-secret@{proxy.place}",
            "revocation_endpoint": f"http://{tokens.place}/tokens/CI-7",
            "use_fetch_service": True,
            "secrets": {"fetch_service_mitm_certificate": base64.b64encode(pem).decode()},
        }
        said = Account(kind, top / kind).target(
            image_of(tree, top / f"image-{kind}"),
            f"""
t.arguments = typed("snap", {arguments!r})
from contractor.buildd.target.preparation import trust_fetch_service
t.use_proxy(); trust_fetch_service(t)
say(t.run(["ask", "{web.place}"], user="buildd", network=True, get_output=True).decode(errors="replace"))
t.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3128"], check=True, network="archives")
t.proxy._fetch_service = False; t.revoke_proxy_token(); t.revoke_proxy_token()
""",
        )
        assert said.error == "", said
        seen = said.values[0]
        assert "this is /page" in seen and "this is /tunnel" in seen, said
        assert "https_proxy=http://127.0.0.1:3128" in seen and "HTTP_PROXY=http://127.0.0.1:3128" in seen
        assert "SNAPPY_STORE_NO_CDN=1" in seen and "GOPROXY=direct" in seen and "REQUESTS_CA_BUNDLE=/etc" in seen
        for hidden in ("very-secret", "CI-7", base64.b64encode(b"CI-7:very-secret").decode(), proxy.place):
            assert hidden not in seen and hidden not in said.log, hidden
        assert f"[proxy] GET http://{web.place}/page 200 13 bytes" in said.log, said
        assert f"[proxy] CONNECT {web.place} 200 " in said.log
        assert "updated\n-----BEGIN CERTIFICATE-----" in said.log
        assert [head for head, _ in proxy.heads] == [f"GET http://{web.place}/page", f"CONNECT {web.place}"]
        assert said.log.count("The proxy's token is revoked.") == 1 and tokens.live == {}
