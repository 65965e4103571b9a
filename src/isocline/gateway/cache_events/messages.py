"""Messages of a server's KV cache events, as vLLM publishes them by ZeroMQ.

A message has three frames: a topic; its number, 8 bytes, big-endian, from 0 on; and a batch, in
msgpack: [time, [event, ...], rank], or, in later versions, a map with the key `events`. An event is
a list that begins with its type, or a map with the key `type`; fields have been added at the end
(vLLM, `vllm/distributed/kv_events.py`). SGLang, TensorRT-LLM and others publish the same.

A replay is asked for by the number of its first message, behind an empty frame, and comes as one
message for each, with the number and the batch as its last frames; the last one has the number -1
and no batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isocline.gateway.core.cache_index import CacheEvent, Cleared, Hash, Removed, Stored

_NUMBER_BYTES = 8
_END = (-1).to_bytes(_NUMBER_BYTES, "big", signed=True)
# Fields of events that are lists, behind the type.
_STORED = (
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
    "group_idx",
)
_REMOVED = ("block_hashes", "medium", "group_idx")
# Memory in which a prompt need not be read again: what is moved elsewhere is not gone, but slower.
_NEAR = (None, "GPU")


class MessageError(ValueError):
    """A message that cannot be read."""


def read_message(frames: Sequence[bytes]) -> tuple[int, list[CacheEvent]]:
    """Return the number of a message, and its events.

    Raises:
        MessageError: It is not of this format.
    """
    import msgpack  # noqa: PLC0415 - an extra, see `reader`

    number = number_of(frames)
    try:
        batch = msgpack.unpackb(frames[2], strict_map_key=False)
        events = list(_events(batch["events"] if isinstance(batch, Mapping) else batch[1]))
    except Exception as error:  # whatever a wrong format leads to
        raise MessageError(f"a batch of events cannot be read: {error!r}") from error
    return number, events


def number_of(frames: Sequence[bytes]) -> int:
    """Return the number of a message; raises MessageError."""
    if len(frames) != 3 or len(frames[1]) != _NUMBER_BYTES:
        raise MessageError("a message does not have three frames, the second one of 8 bytes")
    return int.from_bytes(frames[1], "big")


def replay_request(number: int) -> list[bytes]:
    """Frames that ask for all messages from this number on."""
    return [b"", number.to_bytes(_NUMBER_BYTES, "big")]


def ends_replay(frames: Sequence[bytes]) -> bool:
    """Whether a message of a replay is its last one, which has no events."""
    return len(frames) >= 2 and frames[-2] == _END


def _events(events: Any) -> Iterator[CacheEvent]:
    for event in events:
        kind, fields = (event["type"], event) if isinstance(event, Mapping) else _listed(event)
        if kind == "AllBlocksCleared":
            yield Cleared()
        elif fields.get("medium") not in _NEAR:
            continue
        elif kind == "BlockRemoved":
            yield Removed(tuple(map(_hash, fields["block_hashes"])))
        elif kind == "BlockStored":
            yield _stored(fields)


def _listed(event: Any) -> tuple[str, Mapping[str, Any]]:
    names = _STORED if event[0] == "BlockStored" else _REMOVED
    return event[0], dict(zip(names, event[1:], strict=False))


def _stored(fields: Mapping[str, Any]) -> Stored:
    # The same tokens have other blocks under an adapter, with a picture or a salt; and a model
    # whose layers attend in several ways has a block of each kind.
    alone = (
        fields.get("lora_id") is None
        and fields.get("lora_name") is None
        and not any(fields.get("extra_keys") or ())
        and not fields.get("group_idx")
    )
    parent = fields["parent_block_hash"]
    return Stored(
        tuple(map(_hash, fields["block_hashes"])),
        None if parent is None else _hash(parent),
        tuple(fields["token_ids"]) if alone else (),
        int(fields["block_size"]),
    )


def _hash(value: Any) -> Hash:
    if not isinstance(value, int | bytes):
        raise MessageError(f"a block's hash is {value!r}")
    return value
