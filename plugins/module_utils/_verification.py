# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a restored AMI is what its manifest says that it was: a pure comparison."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._images import UEFI_BOOT_MODES
from ansible_collections.amistore.aws.plugins.module_utils._inputs import PROOF_TAG_PREFIX
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest

# By the names in results; values are the members of AWS's Image.
ALWAYS_TOLD = {
    "architecture": "Architecture",
    "virtualization_type": "VirtualizationType",
    "root_device_name": "RootDeviceName",
    "root_device_type": "RootDeviceType",
}
# AWS leaves them out where they are not set; every supported SDK knows them.
TOLD_WHERE_SET = {
    "boot_mode": "BootMode",
    "tpm_support": "TpmSupport",
    "imds_support": "ImdsSupport",
    "ena_support": "EnaSupport",
    "description": "Description",
}
DISK_ALWAYS_TOLD = {
    "volume_size": "VolumeSize",
    "volume_type": "VolumeType",
    "delete_on_termination": "DeleteOnTermination",
}
DISK_TOLD_WHERE_SET = {"iops": "Iops", "throughput": "Throughput"}
# What a volume of this type has where nothing else is said:
# https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
GP3_BASELINE = {"Iops": 3000, "Throughput": 125}
# AWS tells it to those who may ask for it, and older manifests have nothing about it.
NOT_COUNTING = frozenset({"uefi_data"})
AWS_TAG_PREFIX = "aws:"
# In a message: an AMI that lost all its tags differs in fifty fields.
MOST_TOLD = 10

Facts = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Difference:
    """What came back otherwise than it was."""

    field: str
    expected: t.Any
    actual: t.Any

    def __str__(self) -> str:
        return f"{self.field} is {self.actual!r}, was {self.expected!r}"


@dataclass(frozen=True)
class Unknown:
    """What could not be compared."""

    field: str


Finding = t.Union[Difference, Unknown]


@dataclass(frozen=True)
class Verification:
    """How a comparison ended; `equal` is None where nothing could be compared."""

    equal: bool | None
    differences: tuple[Difference, ...] = ()
    unknown: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing was compared."""
    stored_encrypted: bool | None = None
    """Whether any disk was encrypted, as far as the manifest tells."""

    @property
    def proven(self) -> bool:
        """Whether everything that counts is known and equal."""
        return self.equal is True and not self.gap

    @property
    def gap(self) -> str:
        """What counts and could not be compared by itself, "" where nothing."""
        missing = [name for name in self.unknown if name not in NOT_COUNTING]
        return f"not known, and so not compared: {', '.join(missing)}" if missing else ""

    @property
    def verdict(self) -> str:
        """That it is not equal, in short; "" where nothing differs."""
        if self.equal is None:
            return "it was not compared with its manifest"
        return "it differs from its manifest" if self.differences else ""

    @property
    def problem(self) -> str:
        """What keeps it from being equal, "" where nothing does."""
        named = [str(each) for each in self.differences[:MOST_TOLD]]
        if len(self.differences) > MOST_TOLD:
            named.append(f"and {len(self.differences) - MOST_TOLD} more, see verification")
        details = self.reason or "; ".join(named)
        return f"{self.verdict}: {details}" if self.verdict else ""

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "equal": self.equal,
            "differences": [
                {"field": each.field, "expected": each.expected, "actual": each.actual}
                for each in self.differences
            ],
            "unknown": list(self.unknown),
            "reason": self.reason or None,
            "stored_encrypted": self.stored_encrypted,
        }


@dataclass(frozen=True)
class Restoration:
    """The restored AMI and what the task asked of it."""

    image: Facts
    """As DescribeImages shows it."""
    etag: str
    """Of the object that it was restored from."""
    image_tags: t.Mapping[str, str] = field(default_factory=dict)
    named_by_manifest: bool = True
    asked_tags: t.Mapping[str, str] | None = None
    purged: bool = False
    """Whether tags that the task does not ask for were to go."""
    uefi_digest: str | None = None
    """ "" where it has no UEFI data, None where that is not known."""


def not_compared(reason: str) -> Verification:
    return Verification(None, reason=reason)


NOT_YET = not_compared("the run ended before")


def compare(manifest: Manifest, restored: Restoration) -> Verification:
    """Compare a restored AMI with the manifest of its stored image, field by field.

    | field                       | expected             | unknown where           | counts |
    |-----------------------------|----------------------|-------------------------|--------|
    | etag                        | see below            | the manifest lacks it   | yes    |
    | architecture                | as in the manifest   | either lacks it         | yes    |
    | virtualization_type         | as in the manifest   | either lacks it         | yes    |
    | root_device_name            | as in the manifest   | either lacks it         | yes    |
    | root_device_type            | as in the manifest   | either lacks it         | yes    |
    | boot_mode                   | as there, or not set | the manifest is partial | yes    |
    | tpm_support                 | as there, or not set | the manifest is partial | yes    |
    | imds_support                | as there, or not set | the manifest is partial | yes    |
    | ena_support                 | as there, else false | the manifest is partial | yes    |
    | description                 | as there, else empty | the manifest is partial | yes    |
    | name                        | as there, or given   | the manifest lacks it   | yes    |
    | disks                       |                      | the manifest lacks them | yes    |
    | disks.<device>              | the same devices     | never                   | yes    |
    | disks.<device>.volume_size  | as in the manifest   | either lacks it         | yes    |
    | disks.<device>.volume_type  | as in the manifest   | either lacks it         | yes    |
    | disks.<device>.delete_on_termination | as in the manifest | either lacks it  | yes    |
    | disks.<device>.iops         | as there, where told or of gp3 | never         | yes    |
    | disks.<device>.throughput   | as there, where told or of gp3 | never         | yes    |
    | tags                        |                      | the manifest is partial | yes    |
    | tags.<key>                  | the task's, else as in the manifest | never    | yes    |
    | uefi_data                   | as in the manifest, with UEFI | either lacks it | no    |

    A manifest is partial where it lacks what AWS tells about every AMI: then nothing can be
    concluded from what else is not in it. One that was written for another object is not compared
    at all. A name that the task gives is not compared. Tags that are in the way of neither the task
    nor the manifest are no difference, those of AWS (aws:) and the proof are left out, and with
    purge_tags and tags only those of the task are expected. Encryption is told and never a
    difference: it is that of the restoring account.
    """
    stored = manifest.document.get("image")
    if not isinstance(stored, dict) or not stored:
        return not_compared("the manifest tells nothing about the AMI")
    if manifest.etag not in (None, restored.etag):
        return not_compared(
            f"the manifest was written for another object (ETag {manifest.etag}, restored"
            f" {restored.etag})"
        )
    findings = [*_compare_all(manifest, stored, restored)]
    return Verification(
        equal=not any(isinstance(finding, Difference) for finding in findings),
        differences=tuple(each for each in findings if isinstance(each, Difference)),
        unknown=tuple(each.field for each in findings if isinstance(each, Unknown)),
        stored_encrypted=manifest.has_encrypted_snapshot,
    )


def _compare_all(manifest: Manifest, stored: Facts, restored: Restoration) -> t.Iterator[Finding]:
    whole = _is_whole(stored)
    if manifest.etag is None:
        yield Unknown("etag")
    for name, member in ALWAYS_TOLD.items():
        yield from _where_both_tell(name, stored.get(member), restored.image.get(member))
    for name, member in TOLD_WHERE_SET.items():
        was, now = _plain(name, stored.get(member)), _plain(name, restored.image.get(member))
        yield from _compare_value(name, was, now) if whole or was else [Unknown(name)]
    if restored.named_by_manifest:
        yield from _where_both_tell("name", manifest.name, restored.image.get("Name"))
    yield from _compare_disks(stored, restored.image)
    yield from _compare_tags(stored if whole else None, restored)
    yield from _compare_uefi(manifest, stored, restored)


def _is_whole(stored: Facts) -> bool:
    """Tell whether a manifest has all that AWS tells about every AMI."""
    members = [*ALWAYS_TOLD.values(), "BlockDeviceMappings"]
    return all(stored.get(member) for member in members)


def _plain(name: str, value: t.Any) -> t.Any:
    """Return a value with what AWS may leave out put in."""
    if name == "ena_support":
        return bool(value)
    return (value or "") if name == "description" else (value or None)


def _compare_value(name: str, was: t.Any, now: t.Any) -> t.Iterator[Finding]:
    if was != now:
        yield Difference(name, was, now)


def _where_both_tell(name: str, was: t.Any, now: t.Any) -> t.Iterator[Finding]:
    if was is None or now is None or "" in (was, now):
        yield Unknown(name)
    elif was != now:
        yield Difference(name, was, now)


def _compare_disks(stored: Facts, image: Facts) -> t.Iterator[Finding]:
    was, now = _mappings(stored), _mappings(image)
    if not was:
        yield Unknown("disks")
        return
    for device in sorted({*was, *now}):
        name = f"disks.{device}"
        kinds = [_kind(side.get(device)) for side in (was, now)]
        if kinds[0] != kinds[1]:
            yield Difference(name, *kinds)
        elif "Ebs" in was[device]:
            yield from _compare_volume(name, _facts(was[device]["Ebs"]), _facts(now[device]["Ebs"]))


def _compare_volume(disk: str, was: Facts, now: Facts) -> t.Iterator[Finding]:
    for name, member in DISK_ALWAYS_TOLD.items():
        yield from _where_both_tell(f"{disk}.{name}", was.get(member), now.get(member))
    for name, member in DISK_TOLD_WHERE_SET.items():
        expected = _performance(was, member)
        if expected is not None:
            yield from _compare_value(f"{disk}.{name}", expected, _performance(now, member))


def _performance(volume: Facts, member: str) -> t.Any:
    told = volume.get(member)
    return GP3_BASELINE[member] if told is None and volume.get("VolumeType") == "gp3" else told


def _mappings(image: Facts) -> dict[str, Facts]:
    """Return the block device mappings by the names of the devices."""
    mappings = image.get("BlockDeviceMappings")
    return {
        str(mapping.get("DeviceName")): mapping
        for mapping in (mappings if isinstance(mappings, list) else [])
        if isinstance(mapping, dict)
    }


def _kind(mapping: Facts | None) -> str | None:
    """Return what stands behind a device name; None where it is not mapped."""
    if mapping is None:
        return None
    if "Ebs" in mapping:
        return "EBS volume"
    if mapping.get("VirtualName"):
        return str(mapping["VirtualName"])
    return "no device" if "NoDevice" in mapping else "unknown kind"


def _compare_tags(stored: Facts | None, restored: Restoration) -> t.Iterator[Finding]:
    asked = dict(restored.asked_tags or {})
    expected = dict(asked)
    if not (restored.purged and restored.asked_tags is not None):
        if stored is None:
            yield Unknown("tags")
        expected = _own_tags(stored or {}) | asked
    for key, value in sorted(expected.items()):
        yield from _compare_value(f"tags.{key}", value, restored.image_tags.get(key))


def _own_tags(stored: Facts) -> dict[str, str]:
    """Return the tags that the AMI had and that a restore brings back."""
    tags = stored.get("Tags")
    pairs = [
        (tag.get("Key"), tag.get("Value"))
        for tag in (tags if isinstance(tags, list) else [])
        if isinstance(tag, dict)
    ]
    return {
        key: value
        for key, value in pairs
        if isinstance(key, str)
        and isinstance(value, str)
        and not key.startswith((AWS_TAG_PREFIX, PROOF_TAG_PREFIX))
    }


def _compare_uefi(manifest: Manifest, stored: Facts, restored: Restoration) -> t.Iterator[Finding]:
    if stored.get("BootMode") not in UEFI_BOOT_MODES:
        return
    was, now = manifest.uefi_digest, restored.uefi_digest
    if was is None or now is None:
        yield Unknown("uefi_data")
    else:
        yield from _compare_value("uefi_data", was, now)


def _facts(value: t.Any) -> Facts:
    return value if isinstance(value, dict) else {}
