"""A real Ray with its real autoscaler, whose nodes are processes of this machine (Ray's own provider for tests).

It is what ``ray.cluster_utils.AutoscalingCluster`` starts, which cannot be used itself: its template is not in Ray's wheel, and
it begins with ``ray stop --force``, which ends every Ray of the machine.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from lab.ports import free_port
from lab.ray_cluster import RayCluster, RayNode, node_labels

_HEAD_ID = "f" * 51 + "00000"
_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
_NODE = {"CPU": 1, "object_store_memory": 80_000_000}
_EMPTY_LISTS = (
    "rsync_exclude",
    "rsync_filter",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


class AutoscalingRay(RayCluster):
    """Has a head, and starts and ends further nodes as its autoscaler wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ports: dict[str, int] = {}
        """Where Kafka is on each node, there or not."""
        self._own_disks = False

    def start(
        self, head: str, names: Sequence[str], *, version: int, idle_s: float, own_disks: bool = False
    ) -> RayNode:
        """The node of the head; and these may come, one of each, and go when they have been idle for so long.
        ``version`` is that of the autoscaler, 1 or 2. With ``own_disks`` each has a label ``raylog.io/disk`` with its name."""
        self._own_disks = own_disks
        self.ports = {name: free_port() for name in (head, *names)}
        self._env.update(RAY_FAKE_CLUSTER="1", AUTOSCALER_UPDATE_INTERVAL_S="1")
        if version == 2:
            self._env.update(
                RAY_enable_autoscaler_v2="1", RAY_CLOUD_INSTANCE_ID=_HEAD_ID, RAY_OVERRIDE_NODE_ID_FOR_TESTING=_HEAD_ID
            )
        config = self._folder / "autoscaling.json"
        config.write_text(json.dumps(self._config(names, idle_s)))
        self._start_head(self._labels(head), f"--autoscaling-config={config}")
        return self._newest_node(head, self.ports[head])

    def _labels(self, name: str) -> dict[str, str]:
        return node_labels(name, self.ports[name], **({"disk": name} if self._own_disks else {}))

    def _config(self, names: Sequence[str], idle_s: float) -> dict[str, object]:
        types: dict[str, object] = {
            name: {
                "resources": _NODE,
                "labels": self._labels(name),
                "node_config": {},
                "max_workers": 1,
            }
            for name in names
        }
        types["ray.head.default"] = {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0}
        return {
            "cluster_name": "fake",
            "max_workers": len(names),
            "idle_timeout_minutes": idle_s / 60,
            "head_node_type": "ray.head.default",
            "available_node_types": types,
            "provider": {
                # By its name as a module: by its own type it would need the template.
                "type": "external",
                "module": _PROVIDER,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
                "launch_multiple": True,
                "head_node_id": _HEAD_ID,
                "gcs_address": self.address,
            },
            "auth": {},
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
            **{name: [] for name in _EMPTY_LISTS},
        }
