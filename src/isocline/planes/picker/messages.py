"""Messages of Envoy's external processing and of gRPC's health checks, as a picker uses them.

Numbers and types are those of `envoy.service.ext_proc.v3` and of the parts of `config.core.v3` and
`type.v3` that it is made of (Envoy 1.35 and later; fields keep their numbers). Fields that are left
out are skipped where they come, as protobuf has it. The package's name is our own, so that no other
copy of Envoy's messages in the same process is in the way: names are not sent.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

_PACKAGE = "isocline.ext_proc"
_STRUCT = ".google.protobuf.Struct"
_SCALARS = {"string": 9, "bytes": 12, "bool": 8, "enum": 5}  # int32: an enum is sent as one
_SINGLE, _REPEATED, _MESSAGE = 1, 3, 11
# Message: fields as (name, number, type); a type in brackets is repeated, one with a star is of a
# map from strings, and one behind a bar is of the message's only `oneof`.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "HeaderValue": (("key", 1, "string"), ("value", 2, "string"), ("raw_value", 3, "bytes")),
    "HeaderMap": (("headers", 1, "[HeaderValue]"),),
    "Metadata": (("filter_metadata", 1, f"*{_STRUCT}"),),
    "HttpHeaders": (("headers", 1, "HeaderMap"), ("end_of_stream", 3, "bool")),
    "HttpBody": (("body", 1, "bytes"), ("end_of_stream", 2, "bool")),
    "HttpTrailers": (("trailers", 1, "HeaderMap"),),
    "ProtocolConfiguration": (("request_body_mode", 1, "enum"), ("response_body_mode", 2, "enum")),
    "ProcessingRequest": (
        ("request_headers", 2, "|HttpHeaders"),
        ("response_headers", 3, "|HttpHeaders"),
        ("request_body", 4, "|HttpBody"),
        ("response_body", 5, "|HttpBody"),
        ("request_trailers", 6, "|HttpTrailers"),
        ("response_trailers", 7, "|HttpTrailers"),
        ("metadata_context", 8, "Metadata"),
        ("observability_mode", 10, "bool"),
        ("protocol_config", 11, "ProtocolConfiguration"),
    ),
    "HeaderValueOption": (("header", 1, "HeaderValue"), ("append_action", 3, "enum")),
    "HeaderMutation": (
        ("set_headers", 1, "[HeaderValueOption]"),
        ("remove_headers", 2, "[string]"),
    ),
    "StreamedBodyResponse": (("body", 1, "bytes"), ("end_of_stream", 2, "bool")),
    "BodyMutation": (("streamed_response", 3, "StreamedBodyResponse"),),
    "CommonResponse": (
        ("status", 1, "enum"),
        ("header_mutation", 2, "HeaderMutation"),
        ("body_mutation", 3, "BodyMutation"),
        ("clear_route_cache", 5, "bool"),
    ),
    "HeadersResponse": (("response", 1, "CommonResponse"),),
    "BodyResponse": (("response", 1, "CommonResponse"),),
    "TrailersResponse": (("header_mutation", 1, "HeaderMutation"),),
    "HttpStatus": (("code", 1, "enum"),),
    "ImmediateResponse": (
        ("status", 1, "HttpStatus"),
        ("headers", 2, "HeaderMutation"),
        ("body", 3, "bytes"),
        ("details", 5, "string"),
    ),
    "ProcessingResponse": (
        ("request_headers", 1, "|HeadersResponse"),
        ("response_headers", 2, "|HeadersResponse"),
        ("request_body", 3, "|BodyResponse"),
        ("response_body", 4, "|BodyResponse"),
        ("request_trailers", 5, "|TrailersResponse"),
        ("response_trailers", 6, "|TrailersResponse"),
        ("immediate_response", 7, "|ImmediateResponse"),
        ("dynamic_metadata", 8, _STRUCT),
    ),
    # Of grpc.health.v1.
    "HealthCheckRequest": (("service", 1, "string"),),
    "HealthCheckResponse": (("status", 1, "enum"),),
}
ONEOF = "kind"  # of ProcessingRequest and ProcessingResponse; its name is not sent either
NO_BODY, FULL_DUPLEX_STREAMED = 0, 4  # ProcessingMode.BodySendMode
OVERWRITE = 2  # HeaderValueOption.HeaderAppendAction: in place of what is there, if it is


def _file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="isocline/ext_proc.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("|") for _, _, kind in fields):
            message.oneof_decl.add(name=ONEOF)
        for field in fields:
            _add(message, *field)
    return file


def _add(message: Any, name: str, number: int, kind: str) -> None:
    """Add a field to the description of a message."""
    field = message.field.add(name=name, number=number, label=_SINGLE)
    plain = kind.strip("[]|*")
    if kind.startswith("["):
        field.label = _REPEATED
    elif kind.startswith("|"):
        field.oneof_index = 0
    elif kind.startswith("*"):  # a map is sent as repeated pairs
        entry = message.nested_type.add(name="FilterMetadataEntry")
        entry.options.map_entry = True
        _add(entry, "key", 1, "string")
        _add(entry, "value", 2, plain)
        field.label, plain = _REPEATED, f".{_PACKAGE}.{message.name}.{entry.name}"
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
    else:
        field.type = _MESSAGE
        field.type_name = plain if plain.startswith(".") else f".{_PACKAGE}.{plain}"


_POOL = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
_POOL.AddSerializedFile(_file().SerializeToString())
_CLASSES = message_factory.GetMessageClassesForFiles(["isocline/ext_proc.proto"], _POOL)

ProcessingRequest: Any = _CLASSES[f"{_PACKAGE}.ProcessingRequest"]
ProcessingResponse: Any = _CLASSES[f"{_PACKAGE}.ProcessingResponse"]
HealthCheckRequest: Any = _CLASSES[f"{_PACKAGE}.HealthCheckRequest"]
HealthCheckResponse: Any = _CLASSES[f"{_PACKAGE}.HealthCheckResponse"]
