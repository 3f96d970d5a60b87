# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of one object on their way, several at a time."""

from __future__ import annotations

import contextlib
import threading
import typing as t
from dataclasses import dataclass, field
from functools import partial

with contextlib.suppress(ImportError):  # AnsibleAWSModule says what is missing.
    from botocore.exceptions import ResponseStreamingError
    from urllib3.exceptions import SSLError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    error_code,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_ahead import Ahead, read_held
from ansible_collections.amistore.aws.plugins.module_utils._copy_content import (
    Chunks,
    Content,
    Memory,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen, look
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import DEFAULT_PART, Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    SentPart,
    is_multipart,
    parts_in_etag,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CHANGED_CODES,
    MISSING_CODES,
    CopyError,
    DamagedError,
    Side,
    SourceChangedError,
    explain,
    is_outage,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_stretches import (
    Stretches,
    seconds_in_one,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload
from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import (
    AT_FIRST,
    Foresight,
    Useful,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock

_Taker = t.TypeVar("_Taker", bound=Chunks)

# Within so many seconds, one throttled answer is as good as many.
SAME_CONGESTION = 1.0


class Pace:
    """How many parts move at a time: as many as are of use, fewer once a server throttles."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = self._allowed = most
        self._useful = Useful(most)
        self._clock = clock
        self._moving = 0
        self._in_a_row = 0
        self._slowed_at = float("-inf")
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        return min(self._allowed, self._useful.number)

    def begin(self, number: int = AT_FIRST, part_size: int = DEFAULT_PART) -> None:
        """Forget how long parts took, since those of another object or task take another time.

        :param number: how many to begin with, if not more were of use before.
        :param part_size: that of most parts, in bytes.
        """
        with self._changed:
            self._useful = Useful(self._most, max(number, self._useful.kept), part_size)

    def foresee(self, size: int, seconds: float, sending: bool = False) -> None:
        """Hear that reading a part of this size will take so long, or sending it."""
        with self._changed:
            self._useful.foresee(size, seconds, sending)
            self._wake()

    @contextlib.contextmanager
    def slot(self) -> t.Iterator[None]:
        """Wait for one's turn to move a part."""
        with self._changed:
            self._changed.wait_for(lambda: self._moving < self.limit)
            self._moving += 1
            useful = self._useful
            # Throttled, fewer move than the number says, so it is not tried at all.
            attempt = useful.attempt if useful.number <= self._allowed else -1
        began = self._clock.now()
        try:
            yield
            with self._changed:
                useful.learn(attempt, self._clock.now() - began)
        finally:
            with self._changed:
                self._moving -= 1
                self._wake()

    def _wake(self) -> None:
        """Wake as many as may begin; dozens that wake in vain, each time, cost time of the CPU."""
        self._changed.notify(max(0, self.limit - self._moving))

    def slow_down(self) -> None:
        """Halve the number, once per congestion."""
        with self._changed:
            now = self._clock.now()
            if now - self._slowed_at >= SAME_CONGESTION:
                self._allowed = max(1, self.limit // 2)
                self._slowed_at = now
                # Those on their way pause before they are sent again.
                self._useful.disregard()
            self._in_a_row = 0

    def speed_up(self) -> None:
        """Count a part that went well."""
        with self._changed:
            self._in_a_row += 1
            if self._in_a_row >= self.limit:
                self._allowed = min(self._most, self._allowed + 1)
                self._in_a_row = 0
                self._changed.notify_all()


@dataclass
class Counts:
    """What moved through this run, in bytes and parts."""

    bytes_read: int = 0
    bytes_sent: int = 0
    parts_sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, read: int = 0, sent: int = 0, parts: int = 0) -> None:
        with self._lock:
            self.bytes_read += read
            self.bytes_sent += sent
            self.parts_sent += parts


def for_each(
    parts: t.Sequence[Part],
    work: t.Callable[[Part], None],
    workers: int,
    pace: Pace,
    halt: threading.Event,
    check_time: t.Callable[[], None],
) -> None:
    """Do the work for every part, several at a time; the first failure ends the handing out.

    Parts that are on their way then still come to their end, so that none is lost.
    """
    queue = iter(parts)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def drain() -> None:
        while not failures:
            with lock:
                part = next(queue, None)
            if part is None:
                return
            try:
                with pace.slot():
                    if failures:
                        return
                    check_time()
                    work(part)
                pace.speed_up()
            except BaseException as error:  # it is raised again below, in the main thread
                failures.append(error)
                halt.set()

    threads = [
        threading.Thread(target=drain, name=f"part-{number}", daemon=True)
        for number in range(min(workers, len(parts)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class Streaming:
    """Parts that are read here and sent from here."""

    source: Side
    destination: Side
    seen: Seen
    key: str
    counts: Counts
    memory: Memory
    md5_step: int = 0
    """The size of the source's parts where their MD5 sums are wanted, else 0."""
    stretches: Stretches = field(default_factory=Stretches)
    foresee: t.Callable[[int, float], None] = lambda _size, _seconds: None
    """Is told early how many seconds reading a part of a size will take."""
    foresee_sending: t.Callable[[int, float], None] = lambda _size, _seconds: None
    """Is told how many seconds sending a part of a size has taken."""
    ahead: Ahead = field(default_factory=Ahead)

    def read_ahead(self, parts: t.Sequence[Part], most: int) -> None:
        """Begin to read the first of these parts, before there is an upload for them.

        :param most: how many, where memory has room for them and for one more: a part that comes
            to its turn before these must not wait for what they hold.
        """
        fitting = min(most, self.memory.limit // parts[0].size - 1)
        if fitting > 0:
            self.ahead.start(parts[:fitting], self.memory, self.read_plain)

    def read_plain(self, part: Part) -> Content:
        """Return a part of the source with no more sums than its SHA-256."""
        return self._read(part, 0, False)

    def read(self, part: Part, whole_md5: bool = False) -> Content:
        """Return a part of the source, pinned and of exactly its length."""
        return self._read(part, self.md5_step, whole_md5)

    def _read(self, part: Part, md5_step: int, whole_md5: bool) -> Content:
        def read_once() -> Content:
            content = self._fetch(part, Content(md5_step, whole_md5))
            self.counts.add(read=len(content))
            return content

        try:
            return self.source.retry(f"read part {part.number} of", self.seen.key, read_once)
        except DamagedError as error:
            # So that whoever sends the part does not have it read as many times again.
            raise CopyError(error.message) from error

    def _fetch(self, part: Part, content: Content) -> Content:
        """Read a part once, over several connections where one is slow or may be."""
        pieces = self.stretches.of(part)
        began = self.source.clock.now()
        if len(pieces) == 1:
            content.on_came = Foresight(part.size, self.source.clock.now, self.foresee).saw
            fetch(self.source, self.seen, part, content)
        else:
            for read in together(*(partial(self._fetch_stretch, part, piece) for piece in pieces)):
                content.take_in(read())
        self.stretches.learn(pieces[0].size, self.source.clock.now() - began)
        return content

    def _fetch_stretch(self, part: Part, stretch: Part) -> Chunks:
        began = self.source.clock.now()
        chunks = fetch(self.source, self.seen, stretch, Chunks())
        took, round_trip = self.source.clock.now() - began, self.source.round_trip
        self.foresee(part.size, seconds_in_one(part, stretch, took, round_trip))
        return chunks

    def sum_up(self, part: Part) -> str:
        """Return the checksum of a part of the source, read anew."""
        with self.memory.hold(part.size):
            return self.read(part).sha256

    def send(self, part: Part, upload: Upload) -> SentPart:
        """Read a part and send it; the answer is held against what was sent.

        What is sent is forgotten on the way, so that a part that must be sent again is read again.
        """
        what = f"send part {part.number} of"
        outages = 0

        def send_once() -> SentPart:
            nonlocal outages
            if outages > 1:
                # Until it answers, the source would be read again and again for nothing.
                look(self.destination, self.key)
            with self._held(part, whole_md5=not upload.checks) as content:
                self.counts.add(sent=part.size)
                began = self.destination.clock.now()
                try:
                    answer = self.destination.send(
                        what,
                        "upload_part",
                        self.key,
                        UploadId=upload.upload_id,
                        PartNumber=part.number,
                        Body=content,
                        ChecksumSHA256=content.sha256,
                    )
                except AmiStoreError as error:
                    outages += is_outage(error)
                    raise
                self.foresee_sending(part.size, self.destination.clock.now() - began)
            refuse_other(self.destination, self.key, answer, content.sha256, content.md5)
            upload.uses_kms |= _is_kms(answer)
            etag = plain_etag(answer)
            return SentPart(part.number, part.size, etag, content.sha256, content.md5s)

        sent = self.destination.retry(what, self.key, send_once)
        self.counts.add(parts=1)
        return sent

    @contextlib.contextmanager
    def _held(self, part: Part, whole_md5: bool) -> t.Iterator[Content]:
        """Hold a part in memory, be it read ahead or now, and let go of it as it leaves."""
        held = self.ahead.take(part.number)
        if held:
            held.content.add_sums(self.md5_step, whole_md5)
        else:
            held = read_held(self.memory, part, partial(self.read, whole_md5=whole_md5))
        held.content.on_left = held.let_go
        try:
            yield held.content
        finally:
            # The error that has ended it may keep the content until the part is sent again.
            held.content.forget()
            held.close()


def refuse_other(
    side: Side, key: str, answer: t.Mapping[str, t.Any], checksum: str, md5: bytes | None
) -> None:
    """Refuse an answer that speaks of other bytes than those that were sent.

    :param md5: the MD5 sum of the whole, None where it was not made.
    :raises DamagedError: what was sent did not arrive as it was.
    """
    told, etag = answer.get("ChecksumSHA256"), plain_etag(answer)
    has_md5 = md5 is not None and not _is_kms(answer) and parts_in_etag(etag) == 1
    if told and told != checksum:
        difference = f"SHA-256 {told} instead of {checksum}"
    elif md5 and has_md5 and not is_multipart(etag) and etag != md5.hex():
        difference = f"MD5 {etag} instead of {md5.hex()}"
    else:
        return
    raise DamagedError(
        message=f"{side.name} {side.bucket.url(key)}: the server confirms other bytes than those"
        f" sent ({difference}). Running the same task again sends them once more"
    )


def fetch(side: Side, seen: Seen, part: Part, content: _Taker) -> _Taker:
    """Read a stretch of an object once.

    :raises SourceChangedError: it is not the object that was seen.
    :raises DamagedError: the answer has another length.
    """
    params = {"Range": part.range} if part.size else {}

    def get(**given: t.Any) -> t.Mapping[str, t.Any]:
        answer = side.client.get_object(**given)
        with contextlib.closing(answer["Body"]) as body:
            _refuse_other_answer(side, seen, part, answer)
            _take_in(content, body)
        return t.cast("t.Mapping[str, t.Any]", answer)

    try:
        side.send_with(f"read part {part.number} of", get, seen.key, **seen.pin, **params)
    except AmiStoreError as error:
        if error_code(error) in CHANGED_CODES | MISSING_CODES:
            raise explain(side, "read", seen.key, error) from error
        raise
    if len(content) != part.size:
        raise _other_length(side, seen, part, len(content))
    return content


def _refuse_other_answer(side: Side, seen: Seen, part: Part, answer: t.Mapping[str, t.Any]) -> None:
    """Refuse what is not asked for before it is read: it may be far larger than a part."""
    if plain_etag(answer) != seen.etag:
        raise SourceChangedError(
            f"{side.name} {side.bucket.url(seen.key)} has another ETag than when the copy began: it"
            " was overwritten. Running the same task again copies what is there then"
        )
    length = answer.get("ContentLength", part.size)
    if length != part.size:
        raise _other_length(side, seen, part, length)
    # The whole may be answered as such. Where the ETag tells nothing of the content, a stretch of
    # the same length from elsewhere in the object would pass for this one.
    told = str(answer.get("ContentRange") or "")
    if part.size != seen.size and told.partition("/")[0].split() != part.range.split("="):
        raise DamagedError(
            f"{side.name} {side.bucket.url(seen.key)}: {told or 'no range'} came instead of"
            f" {part.range}. Running the same task again reads it once more"
        )


def _other_length(side: Side, seen: Seen, part: Part, length: int) -> DamagedError:
    return DamagedError(
        f"{side.name} {side.bucket.url(seen.key)}: {length} bytes came instead of the {part.size}"
        f" of {part.range}"
    )


def _take_in(content: Chunks, body: t.Any) -> None:
    """Read a body; what TLS finds damaged on the way is told as any lost connection is."""
    try:
        content.take_in(body)
    except SSLError as error:
        raise ResponseStreamingError(error=error) from error


def plain_etag(answer: t.Mapping[str, t.Any]) -> str:
    return str(answer.get("ETag") or "").strip('"')


def _is_kms(answer: t.Mapping[str, t.Any]) -> bool:
    return str(answer.get("ServerSideEncryption") or "").startswith("aws:kms")


@dataclass(frozen=True)
class ServerSide:
    """Parts that S3 copies itself; no bytes come through here."""

    source: Side
    destination: Side
    seen: Seen
    key: str
    counts: Counts

    def send(self, part: Part, upload: Upload) -> SentPart:
        what = f"copy part {part.number} of"
        answer = self.call(
            what,
            "upload_part_copy",
            UploadId=upload.upload_id,
            PartNumber=part.number,
            CopySourceRange=part.range,
        )
        self.counts.add(parts=1)
        upload.uses_kms |= _is_kms(answer)
        result = answer["CopyPartResult"]
        return SentPart(part.number, part.size, plain_etag(result), result.get("ChecksumSHA256"))

    def copy_whole(self, **settings: t.Any) -> t.Mapping[str, t.Any]:
        """Copy the object with one request."""
        answer = self.call("copy", "copy_object", **settings)
        self.counts.add(parts=1)
        return t.cast("t.Mapping[str, t.Any]", answer)

    def call(self, what: str, method: str, **params: t.Any) -> t.Any:
        owner = {"ExpectedSourceBucketOwner": self.source.owner} if self.source.owner else {}
        try:
            return self.destination.call(
                what,
                method,
                self.key,
                CopySource=copy_source(self.source, self.seen),
                CopySourceIfMatch=f'"{self.seen.etag}"',
                **owner,
                **params,
            )
        except CopyError as error:
            # A condition on the target can fail as well, but is sent with CopyObject alone.
            if error.code in CHANGED_CODES | {"NoSuchKey", "NoSuchVersion"}:
                cause = t.cast(AmiStoreError, error.__cause__)
                raise explain(self.source, what, self.seen.key, cause) from error
            raise


def copy_source(side: Side, seen: Seen) -> dict[str, str]:
    version = {"VersionId": seen.version_id} if seen.pinned and seen.version_id else {}
    return {"Bucket": side.bucket.name, "Key": seen.key, **version}
