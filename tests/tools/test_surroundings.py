# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks inherit from the user's environment, and what not."""

from __future__ import annotations

import pytest

from tests.tools import environments, places, sanity, surroundings


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "json")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.com/simple")


def test_the_users_aws_and_ansible_settings_stay_outside() -> None:
    variables = surroundings.plain()
    assert "AWS_PROFILE" not in variables
    assert "ANSIBLE_STDOUT_CALLBACK" not in variables
    assert variables["PIP_INDEX_URL"] == "https://packages.example.com/simple"


def test_unit_tests_can_reach_no_account() -> None:
    variables = surroundings.for_pytest()
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "https_proxy" not in variables


def test_ansible_finds_this_collection_first() -> None:
    variables = surroundings.for_ansible(environments.EMULATOR)
    first = variables["ANSIBLE_COLLECTIONS_PATH"].split(":")[0]
    assert first == str(places.COLLECTIONS)


def test_pip_versions_are_read_from_ansible_test(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("site")
    source = site / "ansible_test" / "_internal" / "python_requirements.py"
    source.parent.mkdir(parents=True)
    source.write_text("versions = dict(pip='24.2', setuptools='70.0')\nother = dict(pip='9.0')\n")
    monkeypatch.setattr(environments.Environment, "site_packages", lambda self: site)
    assert sanity.pinned_pips(environments.ANSIBLE12) == ["24.2", "9.0"]
    source.write_text("nothing here\n")
    with pytest.raises(RuntimeError, match="names no version of pip"):
        sanity.pinned_pips(environments.ANSIBLE12)
