"""From the setting `sqs` to a client: which keys there are, what they do, and what is said of wrong ones."""

from __future__ import annotations

import pickle

import attrs
import pytest

from djq.assembly import make_broker
from djq.brokers.sqs import SqsBroker
from djq.brokers.sqs_client import Account
from djq.core.config import Config
from djq.exceptions import BrokerUnavailable, ConfigError

CONFIG = Config(workers=1, time_zone="UTC", retry=90, timeout=60)
DOCUMENTED = {
    "aws_region": "us-east-1",
    "aws_access_key_id": "ac-Idr",
    "aws_secret_access_key": "hunter2",
}


def made(key="shop", retry=90, **setting):
    return make_broker(attrs.evolve(CONFIG, sqs=setting, retry=retry), key)


@pytest.fixture(autouse=True)
def _nobody_s_machine(monkeypatch, tmp_path):
    """Without region, credentials and files of whoever runs the tests."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_documented_keys_make_a_broker_that_has_not_connected():
    broker = made(**DOCUMENTED)

    assert isinstance(broker, SqsBroker)
    assert broker.queue_name == "shop"
    assert broker.info() == "Amazon SQS, us-east-1"
    assert (broker.blocks, broker.delays, broker.max_payload) == (True, True, 262_144)


def test_client_repeats_nothing_and_waits_for_nothing_for_ever():
    connect = made(**DOCUMENTED, receive_message_wait_time_seconds=20)._connect
    client = connect("sqs")

    config = client.meta.config
    assert connect("s3").meta.config.read_timeout == 5
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (5, 25)
    assert config.tcp_keepalive is True
    assert client.meta.endpoint_url == "https://sqs.us-east-1.amazonaws.com"


def test_credentials_may_be_left_to_the_machine(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from the environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "as well")
    broker = made(aws_region="eu-west-1", aws_access_key_id=None, aws_secret_access_key=None)

    client = broker._connect("sqs")

    assert client._request_signer._credentials.access_key == "from the environment"


def test_region_may_be_left_to_the_machine(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")

    assert made().info() == "Amazon SQS, eu-north-1"


def test_further_keys_reach_the_clients():
    broker = made(
        **DOCUMENTED,
        aws_session_token="t",
        endpoint_url="http://127.0.0.1:1",
        s3_endpoint_url="http://127.0.0.1:2",
        s3_bucket="large",
        max_message_bytes=1_048_576,
        connect_timeout=2,
        read_timeout=3,
        receive_message_wait_time_seconds=0,
    )

    client = broker._connect("sqs")
    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert broker._connect("s3").meta.endpoint_url == "http://127.0.0.1:2"
    assert client._request_signer._credentials.token == "t"
    assert (client.meta.config.connect_timeout, client.meta.config.read_timeout) == (2, 3)
    assert (broker.blocks, broker.max_payload) == (False, None)


@pytest.mark.parametrize(
    ("key", "setting", "queue"),
    [
        ("shop", {"fifo": True}, "shop.fifo"),
        ("shop.fifo", {}, "shop.fifo"),
        ("shop.fifo", {"fifo": True, "message_group": "all"}, "shop.fifo"),
        ("shop", {"fifo": False}, "shop"),
        ("a" * 80, {}, "a" * 80),
    ],
)
def test_queue_has_the_name_of_the_cluster(key, setting, queue):
    broker = made(key, **DOCUMENTED, **setting)

    assert broker.queue_name == queue
    assert broker.delays


@pytest.mark.parametrize("key", ["my shop", "größe", "a.b", "a" * 81, "a" * 76 + ".fifo", ""])
def test_name_that_sqs_cannot_have_is_refused(key):
    with pytest.raises(ConfigError, match=r"no queue of the name .* 1 to 80 letters .*Choose"):
        made(key, **DOCUMENTED)


def test_lease_that_sqs_cannot_give_is_refused():
    made(**DOCUMENTED, retry=43_200)

    with pytest.raises(ConfigError, match=r"Q_CLUSTER\['retry'\] = 43201 .*at most 43200"):
        made(**DOCUMENTED, retry=43_201)


@pytest.mark.parametrize(
    ("timeouts", "silence"),
    [({}, 20), ({"connect_timeout": 1}, 12), ({"connect_timeout": 1, "read_timeout": 40}, 82)],
)
def test_lease_that_ends_while_s3_may_be_silent_is_refused(timeouts, silence):
    setting = {**DOCUMENTED, **timeouts}
    made(**setting, retry=silence)
    made(**setting, s3_bucket="large", retry=silence + 1)

    with pytest.raises(
        ConfigError, match=rf"'retry'\] = {silence} is too short .* Set 'retry' above {silence},"
    ):
        made(**setting, s3_bucket="large", retry=silence)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"region": "eu-west-1"}, "'region', which is none of .*aws_region"),
        ({"aws_region": 5}, "'aws_region', which has to be text"),
        ({"aws_region": " "}, "'aws_region', which has to be text, not empty"),
        ({"region_name": "eu-west-1"}, "'aws_region' and 'region_name'; remove one"),
        ({"aws_secret_access_key": None}, "together; without both"),
        ({"aws_secret_access_key": b"hunter2"}, "'aws_secret_access_key', which has to be text"),
        ({"receive_message_wait_time_seconds": 21}, "a whole number from 0 to 20"),
        ({"receive_message_wait_time_seconds": True}, "a whole number from 0 to 20"),
        ({"max_message_bytes": 1_048_577}, "a whole number from 1024 to 1048576"),
        ({"read_timeout": 0}, "'read_timeout', which has to be a whole number from 1 to 60"),
        ({"fifo": "yes"}, "'fifo', which has to be True or False"),
        ({"message_group": "all"}, "'message_group'.* is for FIFO queues"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, "no 's3_bucket'"),
        ({"verify": 5}, "'verify', which has to be True, False, or the path"),
        ({"verify": "/nowhere"}, "'verify', which has to be True, False, or the path"),
        ({"aws_region": "eu west"}, "'aws_region', which has to be the name of a region"),
        ({"aws_region": "eu-west-1-"}, "'aws_region', which has to be the name of a region"),
        ({"endpoint_url": "localhost:4566"}, "'endpoint_url', .* with its scheme, .*4566"),
        ({"endpoint_url": "http://u:hunter2@127.0.0.1:99999"}, "'endpoint_url', .* 1 to 65535"),
        ({"endpoint_url": "http://u:hunter2/@127.0.0.1"}, "'endpoint_url', .* 1 to 65535"),
        ({"endpoint_url": "http://local host"}, "'endpoint_url', which has to be an address"),
        ({"endpoint_url": "http://"}, "'endpoint_url', which has to be an address"),
        ({"endpoint_url": "http://[::1"}, "'endpoint_url', which has to be an address"),
        (
            {"s3_bucket": "b-1", "s3_endpoint_url": "127.0.0.1:1"},
            "'s3_endpoint_url', which has to be an address",
        ),
        ({"s3_bucket": "Not A Bucket"}, "'s3_bucket', which has to be the name of a bucket"),
        ({"profile_name": "nobody"}, "ProfileNotFound.*nobody"),
    ],
)
def test_wrong_key_is_refused_by_its_name_and_no_value_is_shown(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        made(**{**DOCUMENTED, **setting})

    assert "hunter2" not in str(caught.value)


def test_region_that_nobody_names_is_refused():
    with pytest.raises(ConfigError, match=r"names no region, .*'aws_region': 'eu-west-1'"):
        made(aws_access_key_id="a", aws_secret_access_key="b")


def test_region_of_the_machine_s_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu west")

    with pytest.raises(
        ConfigError, match=r"boto3's own settings is 'eu west'.* write 'aws_region'"
    ):
        made(aws_access_key_id="a", aws_secret_access_key="b")


@pytest.mark.parametrize(
    "setting",
    [
        {"endpoint_url": "http://[::1]:4566"},
        {"endpoint_url": "https://my-sqs.internal/path"},
        {"s3_bucket": "my.bucket-1"},
        {"s3_bucket": "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine"},
        {"verify": __file__},
        {"aws_region": "us-gov-east-1"},
    ],
)
def test_what_is_well_formed_makes_clients(setting):
    broker = made(**{**DOCUMENTED, **setting})

    assert broker._connect("sqs").meta.service_model.service_name == "sqs"
    assert broker._connect("s3").meta.service_model.service_name == "s3"


def test_address_that_no_client_can_be_made_of_is_unavailable_and_shown_nowhere():
    endpoints = {"sqs": "http://u:hunter2@no_host"}
    account = Account(session={"region_name": "eu-west-1"}, endpoints=endpoints)
    broker = SqsBroker("q", connect=account, retry_seconds=60)

    with pytest.raises(BrokerUnavailable, match="ValueError") as caught:
        broker.enqueue("a")

    assert "hunter2" not in str(caught.value)


def test_secrets_stay_out_of_every_repr_and_go_with_a_pickle():
    url = "http://somebody:hunter2@127.0.0.1:1"
    broker = made(**DOCUMENTED, endpoint_url=url, s3_bucket="large", s3_endpoint_url=url)
    account = broker._connect

    assert isinstance(account, Account)
    assert "hunter2" not in repr(account) + repr(broker) + repr(broker._large)
    assert pickle.loads(pickle.dumps(broker))._connect == account
