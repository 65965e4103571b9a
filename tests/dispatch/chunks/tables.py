"""Delta and Iceberg tables, written as the specifications say, file by file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def add(path: str, size: int = 10, **more: Any) -> dict[str, Any]:
    """Delta's action that adds a file."""
    return {"add": {"path": path, "size": size, "partitionValues": {}, "dataChange": True, **more}}


def remove(path: str) -> dict[str, Any]:
    return {"remove": {"path": path, "dataChange": True, "deletionTimestamp": 1}}


def commit(table: Path, version: int, *actions: Mapping[str, Any]) -> None:
    """Write a version of a Delta table."""
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(action) for action in actions]
    (log / f"{version:020}.json").write_text("\n".join(lines) + "\n")


def checkpoint(table: Path, version: int, parts: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Write a checkpoint of a Delta table, in one file or in several."""
    file = pa.struct([("path", pa.string()), ("size", pa.int64())])
    protocol = pa.struct([("minReaderVersion", pa.int32()), ("minWriterVersion", pa.int32())])
    schema = pa.schema([("add", file), ("remove", file), ("protocol", protocol)])
    for number, actions in enumerate(parts, 1):
        part = f".{number:010}.{len(parts):010}" if len(parts) > 1 else ""
        rows = [{**dict.fromkeys(schema.names), **action} for action in actions]
        path = table / "_delta_log" / f"{version:020}.checkpoint{part}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), path)


def _avro(path: Path, name: str, fields: list[dict[str, Any]], records: Sequence[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = fastavro.parse_schema({"type": "record", "name": name, "fields": fields})
    with path.open("wb") as file:
        fastavro.writer(file, schema, records)
    return str(path)


def manifest(path: Path, entries: Sequence[tuple[int, int, str, int]]) -> str:
    """Write a manifest of entries (status, content, file, bytes)."""
    file = {
        "type": "record",
        "name": "r2",
        "fields": [
            {"name": "content", "type": "int"},
            {"name": "file_path", "type": "string"},
            {"name": "file_format", "type": "string"},
            {"name": "file_size_in_bytes", "type": "long"},
        ],
    }
    fields: list[dict[str, Any]] = [
        {"name": "status", "type": "int"},
        {"name": "data_file", "type": file},
    ]
    records: list[Any] = [
        {
            "status": status,
            "data_file": {
                "content": content,
                "file_path": name,
                "file_format": "PARQUET",
                "file_size_in_bytes": size,
            },
        }
        for status, content, name, size in entries
    ]
    return _avro(path, "manifest_entry", fields, records)


def manifest_list(path: Path, manifests: Sequence[str]) -> str:
    fields = [{"name": "manifest_path", "type": "string"}]
    return _avro(path, "manifest_file", fields, [{"manifest_path": it} for it in manifests])


def metadata(table: Path, version: int, **more: Any) -> Path:
    """Write an Iceberg table's file of metadata."""
    document = {"format-version": 2, "location": str(table), **more}
    path = table / "metadata" / f"v{version}.metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
