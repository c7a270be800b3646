"""SQS and S3 in memory, of which some answers are not their own."""

from __future__ import annotations

from botocore.exceptions import ClientError, ConnectTimeoutError

from djq.brokers.sqs import SqsBroker
from djq.brokers.sqs_large import LargePackages
from djq_testing.fakes.s3 import MemoryS3

RETRY_SECONDS = 60


def packages(taken):
    return sorted(package for _, package in taken)


def receipts(taken):
    return [receipt for receipt, _ in taken]


class Tampered:
    """A server in memory of which some answers are not its own."""

    def __init__(self, server):
        self.server = server
        self.instead = {}
        """For an operation the functions that give its next answers, of what was asked and the client."""

    def __call__(self, service):
        client = self.server(service)
        tampered = self

        class Client:
            def __getattr__(self, name):
                def ask(**asked):
                    left = tampered.instead.get(name)
                    return left.pop(0)(client, asked) if left else getattr(client, name)(**asked)

                return client.meta if name == "meta" else ask

        return Client()


def failing(operation, place, code, *, sender=False):
    """An answer in which one of the batch has not been done, and the rest has."""

    def answer(client, asked):
        rest = [entry for entry in asked["Entries"] if entry["Id"] != place]
        done = getattr(client, operation)(**{**asked, "Entries": rest}) if rest else {}
        failed = {"Id": place, "Code": code, "SenderFault": sender, "Message": f"about {place}"}
        return {"Successful": done.get("Successful", []), "Failed": [failed]}

    return answer


def raising(code, message="words", status=400):
    def answer(_client, _asked):
        error = {"Code": code, "Message": message}
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, "Some")

    return answer


class Bucket(MemoryS3):
    """An S3 in memory, which can be away, give only so many objects more, or refuse to delete."""

    def __init__(self):
        super().__init__()
        self.away = False
        self.forbids = 0
        """So often it refuses to delete, in an answer that has no error otherwise."""
        self.gives = None
        """So many objects it gives, and is away then. None: all."""
        self.takes = None
        """So many objects it takes, and says `says` then. None: all."""
        self.says = ConnectTimeoutError(endpoint_url="https://s3")

    def _answers(self):
        if self.away:
            raise ConnectTimeoutError(endpoint_url="https://s3")

    def put_object(self, **asked):
        self._answers()
        if self.takes == 0:
            raise self.says
        if self.takes is not None:
            self.takes -= 1
        return super().put_object(**asked)

    def get_object(self, **asked):
        if self.gives is not None:
            self.away = self.gives <= 0
            self.gives -= 1
        if self.away:
            self.calls["GetObject"] += 1
        self._answers()
        return super().get_object(**asked)

    def delete_objects(self, **asked):
        self._answers()
        if not self.forbids:
            return super().delete_objects(**asked)
        self.forbids -= 1
        self.calls["DeleteObjects"] += 1
        objects = asked["Delete"]["Objects"]
        return {"Errors": [{**each, "Code": "AccessDenied"} for each in objects]}


def with_bucket(connect, bucket, **options):
    """A broker whose large packages go to this bucket."""
    large = LargePackages(bucket="b", queue="q", connect=lambda _: bucket)
    around = {"retry_seconds": RETRY_SECONDS, "wait_seconds": 0, "large": large}
    return SqsBroker("q", connect=connect, **around, **options)
