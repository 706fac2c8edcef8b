"""Redaction, and the JSON of a fetch."""

from __future__ import annotations

import string
import sys
import urllib.parse

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contractor.core.fetch import Fetch
from contractor.network.ledger import REDACTED, redact

SECRET = st.text(string.ascii_letters + string.digits, min_size=12, max_size=24).map(lambda text: "S3" + text)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("http://user:pass@example.org/x", "http://***@example.org/x"),
        ("http://token@example.org/x", "http://***@example.org/x"),
        ("http://a:b@c@example.org/", "http://***@example.org/"),
        ("user:pass@example.org:443", "***@example.org:443"),
        ("https://e.org/a?token=abc&x=1", "https://e.org/a?token=***&x=1"),
        ("https://e.org/a?x=1;API_KEY=abc#access_token=t", "https://e.org/a?x=1;API_KEY=***#access_token=***"),
        ("https://e.org/a?X-Amz-Signature=abc&X-Amz-Date=1", "https://e.org/a?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://e.org/a?to%6ben=abc", "https://e.org/a?to%6ben=***"),
        ("https://e.org/a?v=ghp_abcdef", "https://e.org/a?v=***"),
        ("https://e.org/a?u=http%3A%2F%2Fme%3Apw%40host%2F", "https://e.org/a?u=***"),
        ("https://e.org/r/http://me:pw@host/x", "https://e.org/r/http://***@host/x"),
        ("https://e.org/a?author=me&monkey=1&design=2", "https://e.org/a?author=me&monkey=1&design=2"),
        ("https://e.org/@scope/name@1.0?q=a@b", "https://e.org/@scope/name@1.0?q=a@b"),
        ("https://e.org/a?token=", "https://e.org/a?token="),
        ("", ""),
    ],
)
def test_redact(url: str, redacted: str) -> None:
    assert redact(url) == redacted


@given(st.text())
def test_redact_takes_any_text_and_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(
    SECRET,
    st.sampled_from(
        ["token", "api_key", "apikey", "password", "sig", "X-Amz-Credential", "auth", "key", "client_secret"]
    ),
    st.dictionaries(st.sampled_from(["x", "page", "author", "v"]), st.text(max_size=5), max_size=3),
)
def test_no_secret_parameter_survives(secret: str, name: str, others: dict[str, str]) -> None:
    url = "https://example.org/a?" + urllib.parse.urlencode({**others, name: secret})
    assert secret not in redact(url)
    assert f"{name}={REDACTED}" in redact(url)


@given(st.sampled_from(["http", "https", "ftp"]), SECRET, SECRET)
def test_no_userinfo_survives(scheme: str, user: str, password: str) -> None:
    shown = redact(f"{scheme}://{user}:{password}@example.org:8080/path")
    assert shown == f"{scheme}://{REDACTED}@example.org:8080/path"


@given(st.text(string.ascii_lowercase + "/._-", max_size=30))
def test_a_url_without_credentials_stays(path: str) -> None:
    url = f"http://example.org/{path}?page=2&arch=amd64#top"
    assert redact(url) == url


def test_a_fetch_survives_json() -> None:
    fetch = Fetch(method="GET", url="http://e.org/", verdict="allowed", status=200, size=3, at=1.5, seconds=0.25)
    assert msgspec.json.decode(msgspec.json.encode(fetch), type=Fetch) == fetch


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"method":"GET","url":"","verdict":"maybe","at":0,"seconds":0}', type=Fetch)


def test_the_ledger_imports_nothing_heavy() -> None:
    import subprocess

    heavy = ("asyncio", "ssl", "h11", "urllib")
    code = f"import sys, contractor.network.ledger; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
