"""Servers that speak SQS over HTTP, on loopback ports of their own: moto, and roto, of another make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from moto.server import ThreadedMotoServer

from djq.brokers.sqs_client import Account
from tests.caches import refuse_absent
from tests.servers import free_port, knock

IDENTITY = {
    "aws_region": "eu-west-1",
    "aws_access_key_id": "nobody",
    "aws_secret_access_key": "nothing",
}
"""For settings: these servers believe anybody."""


def account_at(url):
    """Makes clients of a server."""
    session = {**IDENTITY, "region_name": IDENTITY["aws_region"]}
    del session["aws_region"]
    return Account(session=session, endpoints={"sqs": url, "s3": url})


@contextmanager
def moto_server():
    """moto, in a thread of this process; gives its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def roto_server(folder):
    """roto, in a process of its own; gives its address."""
    program = shutil.which("roto-server", path=Path(sys.executable).parent)
    if program is None:
        refuse_absent("roto-server", "pip install -e '.[dev]'; the tests start it themselves")
    port = free_port()
    words = ["--port", str(port), "--ephemeral"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, *words], stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            knock(port, "roto-server")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


class Hurried:
    """A client of a server whose time nobody can move: it ends leases there when the test's clock says so.

    It remembers until when each message is out by that clock, and gives back itself what is out no longer.
    """

    def __init__(self, client, clock):
        self._client = client
        self._clock = clock
        self._out = {}

    def __getattr__(self, name):
        return getattr(self._client, name)

    def receive_message(self, **asked):
        answer = self._client.receive_message(**asked)
        for message in answer.get("Messages", ()):
            lease = [message["ReceiptHandle"], self._until(asked["VisibilityTimeout"])]
            self._out[message["MessageId"]] = [asked["QueueUrl"], *lease]
        return answer

    def change_message_visibility_batch(self, **asked):
        for entry in asked["Entries"]:
            for lease in self._out.values():
                if lease[1] == entry["ReceiptHandle"]:
                    lease[2] = self._until(entry["VisibilityTimeout"])
        return self._client.change_message_visibility_batch(**asked)

    def delete_queue(self, **asked):
        url = asked["QueueUrl"]
        self._out = {message: lease for message, lease in self._out.items() if lease[0] != url}
        return self._client.delete_queue(**asked)

    def pass_time(self, seconds):
        self._clock.advance(seconds)
        for message, (url, handle, until) in list(self._out.items()):
            if until <= self._clock.now().timestamp():
                del self._out[message]
                entry = {"Id": "0", "ReceiptHandle": handle, "VisibilityTimeout": 0}
                self._client.change_message_visibility_batch(QueueUrl=url, Entries=[entry])

    def _until(self, seconds):
        return self._clock.now().timestamp() + seconds
