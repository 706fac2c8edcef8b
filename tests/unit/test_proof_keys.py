"""Keys: what others can compute, what is refused, and that there is never half a key."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proof_kit import PRIVATE, signer

from contractor.core.errors import ContractorError, Rejected
from contractor.proof.keyring import Keyring, find, own_name, read_keys
from contractor.proof.keys import NAME, PublicKey, by_id, parse, private_text, public_text, read_private
from contractor.proof.signing import Signer, holds

NAMES = st.from_regex(NAME, fullmatch=True)
KEYS = st.builds(PublicKey, NAMES, st.binary(min_size=32, max_size=32))


@pytest.fixture
def ring(tmp_path) -> Keyring:
    return Keyring(str(tmp_path / "config"))


# RFC 8032, section 7.1, test 2
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signatures_are_those_of_rfc_8032() -> None:
    made = Signer("test", SECRET)
    assert made.key.data == PUBLIC
    assert made.sign(b"\x72") == SIGNATURE
    assert holds(made.key, SIGNATURE, b"\x72")


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"x", bytes(64), SIGNATURE[::-1]])
def test_another_signature_does_not_hold(signature: bytes) -> None:
    assert not holds(PublicKey("test", PUBLIC), signature, b"\x72")


def test_a_key_that_is_no_point_of_the_curve_signs_nothing() -> None:
    assert not holds(PublicKey("test", b"\xff" * 32), SIGNATURE, b"\x72")


def test_openssl_reads_both_files_and_gives_the_id(tmp_path) -> None:
    (tmp_path / "key.pem").write_text(private_text(SECRET))
    (tmp_path / "key.pub").write_text(public_text(PublicKey("test", PUBLIC)))
    der = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "key.pem", "-pubout", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    again = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", tmp_path / "key.pub", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert der == again
    digest = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout.split()[0].decode()
    assert digest == PublicKey("test", PUBLIC).id


def test_a_key_made_by_openssl_can_be_used(tmp_path) -> None:
    path = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    made = Signer("other", read_private(path.read_text(), str(path)))
    assert holds(made.key, made.sign(b"x"), b"x")


@given(st.lists(KEYS, max_size=5))
def test_a_trust_file_is_read_as_it_was_written(keys: list[PublicKey]) -> None:
    text = "# a comment\n\n" + "\n".join(map(public_text, keys))
    first = by_id(reversed(keys))  # of the same key twice, the first counts
    assert parse(text, "file") == list(dict.fromkeys(first[key.id] for key in keys))


@given(KEYS, st.data())
def test_a_changed_trust_file_gives_another_key_or_none(key: PublicKey, data: st.DataObject) -> None:
    text = public_text(key)
    at = data.draw(st.integers(text.index("-----BEGIN"), len(text) - 2))
    put = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = text[:at] + put + text[at + 1 :]
    try:
        found = parse(changed, "file")
    except Rejected as error:
        assert error.message.startswith("file:")
    else:
        assert changed == text or key not in found


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "name: a/b\n",
        "-----BEGIN PUBLIC KEY-----\nMCow\n",
        "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n????\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    ],
)
def test_what_is_no_trust_file_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(Rejected, match=r"file:1: "):
        parse(text, "file")


def test_an_rsa_key_is_refused(tmp_path) -> None:
    path = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-out", path], check=True, capture_output=True)
    with pytest.raises(Rejected, match="not an ed25519 private key"):
        read_private(path.read_text(), str(path))


def test_an_encrypted_key_is_refused(tmp_path) -> None:
    path = tmp_path / "encrypted.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:secret", "-out", path],
        check=True,
    )
    with pytest.raises(Rejected, match="is encrypted"):
        read_private(path.read_text(), str(path))


# --- the folder ------------------------------------------------------------------------------------------------------


def test_the_first_key_is_made_once_and_is_for_its_owner_alone(ring: Keyring) -> None:
    first, second = ring.signer(), ring.signer()
    assert (first.made, second.made) == (True, False)
    assert first.id == second.id
    assert first.key.name == ring.default() == own_name()
    assert stat.S_IMODE(os.stat(ring.keys).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{ring.keys}/{first.key.name}.pem").st_mode) == 0o600
    assert ring.trusted() == {first.id: first.key}
    assert not [name for name in os.listdir(ring.keys) if name.startswith(".")]


def test_many_first_builds_make_one_key(tmp_path) -> None:
    script = "import sys; from contractor.proof.keyring import Keyring; print(Keyring(sys.argv[1]).signer().id)"
    running = [
        subprocess.Popen(["python3", "-c", script, tmp_path / "c"], stdout=subprocess.PIPE, env=_python())
        for _ in range(4)
    ]
    ids = {process.communicate()[0] for process in running}
    assert len(ids) == 1
    assert all(process.returncode == 0 for process in running)


def _python() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_private_key_that_others_can_read_is_refused(ring: Keyring, mode: int) -> None:
    path = f"{ring.keys}/{ring.signer().key.name}.pem"
    os.chmod(path, mode)
    with pytest.raises(Rejected, match=f"others can read .*{mode:04o}") as caught:
        ring.signer()
    assert f"chmod go= {path}" in caught.value.hint


def test_a_folder_that_others_can_enter_is_refused(ring: Keyring) -> None:
    ring.signer()
    os.chmod(ring.keys, 0o755)
    with pytest.raises(Rejected, match="others can read"):
        ring.signer()
    with pytest.raises(Rejected, match="others can read"):
        ring.trusted()


def test_a_trust_file_that_others_can_write_is_refused(ring: Keyring) -> None:
    ring.trust([signer().key])
    os.chmod(ring.trust_file, 0o666)
    with pytest.raises(Rejected, match="others can write"):
        ring.trusted()


def test_a_public_key_that_is_not_that_of_the_private_one_is_refused(ring: Keyring) -> None:
    name = ring.signer().key.name
    Path(ring.keys, f"{name}.pub").write_text(public_text(signer().key))
    with pytest.raises(Rejected, match="is not the public key of"):
        ring.signer()


def test_a_lost_public_key_is_made_again(ring: Keyring) -> None:
    key = ring.signer().key
    os.unlink(f"{ring.keys}/{key.name}.pub")
    assert ring.own() == [key]
    assert read_keys(f"{ring.keys}/{key.name}.pub") == [key]


def test_a_key_is_never_replaced(ring: Keyring) -> None:
    key = ring.new("release")
    with pytest.raises(Rejected, match="there is a key release already"):
        ring.new("release")
    assert ring.own() == [key]


def test_the_signing_key_can_be_chosen(ring: Keyring) -> None:
    first = ring.new("first")
    ring.new("second")
    assert ring.signer().key == first
    second = ring.use("second")
    assert ring.signer().key == second
    assert ring.new("third", use=True) == ring.signer().key
    with pytest.raises(Rejected, match="there is no key file"):
        ring.use("fourth")


def test_without_a_choice_several_keys_sign_nothing(ring: Keyring) -> None:
    ring.new("first")
    ring.new("second")
    os.unlink(f"{ring.keys}/default")
    with pytest.raises(Rejected, match="no key is chosen"):
        ring.signer()


def test_trust_and_untrust(ring: Keyring) -> None:
    own, other = ring.new("own"), signer("other").key
    assert ring.trust([other]) == [other]
    assert ring.trust([other, own]) == []
    assert ring.trusted() == {own.id: own, other.id: other}
    assert ring.untrust(other.id[:10]) == other
    assert ring.trusted() == {own.id: own}
    with pytest.raises(Rejected, match="there is no key other"):
        ring.untrust("other")


def test_two_keys_of_one_name_are_not_trusted(ring: Keyring) -> None:
    ring.trust([signer("other").key])
    with pytest.raises(Rejected, match="that of another trusted key") as caught:
        ring.trust([signer("other", SECRET).key])
    assert "--name" in caught.value.hint


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", "-x", "a" * 65, "a b", "ä", "a\nb"])
def test_a_name_is_never_a_path(ring: Keyring, name: str) -> None:
    with pytest.raises(Rejected, match="cannot be a key's name"):
        ring.new(name)
    assert not os.path.exists(ring.keys)


def test_a_folder_that_cannot_be_made_is_told(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ContractorError, match=r"cannot be read|cannot be written"):
        Keyring(str(tmp_path / "file" / "config")).signer()


def test_find_wants_enough_of_an_id() -> None:
    keys = [signer("a").key, signer("b", SECRET).key]
    assert find(keys, keys[1].id[:8], "here") == keys[1]
    with pytest.raises(Rejected, match="there is no key"):
        find(keys, keys[1].id[:7], "here")
    assert PRIVATE != SECRET
