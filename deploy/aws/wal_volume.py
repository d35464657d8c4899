"""Give this EC2 instance its WAL volume: attach one that is free, mount it, and print its id. Needs boto3, and root by sudo.

    python wal_volume.py --cluster raylog --mount /mnt/raylog-wal

The volumes of a cluster carry the tag raylog-wal=CLUSTER. An instance that has one keeps it; else it takes one of its zone that
nobody has: EBS attaches a volume to one instance at a time, so two that reach for the same one cannot both get it. Volumes are
never detached here: that of a lost instance is free when AWS has ended the instance. A file system is made only on a volume that
has none at all.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

_DEVICE = "/dev/sdw"
"""What AWS wants to be told; on Nitro instances the kernel names the disk anew, and udev by the volume's id."""
_METADATA = "http://169.254.169.254/latest"
_TAKEN = ("VolumeInUse", "IncorrectState", "InvalidVolume.NotFound")
_SETTLE_S = 60


def instance_identity() -> dict[str, Any]:
    """What EC2's metadata service says of this instance (IMDSv2)."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    request = urllib.request.Request(f"{_METADATA}/api/token", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        token = answer.read().decode()
    identity = f"{_METADATA}/dynamic/instance-identity/document"
    request = urllib.request.Request(identity, headers={"X-aws-ec2-metadata-token": token})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return dict(json.load(answer))


def take_volume(ec2: Any, cluster: str, instance_id: str, zone: str) -> str:
    """The id of a volume that is attached to the instance in the end. Raises SystemExit when there is none to be had."""
    filters = [{"Name": "tag:raylog-wal", "Values": [cluster]}, {"Name": "availability-zone", "Values": [zone]}]
    volumes = [v for page in ec2.get_paginator("describe_volumes").paginate(Filters=filters) for v in page["Volumes"]]
    for volume in volumes:
        if any(attached["InstanceId"] == instance_id for attached in volume["Attachments"]):
            return str(volume["VolumeId"])
    for volume in volumes:
        if volume["State"] == "available" and _attach(ec2, volume["VolumeId"], instance_id):
            return str(volume["VolumeId"])
    raise SystemExit(
        f"No volume with the tag raylog-wal={cluster} is free in {zone} ({len(volumes)} are in use): make one, or end the "
        "instance that has it."
    )


def _attach(ec2: Any, volume_id: str, instance_id: str) -> bool:
    """False when somebody else was faster."""
    try:
        ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=_DEVICE)
    except ClientError as error:
        if error.response["Error"]["Code"] in _TAKEN:
            return False
        raise
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume_id])
    return True


def disk_of(volume_id: str) -> Path:
    """Where udev shows the volume on a Nitro instance."""
    return Path(f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}")


def mount(disk: Path, folder: Path) -> None:
    """Mount the disk for this user, with a file system made first if it has nothing on it."""
    if os.path.ismount(folder):
        return
    _run("udevadm", "wait", f"--timeout={_SETTLE_S}", str(disk))
    # Exit code 2: blkid found nothing that it knows. Anything else than that or a file system is not to be touched.
    found = subprocess.run(["sudo", "blkid", "--probe", str(disk)], capture_output=True, text=True, check=False)
    if found.returncode not in (0, 2):
        raise SystemExit(f"{disk} cannot be looked into: {found.stderr.strip()}")
    if found.returncode == 2:
        _run("mkfs.ext4", "-q", "-m", "0", str(disk))
    _run("mkdir", "-p", str(folder))
    _run("mount", "-o", "noatime", str(disk), str(folder))
    _run("chown", str(os.getuid()), str(folder))


def _run(*command: str) -> None:
    subprocess.run(["sudo", *command], check=True, stdout=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Attach and mount this instance's WAL volume, and print its id.")
    parser.add_argument("--cluster", required=True, help="the value of the volumes' tag raylog-wal")
    parser.add_argument("--mount", required=True, type=Path, help="the folder to mount it at")
    options = parser.parse_args()
    identity = instance_identity()
    ec2 = boto3.client("ec2", region_name=identity["region"])
    volume_id = take_volume(ec2, options.cluster, identity["instanceId"], identity["availabilityZone"])
    mount(disk_of(volume_id), options.mount)
    sys.stdout.write(f"{volume_id}\n")


if __name__ == "__main__":
    main()
