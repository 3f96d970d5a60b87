# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of ec2_ami_restore; meta/runtime.yml says that it runs the module."""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.plugin_utils._progress_action import ProgressAction


class ActionModule(ProgressAction):
    """An action plugin must have this name."""
