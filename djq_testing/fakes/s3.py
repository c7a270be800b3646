"""S3 in memory, of as much as the broker at Amazon SQS asks of it for large packages."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from botocore.exceptions import ClientError

__all__ = ["MemoryS3"]


class MemoryS3:
    """A client of boto3, and the server. It counts what it is asked for."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        """By bucket and key."""
        self.calls: Counter[str] = Counter()
        """How often each operation was asked for."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 has them
        self.calls["PutObject"] += 1
        self.objects[Bucket, Key] = Body
        return {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - as boto3 has them
        self.calls["GetObject"] += 1
        if (Bucket, Key) not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - as boto3 has them
        self.calls["DeleteObjects"] += 1
        for each in Delete["Objects"]:
            self.objects.pop((Bucket, each["Key"]), None)
        return {}

    def close(self) -> None:
        """It stays open: it is the server as well."""
