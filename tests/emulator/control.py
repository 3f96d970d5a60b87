# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control endpoint `/emulator`: settings, seeds, what was requested, time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.core.base_backend import BackendDict
from moto.s3.models import s3_backends

from . import objects, seeds
from .answers import Answer, json_answer
from .demo import demo_images
from .model import Refused
from .scenario import DEFAULT_ACCOUNT, ScenarioError
from .world import World

_NO_SUCH_CALL = "no such control call: {method} {path}"


class Control:
    """Answers control calls with JSON. Called with the world's lock held."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "/emulator"): self._status,
            ("GET", "/emulator/scenario"): self._scenario,
            ("POST", "/emulator/scenario"): self._change_scenario,
            ("POST", "/emulator/scenario/reset"): self._reset_scenario,
            ("GET", "/emulator/images"): self._images,
            ("POST", "/emulator/images"): self._plant_images,
            ("POST", "/emulator/image-state"): self._set_image_state,
            ("GET", "/emulator/tasks"): self._tasks,
            ("POST", "/emulator/tasks"): self._plant_tasks,
            ("POST", "/emulator/references"): self._plant_references,
            ("POST", "/emulator/buckets"): self._plant_buckets,
            ("POST", "/emulator/storage-class"): self._set_storage_class,
            ("GET", "/emulator/requests"): self._requests,
            ("GET", "/emulator/outcomes"): self._outcomes,
            ("GET", "/emulator/traffic"): self._traffic,
            ("GET", "/emulator/log"): self._log,
            ("POST", "/emulator/requests/reset"): self._reset_requests,
            ("POST", "/emulator/advance"): self._advance,
            ("POST", "/emulator/reset"): self._reset,
        }

    def answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].rstrip("/")
        call = self._calls.get((method, path))
        if call is None:
            return json_answer({"error": _NO_SUCH_CALL.format(method=method, path=path)}, 404)
        try:
            self._world.settle()
            return json_answer(call(json.loads(body) if body else {}))
        except (ScenarioError, seeds.SeedError, Refused, ValueError) as error:
            return json_answer({"error": str(error)}, 400)
        except (KeyError, TypeError, AttributeError) as error:
            return json_answer({"error": f"malformed content: {error!r}"}, 400)

    def _status(self, _content: Any) -> Any:
        return {"ready": True, "now": self._world.now()}

    def _scenario(self, _content: Any) -> Any:
        return self._world.scenario.as_dict()

    def _change_scenario(self, content: Any) -> Any:
        self._world.change(self._world.scenario.changed(content), list(content))
        return self._world.scenario.as_dict()

    def _reset_scenario(self, _content: Any) -> Any:
        initial = self._world.initial
        self._world.change(initial, list(initial.as_dict()))
        return initial.as_dict()

    def _images(self, _content: Any) -> Any:
        return [
            {
                "image_id": image.id,
                "name": image.name,
                "owner": image.owner_id,
                "region": backend.region_name,
                "state": image.state,
                "tags": backend.image_tags(image),
                "snapshot_ids": image.snapshot_ids,
            }
            for backend in self._world.backends()
            for image in backend.amis.values()
        ]

    def _plant_images(self, content: Any) -> Any:
        if content == "demo":
            planted = demo_images(self._world.scenario.encryption_by_default)
        else:
            planted = [seeds.image_seed(values) for values in content]
        return {"image_ids": seeds.plant_images(self._world, planted)}

    def _set_image_state(self, content: Any) -> Any:
        image_id = content["image_id"]
        for backend in self._world.backends():
            if image_id in backend.amis:
                if content["state"] == "deregistered":
                    backend.remove_image(image_id)
                else:
                    seeds.set_state(backend.amis[image_id], content["state"], content.get("reason"))
                return {"image_id": image_id}
        raise seeds.SeedError(f"no such AMI: {image_id}")

    def _tasks(self, _content: Any) -> Any:
        now = self._world.now()
        tasks = self._world.stores.items
        return [{**vars(task.record(now)), "account": task.place.account} for task in tasks]

    def _plant_tasks(self, content: Any) -> Any:
        planted = [seeds.record(seeds.TaskSeed, values) for values in content]
        return {"planted": seeds.plant_tasks(self._world, planted)}

    def _plant_references(self, content: Any) -> Any:
        planted = [seeds.record(seeds.ReferenceSeed, values) for values in content]
        return {"planted": seeds.plant_references(self._world, planted)}

    def _plant_buckets(self, content: Any) -> Any:
        planted = [seeds.record(seeds.BucketSeed, values) for values in content]
        return {"buckets": seeds.plant_buckets(planted)}

    def _set_storage_class(self, content: Any) -> Any:
        bucket, key = content["bucket"], content["key"]
        item = objects.find_object(bucket, key)
        if item is None:
            raise seeds.SeedError(f"no such object: {bucket}/{key}")
        objects.set_storage_class(
            item, content["class"], content.get("archive_status"), content.get("restore")
        )
        return {"bucket": bucket, "key": key}

    def _requests(self, _content: Any) -> Any:
        return self._world.journal.counts()

    def _outcomes(self, _content: Any) -> Any:
        return self._world.journal.outcomes()

    def _traffic(self, _content: Any) -> Any:
        return self._world.journal.traffic()

    def _log(self, _content: Any) -> Any:
        return self._world.journal.log()

    def _reset_requests(self, _content: Any) -> Any:
        self._world.journal.reset()
        return {}

    def _advance(self, content: Any) -> Any:
        self._world.clock.advance(float(content["seconds"]))
        self._world.settle()
        return {"now": self._world.now()}

    def _reset(self, _content: Any) -> Any:
        BackendDict.reset()
        s3_backends.bucket_accounts.clear()
        self._world.clock.restart()
        self._world.renew()
        self._reset_scenario({})
        self._world.journal.reset()
        return {"account": DEFAULT_ACCOUNT}
