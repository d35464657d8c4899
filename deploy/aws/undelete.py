"""Bring back what was deleted from a versioned bucket: ``python deploy/aws/undelete.py BUCKET PREFIX``. Needs boto3 alone.

Removes the delete markers that hide objects, so that all that the bucket's lifecycle has kept is there again. To Raylog it is
harmless how much of it comes back: what no log names, garbage collection takes again. See "Restore" in docs/operations.md.
"""

import sys
from typing import Any

import boto3

_PER_REQUEST = 1000


def undelete(s3: Any, bucket: str, prefix: str) -> int:
    """Returns how many objects are back. No cluster may be at work under the prefix."""
    markers = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        markers += [
            {"Key": marker["Key"], "VersionId": marker["VersionId"]}
            for marker in page.get("DeleteMarkers", ())
            if marker["IsLatest"]
        ]
    for start in range(0, len(markers), _PER_REQUEST):
        some = markers[start : start + _PER_REQUEST]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        if answer.get("Errors"):
            raise SystemExit(
                f"{len(answer['Errors'])} objects could not be brought back: {answer['Errors'][0]['Message']}"
            )
    return len(markers)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python undelete.py BUCKET PREFIX")
    sys.stdout.write(f"{undelete(boto3.client('s3'), sys.argv[1], sys.argv[2])} objects are back\n")
