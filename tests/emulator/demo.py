# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AMIs of the seed `demo`."""

from __future__ import annotations

from .seeds import ImageSeed, VolumeSeed


def demo_images(encrypted_too: bool) -> list[ImageSeed]:
    """Three AMIs as a small team has them; an encrypted disk only where it comes back as one."""
    web = ImageSeed(
        name="web-2026.11.1",
        image_id="ami-0aa1b2c3d4e5f6001",
        description="Web server, nginx on Debian 13",
        tags={"Name": "web", "Environment": "production", "CostCenter": "4711"},
        boot_mode="uefi-preferred",
        imds_support="v2.0",
        volumes=(
            VolumeSeed("/dev/xvda", 16, snapshot_tags={"Name": "web-root"}),
            VolumeSeed("/dev/sdb", 40, snapshot_tags={"Name": "web-content"}),
        ),
    )
    database = ImageSeed(
        name="db-2026.11.1",
        image_id="ami-0aa1b2c3d4e5f6002",
        description="Database server, PostgreSQL 18 on Debian 13",
        tags={"Name": "db", "Environment": "production", "Backup": "daily"},
        volumes=(
            VolumeSeed("/dev/xvda", 16, snapshot_tags={"Name": "db-root"}),
            VolumeSeed(
                "/dev/sdb",
                120,
                encrypted=encrypted_too,
                volume_type="io2",
                iops=6000,
                snapshot_tags={"Name": "db-data"},
                delete_on_termination=False,
            ),
            VolumeSeed(
                "/dev/sdc",
                60,
                iops=4000,
                throughput=250,
                snapshot_tags={"Name": "db-wal"},
                delete_on_termination=False,
            ),
        ),
    )
    bastion = ImageSeed(
        name="bastion-2026.11.1",
        image_id="ami-0aa1b2c3d4e5f6003",
        description="Bastion host with measured boot",
        tags={"Name": "bastion", "Environment": "shared"},
        architecture="arm64",
        boot_mode="uefi",
        tpm_support="v2.0",
        imds_support="v2.0",
        volumes=(
            VolumeSeed("/dev/xvda", 8, snapshot_tags={"Name": "bastion-root"}),
            VolumeSeed("/dev/sdb", 20, volume_type="st1", snapshot_tags={"Name": "bastion-log"}),
        ),
    )
    return [web, database, bastion]
