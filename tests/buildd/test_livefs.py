"""Images of root file systems: what is asked for, what is refused, and one made for real from Debian's mirror."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import small_image
import worker_kit

from contractor.buildd.arguments import LiveFS
from contractor.buildd.builds import livefs
from contractor.buildd.target.target import Failed


def asked(**more: Any) -> LiveFS:
    return msgspec.convert(
        {"series": "bookworm", "arch_tag": "amd64", "project": "base", "pocket": "Release", **more}, LiveFS
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"extra_snaps": ["core"]}, "extra-snaps: snaps cannot be put into an image"),
        ({"cohort-key": "x"}, "cohort-key: there is no snap store"),
        ({"image_targets": ["x"]}, "image-targets: "),
        ({"repo_snapshot_stamp": 1}, "repo-snapshot-stamp: "),
        ({"snapshot_service_timestamp": "2024"}, "snapshot-service-timestamp: "),
        ({"image_format": "ubuntu-image"}, "'ubuntu-image' is none of plain, tar, squashfs, ext2, ext3, ext4"),
        ({"project": "a/../b"}, "project: 'a/../b' is no name"),
        ({"subarch": "$x"}, "subarch: '$x' is no name"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_runs(more: dict[str, Any], says: str) -> None:
    with pytest.raises(Failed) as caught:
        livefs.build(None, asked(**more))  # type: ignore[arg-type]
    assert caught.value.status == "PACKAGEFAIL"
    assert says in " ".join(caught.value.details)


def test_the_archives_and_ppas() -> None:
    assert livefs.sources(asked()) == ["deb http://deb.debian.org/debian bookworm main"]
    lines = ["deb http://a/ b c", "deb-src http://a/ b c"]
    assert livefs.sources(asked(archives=lines, extra_ppas=["me/mine", "ppa:you/yours"])) == [
        "deb http://a/ b c",
        "deb http://ppa.launchpadcontent.net/me/mine/ubuntu bookworm main",
        "deb http://ppa.launchpadcontent.net/you/yours/ubuntu bookworm main",
    ]
    for ppa in ("x", "../x", "a/b/c", "a/b [trusted=yes]"):
        with pytest.raises(Failed, match="is not OWNER/NAME"):
            livefs.sources(asked(extra_ppas=[ppa]))


def test_the_day_of_an_image() -> None:
    assert livefs.epoch_of("20240506") == livefs.epoch_of("20240506.3") == 1714953600
    assert livefs.epoch_of("") % 86400 == 0
    with pytest.raises(Failed, match="is no day"):
        livefs.epoch_of("yesterday")


def test_the_list_of_packages() -> None:
    assert (
        livefs.manifest(["apt:amd64=2.6.1", "tzdata:all=2024a-0+deb12u1"]) == b"apt\t2.6.1\ntzdata\t2024a-0+deb12u1\n"
    )


def test_an_ext4_image_for_real() -> None:
    """Half a minute: mmdebstrap from the mirror, mke2fs, and e2fsck's opinion of it."""
    top = Path(tempfile.mkdtemp(prefix="contractor-livefs-", dir="/var/tmp"))
    try:
        image = small_image.make_image(top)
        arguments = {
            "project": "base", "subarch": "generic", "pocket": "Release", "image_format": "ext4",
            "datestamp": "20240506",
        }  # fmt: skip
        done = worker_kit.Worker(top, "livefs", image, arguments).finish()
        assert done.status == "OK", done
        assert set(done.files) == {"livecd.base-generic.ext4", "livecd.base-generic.manifest"}
        assert b"\nbase-files\t12." in done.content("livecd.base-generic.manifest")
        path = top / "cache" / done.files["livecd.base-generic.ext4"]
        check = subprocess.run(["/usr/sbin/e2fsck", "-fn", path], capture_output=True, text=True, check=False)
        assert check.returncode == 0, check.stdout
        for argument, words in (("stat /etc/passwd", "Mode:  0644"), ("stat /", "mtime: 0x66381d80")):
            shown = subprocess.run(
                ["/usr/sbin/debugfs", "-R", argument, path], capture_output=True, text=True, check=True
            )
            assert words in shown.stdout, shown.stdout
    finally:
        shutil.rmtree(top, ignore_errors=True)
