"""Holds the frame and the sealed text: what goes in comes out, and nothing else is ever opened."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import struct
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.codec import Codec
from djq.core.frame import delivery_of, options_of, pack, unpack, with_options
from djq.core.message import Kind, TaskMessage
from djq.exceptions import BadPackage, TaskRefused

MESSAGE = TaskMessage(
    id="0123456789abcdef0123456789abcdef",
    name="four-words-and-more",
    func="math.modf",
    enqueued_at=datetime(2026, 11, 23, 19, 6, tzinfo=UTC),
    body=b"\x80\x05body",
)


class HmacSigner:
    def __init__(self, key: bytes = b"key") -> None:
        self._key = key

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def sign(self, text: str) -> str:
        return f"{text}:{self._signature(text)}"

    def unsign(self, text: str) -> str:
        content, _, signature = text.rpartition(":")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            raise BadPackage("wrong signature")
        return content


def codec(*, compress: bool = False, max_payload: int = 1_000_000) -> Codec:
    return Codec(signer=HmacSigner(), compress=compress, max_payload=max_payload)


def frame_of(header: object, body: bytes = b"", version: int = 1, flags: int = 0) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">BBI", version, flags, len(encoded)) + encoded + body


def header(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": "0" * 32,
        "name": "n",
        "func": "math.modf",
        "at": "2026-11-23T19:06:00+00:00",
    }
    return fields | changes


seconds = st.floats(min_value=1e-9, max_value=1e12)

plain_messages = st.builds(
    TaskMessage,
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    name=st.text(min_size=1, max_size=100),
    func=st.text(max_size=256),
    enqueued_at=st.datetimes(timezones=st.just(UTC)),
    body=st.binary(max_size=300),
    kind=st.sampled_from(Kind),
    timeout=st.none() | seconds,
    group=st.none() | st.text(max_size=100),
    hook=st.none() | st.text(max_size=256),
    save=st.none() | st.booleans(),
    max_attempts=st.none() | st.integers(min_value=1),
    cached=st.booleans() | seconds,
    place=st.integers(0, 2**31),
    schedule=st.none() | st.integers(min_value=1),
)
members = st.builds(
    attrs.evolve,
    plain_messages,
    total=st.integers(1, 2**31),
    iter=st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
    chain=st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
    goes_on=st.booleans(),
    hands_on=st.booleans(),
    rest=st.binary(max_size=100),
)
messages = plain_messages | members


@given(messages)
def test_any_message_comes_back_from_its_frame(message):
    assert unpack(pack(message)) == message


@given(messages, st.booleans())
def test_any_message_comes_back_from_its_sealed_text(message, compress):
    frame = pack(message)

    text = codec(compress=compress).seal(frame)

    assert codec().open(text) == frame
    assert codec().open(text.encode()) == frame


@given(messages)
def test_a_frame_leaves_out_what_is_none(message):
    frame = pack(message)

    length = struct.unpack_from(">BBI", frame)[2]
    assert None not in json.loads(frame[6 : 6 + length]).values()


def test_a_time_of_another_zone_stays_the_same_instant():
    india = timezone(timedelta(hours=5, minutes=30))
    message = attrs.evolve(MESSAGE, enqueued_at=datetime(2026, 11, 24, 0, 36, tzinfo=india))

    assert unpack(pack(message)).enqueued_at == MESSAGE.enqueued_at


def test_keys_of_a_later_version_are_passed_over():
    message = unpack(frame_of(header(colour=["a", "b"], priority=3), b"body"))

    assert message.func == "math.modf"
    assert message.body == b"body"


@given(messages)
def test_a_delivery_is_made_of_the_header_and_keeps_the_frame(message):
    frame = pack(message)

    delivery = delivery_of(frame, "receipt", 2)

    assert delivery.task_id == message.id
    assert delivery.name == message.name
    assert delivery.func == message.func
    assert delivery.timeout == message.timeout
    assert delivery.max_attempts == message.max_attempts
    assert delivery.receipt == "receipt"
    assert delivery.attempt == 2
    assert delivery.frame is frame


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (b"", "cut off"),
        (b"\x01\x00\x00", "cut off"),
        (pack(MESSAGE)[:40], "cut off"),
        (frame_of(header(), version=2), "version 2"),
        (frame_of(header(), version=0), "version 0"),
        (frame_of(header(), flags=1), "flags 1"),
        (frame_of(b"\xff\xfe"), "no JSON"),
        (frame_of(b"{"), "no JSON"),
        (frame_of(b"[" * 100_000), "no JSON"),
        (frame_of([1]), "list"),
        (frame_of({}), "id None"),
        (frame_of(header(at=None)), "at None"),
        (frame_of(header(id=7)), "id 7"),
        (frame_of(header(name=None)), "name None"),
        (frame_of(header(func=[])), "func"),
        (frame_of(header(at=12)), "at 12"),
        (frame_of(header(at="yesterday")), "at 'yesterday'"),
        (frame_of(header(at="2026-11-23T19:06:00")), "offset"),
        (frame_of(header(kind="party")), "task, hook"),
        (frame_of(header(kind=["task"])), "task, hook"),
        (frame_of(header(group=1)), "group 1"),
        (frame_of(header(hook=False)), "hook False"),
        (frame_of(header(save=1)), "save 1"),
        (frame_of(header(timeout=0)), "timeout 0"),
        (frame_of(header(timeout=-1.5)), "timeout -1.5"),
        (frame_of(header(timeout=True)), "timeout True"),
        (frame_of(header(timeout="5")), "timeout '5'"),
        (frame_of(header(timeout=float("nan"))), "timeout nan"),
        (frame_of(header(timeout=float("inf"))), "timeout inf"),
        (frame_of(header(timeout=10**400)), "timeout 1000"),
        (frame_of(header(max_attempts=0)), "max_attempts 0"),
        (frame_of(header(max_attempts=1.5)), "max_attempts 1.5"),
        (frame_of(header(max_attempts=True)), "max_attempts True"),
        (frame_of(header(cached="no")), "cached 'no'"),
        (frame_of(header(cached=0)), "cached 0"),
        (frame_of(header(cached=10**400)), "cached 1000"),
        (frame_of(header(place=-1)), "place -1"),
        (frame_of(header(of=0)), "of 0"),
        (frame_of(header(iter=7)), "iter 7"),
        (frame_of(header(chain=7)), "chain 7"),
        (frame_of(header(schedule="1")), "schedule '1'"),
        (frame_of(header(goes_on=1)), "goes_on 1"),
        (frame_of(header(hands_on="yes")), "hands_on 'yes'"),
        (frame_of(header(body=-1), b"body"), "body -1"),
        (frame_of(header(body=4), b"body"), "the next link should follow"),
    ],
)
def test_a_defective_frame_is_a_bad_package_that_says_why(frame, sentence):
    with pytest.raises(BadPackage, match=sentence):
        unpack(frame)
    with pytest.raises(BadPackage):
        delivery_of(frame, None, 1)


@given(messages, st.data())
def test_a_frame_cut_in_its_header_is_a_bad_package(message, data):
    frame = pack(message)
    end = data.draw(st.integers(0, len(frame) - len(message.body) - len(message.rest) - 1))

    with pytest.raises(BadPackage):
        unpack(frame[:end])
    with pytest.raises(BadPackage):
        delivery_of(frame[:end], None, 1)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bad_package(noise):
    for frame in (noise, b"\x01\x00\x00\x00\x00" + noise):
        with contextlib.suppress(BadPackage):
            unpack(frame)


def test_a_frame_is_deflated_only_when_that_makes_it_smaller():
    large, small = pack(attrs.evolve(MESSAGE, body=b"a" * 5_000)), b"abc"

    assert len(codec(compress=True).seal(large)) < 1_000 < len(codec(compress=False).seal(large))
    assert codec(compress=True).seal(small) == codec(compress=False).seal(small)


def test_a_sealed_text_is_safe_in_a_url_and_is_ascii():
    frame = bytes(range(256)) + b"\xff\xfb\xef" * 10

    text = codec().seal(frame).rpartition(":")[0]

    assert text.isascii()
    assert not set(text) & set("+/ \n")
    assert codec().open(codec().seal(frame)) == frame


@given(messages, st.booleans(), st.data())
def test_any_mutation_of_a_sealed_text_is_a_bad_package(message, compress, data):
    text = codec(compress=compress).seal(pack(message)).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    mutated = text[:start] + data.draw(st.binary(max_size=20)) + text[end:]
    if mutated == text:
        return

    with pytest.raises(BadPackage):
        codec().open(mutated)


@given(st.text(st.characters()))
def test_no_text_raises_anything_but_a_bad_package(noise):
    with pytest.raises(BadPackage):
        codec().open(noise)


@given(st.text(st.characters(max_codepoint=300), max_size=60))
def test_no_signed_text_raises_anything_but_a_bad_package(noise):
    for content in (noise, "p" + noise, "z" + noise):
        with contextlib.suppress(BadPackage):
            codec().open(HmacSigner().sign(content))


def test_a_text_signed_with_another_key_is_a_bad_package():
    text = Codec(signer=HmacSigner(b"other"), compress=False, max_payload=1_000).seal(b"frame")

    with pytest.raises(BadPackage):
        codec().open(text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "begins with"),
        ("xQUJD", "begins with 'x'"),
        ("p", "empty"),
        ("z" + base64.urlsafe_b64encode(zlib.compress(b"")).decode(), "empty"),
        ("pQUJ", "base64"),
        ("pQ+==", "base64"),
        ("pQUJD\n", "base64"),
        ("pQUJDé", "base64"),
        ("p_w==QUJD", "base64"),
        ("zQUJD", "inflated"),
        ("z" + base64.urlsafe_b64encode(zlib.compress(b"a" * 99)[:-1]).decode(), "cut off"),
        (
            "z" + base64.urlsafe_b64encode(zlib.compress(b"a" * 99) + b"more").decode(),
            "after the end",
        ),
    ],
)
def test_a_defect_beneath_the_signature_is_a_bad_package_that_says_why(content, sentence):
    text = HmacSigner().sign(content)

    with pytest.raises(BadPackage, match=sentence):
        codec().open(text)


@pytest.mark.parametrize("package", [None, 7, b"\xff", "\ud800", ("a",)])
def test_what_is_no_text_is_a_bad_package(package):
    with pytest.raises(BadPackage):
        codec().open(package)


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_bytes_of_any_kind_are_opened(wrap):
    assert codec().open(wrap(codec().seal(b"frame").encode())) == b"frame"


def test_inflation_stops_at_max_payload():
    bomb = HmacSigner().sign(
        "z" + base64.urlsafe_b64encode(zlib.compress(bytes(50_000_000))).decode()
    )

    tracemalloc.start()
    try:
        with pytest.raises(BadPackage, match=r"more than the 1,000,000 bytes"):
            codec().open(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 5_000_000


def test_what_is_sealed_at_the_limit_can_be_opened():
    frame = b"a" * 1_000

    text = codec(compress=True, max_payload=1_000).seal(frame)

    assert codec(max_payload=1_000).open(text) == frame


@pytest.mark.parametrize("compress", [False, True])
def test_a_frame_over_max_payload_is_refused_with_its_size_and_the_limit(compress):
    with pytest.raises(TaskRefused, match=r"1,001 .* 1,000 .*`max_payload`"):
        codec(compress=compress, max_payload=1_000).seal(b"a" * 1_001)


def test_a_text_over_max_payload_is_refused_too():
    with pytest.raises(TaskRefused, match=r"characters, more than the 1,000"):
        codec(max_payload=1_000).seal(b"a" * 900)


class RecordingSigner(HmacSigner):
    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def unsign(self, text: str) -> str:
        self.refused.append(text)
        raise BadPackage("never ours")


def test_the_signature_is_checked_before_the_text_is_decoded():
    signer = RecordingSigner()

    with pytest.raises(BadPackage, match="never ours"):
        Codec(signer=signer, compress=False, max_payload=10).open("?? no base64 ??")

    assert signer.refused == ["?? no base64 ??"]


@pytest.mark.parametrize("cached", [True, False, 60, 0.5])
def test_how_long_an_outcome_is_cached_travels_with_the_task(cached):
    read = unpack(frame_of(header(cached=cached)))

    assert (read.cached, type(read.cached)) == (cached, bool if cached in {True, False} else float)


FULL_OPTIONS = {
    "kind": Kind.HOOK,
    "timeout": 2.5,
    "save": False,
    "max_attempts": 3,
    "cached": 60.0,
    "schedule": 7,
    "total": 4,
    "chain": "c" * 32,
    "goes_on": True,
    "hands_on": True,
}


@pytest.mark.parametrize("options", [{}, FULL_OPTIONS, {"total": 2, "iter": "b" * 32}])
def test_options_that_were_written_apart_come_back(options):
    whole = attrs.evolve(MESSAGE, **options)

    written = options_of(whole)

    assert (written == "") is (not options)
    assert with_options(MESSAGE, written) == whole


@pytest.mark.parametrize("options", ["[]", "{", '{"timeout": "soon"}'])
def test_options_that_nobody_wrote_are_refused(options):
    with pytest.raises(BadPackage, match="header"):
        with_options(MESSAGE, options)
