"""What build() is told: a struct for each build type, checked whole before anything happens.

The names are Launchpad's. A nil where something has a default is the default; keys that no table here knows are
dropped, because managers send some for their own use.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from contractor.core.values import Value

Texts = dict[str, str]
Channels = dict[str, str]
Number = int | str  # a number that some managers write as text


class Arguments(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Common to all types. archives: lines of sources.list. trusted_keys: base64. image_type: of the image's tar."""

    series: str
    arch_tag: str = ""
    archives: list[str] = []
    trusted_keys: list[str] = []
    archive_private: bool = False
    build_url: str = ""
    builder_constraints: list[str] = []
    fast_cleanup: bool = False
    image_type: Literal["chroot", "lxd"] = "chroot"
    launchpad_instance: str = "production"
    launchpad_server_url: str = ""


class BinaryPackage(Arguments, frozen=True, kw_only=True):
    suite: str
    ogrecomponent: str
    archive_purpose: str = ""
    arch_indep: bool = False
    build_debug_symbols: bool = False


class Recipe(Arguments, frozen=True, kw_only=True):
    """recipe_text: git-build-recipe's or bzr-builder's."""

    recipe_text: str
    suite: str
    ogrecomponent: str
    author_name: str
    author_email: str
    archive_purpose: str
    git: bool = False


class Sourced(Arguments, frozen=True, kw_only=True):
    """From a Bazaar branch, or a git repository at git_path (HEAD when it is empty)."""

    branch: str = ""
    git_repository: str = ""
    git_path: str = ""


class Translations(Sourced, frozen=True, kw_only=True):
    branch_url: str = ""


class LiveFS(Arguments, frozen=True, kw_only=True):
    project: str
    pocket: str
    subproject: str = ""
    subarch: str = ""
    datestamp: str = ""
    image_format: str = ""
    locale: str = ""
    extra_ppas: list[str] = []
    extra_snaps: list[str] = []
    channel: str = ""
    image_targets: list[str] = []
    repo_snapshot_stamp: Number = ""
    snapshot_service_timestamp: Number = ""
    cohort_key: str = msgspec.field(default="", name="cohort-key")
    debug: bool = False


class Proxied(Sourced, frozen=True, kw_only=True):
    """With a builder proxy. proxy_url: http://user:secret@host:port. revocation_endpoint: where its token is revoked.
    secrets: fetch_service_mitm_certificate and what the type's own plugins need."""

    proxy_url: str = ""
    revocation_endpoint: str = ""
    use_fetch_service: bool = False
    secrets: Texts = {}


class Snap(Proxied, frozen=True, kw_only=True):
    name: str
    channels: Channels = {}
    build_request_id: Number = ""
    build_request_timestamp: str = ""
    build_source_tarball: bool = False
    private: bool = False
    target_architectures: list[str] = []
    craft_platform: str = ""
    disable_proxy_after_pull: bool = False


class Oci(Proxied, frozen=True, kw_only=True):
    name: str
    build_file: str = ""
    build_args: Texts = {}
    build_path: str = ""


class Packed(Proxied, frozen=True, kw_only=True):
    """Charms and rocks."""

    name: str
    build_path: str = ""
    channels: Channels = {}
    craft_platform: str = ""


class Craft(Packed, frozen=True, kw_only=True):
    environment_variables: Texts = {}


class Ci(Proxied, frozen=True, kw_only=True):
    """jobs: stages one after the other, each a list of jobs as [name, index]."""

    jobs: list[list[tuple[str, int]]]
    package_repositories: list[str] = []
    environment_variables: Texts = {}
    plugin_settings: Texts = {}
    scan_malware: bool = False
    channels: Channels = {}


STRUCTS: dict[str, type[Arguments]] = {
    "binarypackage": BinaryPackage,
    "sourcepackagerecipe": Recipe,
    "translation-templates": Translations,
    "livefs": LiveFS,
    "snap": Snap,
    "oci": Oci,
    "charm": Packed,
    "ci": Ci,
    "rock": Packed,
    "craft": Craft,
}


def typed(tag: str, arguments: dict[str, Any]) -> Arguments:
    """A Job's arguments as the struct of its type."""
    return msgspec.convert(arguments, STRUCTS[tag])
