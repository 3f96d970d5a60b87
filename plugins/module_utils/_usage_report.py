# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known about the use of an AMI, in the form that the user reads, with the verdict."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ansible_collections.amistore.aws.plugins.module_utils._images import Snapshot
from ansible_collections.amistore.aws.plugins.module_utils._usage_images import (
    Ancestor,
    OwnedImage,
    Sdk,
    launches_of,
    obstacles_to,
    protection_of,
    read_time,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import References
from ansible_collections.amistore.aws.plugins.module_utils._usage_stored import StoredCopy
from ansible_collections.amistore.aws.plugins.module_utils._usage_verdict import (
    Findings,
    Stored,
    Use,
    Verdict,
    decide,
    use_of,
)

# Results stay small: an AMI can have thousands of instances.
SHOWN_REFERENCES = 10


@dataclass
class Facts:
    """What the calls brought, by AMI or snapshot; what is not in there is unknown.

    None stands for what was not asked for.
    """

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    permissions: dict[str, int] = field(default_factory=dict)
    spared: set[str] = field(default_factory=set)
    """The AMIs whose launch permissions were not asked for, since they change nothing."""
    references: dict[str, References] | None = None
    chains: dict[str, tuple[Ancestor, ...]] | None = None
    bucket_given: bool = False
    copies: dict[str, StoredCopy] | None = None
    """None, in a bucket that was given, where it could not be listed."""

    def stored(self, image_id: str) -> Stored:
        if not self.bucket_given:
            return Stored.NOT_ASKED
        if self.copies is None:
            return Stored.UNKNOWN
        return Stored.YES if image_id in self.copies else Stored.NO

    def shared(self, item: OwnedImage) -> bool | None:
        if item.image.raw.get("Public"):
            return True
        count = self.permissions.get(item.image.image_id)
        return None if count is None else count > 0

    def referenced(self, image_id: str) -> bool | None:
        references = (self.references or {}).get(image_id)
        return None if references is None else references.found_any

    def snapshot_bytes(self, item: OwnedImage) -> int | None:
        """Return the bytes of the snapshots' data; None unless each of them is told."""
        total = 0
        for snapshot_id in item.image.snapshot_ids:
            snapshot = self.snapshots.get(snapshot_id)
            size = snapshot.raw.get("FullSnapshotSizeInBytes") if snapshot else None
            if size is None:
                return None
            total += size
        return total


@dataclass(frozen=True)
class Judge:
    """Turns facts into findings, verdicts and what the user reads."""

    sdk: Sdk
    now: datetime
    unused_days: int
    facts: Facts

    def findings(self, item: OwnedImage) -> Findings:
        image_id = item.image.image_id
        return Findings(
            use=use_of(launches_of(item, self.sdk), self.now, self.unused_days),
            stored=self.facts.stored(image_id),
            shared=self.facts.shared(item),
            protected=protection_of(item, self.sdk),
            referenced=self.facts.referenced(image_id),
            obstacles=obstacles_to(item),
        )

    def verdict(self, item: OwnedImage) -> Verdict:
        return decide(self.findings(item))

    def describe(self, item: OwnedImage) -> dict[str, t.Any]:
        """Return what is known about an AMI; `unknown` names what is null and not none."""
        image_id = item.image.image_id
        verdict = self.verdict(item)
        return {
            **_identity(item),
            **self._times(item),
            "deregistration_protection": item.image.raw.get("DeregistrationProtection") or None,
            "public": bool(item.image.raw.get("Public")),
            "launch_permissions": self.facts.permissions.get(image_id),
            "size": item.image.size,
            "snapshot_bytes": self.facts.snapshot_bytes(item),
            "ancestry": _chain((self.facts.chains or {}).get(image_id)),
            "references": _references((self.facts.references or {}).get(image_id)),
            "stored_image": _copy((self.facts.copies or {}).get(image_id)),
            "archivable": verdict.archivable,
            "reasons": list(verdict.reasons),
            "unknown": self._unknown(item),
        }

    def _times(self, item: OwnedImage) -> dict[str, t.Any]:
        launches = launches_of(item, self.sdk)
        deprecation = read_time(item.image.raw.get("DeprecationTime"))
        past = None if launches.last is None else (self.now - launches.last) // timedelta(days=1)
        return {
            "creation_time": _iso(launches.created),
            "last_launched_time": _iso(launches.last),
            "days_since_launch": None if past is None else max(0, past),
            "use": self.findings(item).use.value,
            "deprecation_time": _iso(deprecation),
            "deprecated": deprecation is not None and deprecation <= self.now,
        }

    def _unknown(self, item: OwnedImage) -> list[str]:
        image_id, facts = item.image.image_id, self.facts
        launches, found = launches_of(item, self.sdk), self.findings(item)
        references = (facts.references or {}).get(image_id, References(unchecked=("all",)))
        tests = {
            "creation_time": launches.created is None,
            "source_image_id": "SourceImageId" not in self.sdk.image_fields,
            "source_image_region": "SourceImageRegion" not in self.sdk.image_fields,
            "last_launched_time": launches.last is None and found.use is Use.UNKNOWN,
            "deregistration_protection": found.protected is None,
            "launch_permissions": image_id not in (facts.spared | facts.permissions.keys()),
            "snapshot_bytes": facts.snapshot_bytes(item) is None,
            "ancestry": facts.chains is not None and image_id not in facts.chains,
            "references": facts.references is not None and bool(references.unchecked),
            "stored_image": found.stored is Stored.UNKNOWN,
        }
        return [name for name, unknown in tests.items() if unknown]


def _identity(item: OwnedImage) -> dict[str, t.Any]:
    raw = item.image.raw
    return {
        "image_id": item.image.image_id,
        "name": item.image.name,
        "owner_id": item.image.owner_id,
        "owned": item.owned,
        "state": item.image.state,
        "source_image_id": raw.get("SourceImageId") or None,
        "source_image_region": raw.get("SourceImageRegion") or None,
        "source_instance_id": raw.get("SourceInstanceId") or None,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _chain(chain: tuple[Ancestor, ...] | None) -> list[dict[str, t.Any]] | None:
    if chain is None:
        return None
    return [
        {
            "image_id": ancestor.image_id,
            "source_image_id": ancestor.source_image_id,
            "source_image_region": ancestor.source_image_region,
            "owner_alias": ancestor.owner_alias,
            "creation_time": _iso(ancestor.created),
        }
        for ancestor in chain
    ]


def _references(references: References | None) -> dict[str, t.Any] | None:
    if references is None:
        return None
    shown = references.found[:SHOWN_REFERENCES]
    return {
        "count": len(references.found),
        "found": [{"resource_type": r.resource_type, "arn": r.arn} for r in shown],
        "unchecked": list(references.unchecked),
    }


def _copy(copy: StoredCopy | None) -> dict[str, t.Any] | None:
    if copy is None:
        return None
    return {
        "object_key": copy.stored.key,
        "size": copy.stored.size,
        "last_modified": _iso(copy.stored.last_modified),
        "storage_class": copy.stored.storage_class,
        "restorable": copy.stored.restorable,
        "manifest": copy.has_manifest,
    }
