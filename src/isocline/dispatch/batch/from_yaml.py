"""Job files in YAML: a command, and the files for which to run it.

command: "wc -w {path}"
chunks: "*.txt"
nodes: {a: /disks/a, b: /disks/b}
"""

from collections.abc import Mapping
from glob import glob
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, final

from pydantic import (
    Field,
    GetPydanticSchema,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import no_info_wrap_validator_function

from isocline.dispatch.batch.command import Command
from isocline.dispatch.batch.quoting import QuotingError, with_path
from isocline.dispatch.batch.spec import Batch
from isocline.dispatch.locations.node_directories import in_directories, node_directories
from isocline.dispatch.locations.source import Source, read_source
from isocline.dispatch.submission.chunk_locations import Locations, nodes_in
from isocline.dispatch.submission.versions import Files
from isocline.errors import UsageError
from isocline.model.systemfile.document import Document, read
from isocline.model.systemfile.problems import choice, report
from isocline.model.systemfile.record import Name, Positive, Record
from isocline.policies.parse import scheduling_policy

_BEGIN = 'command: "wc -w {path}"'
_NAMES = Annotated[list[Name], Field(min_length=1)]

_DIRECTORIES = Annotated[dict[Name, Name], Field(min_length=1)]
_HOLDERS = dict[Name, _NAMES]


def _text_or(mapping: Any) -> GetPydanticSchema:
    """Schema of text, and of all else that of a mapping, whose messages it keeps."""

    def validated(value: Any, known: ValidatorFunctionWrapHandler) -> Any:
        return value if isinstance(value, str) and value else known(value)

    return GetPydanticSchema(
        lambda _, build: no_info_wrap_validator_function(validated, build(mapping))
    )


@final
class Entries(Record):
    """Fields of the file; relative paths start at its folder."""

    command: Name
    name: Name | None = None
    chunks: _NAMES | None = None  # patterns; None: all files in the nodes' directories
    # Directories by node, or a template such as /mnt/{node}/data.
    nodes: Annotated[dict[Name, Name] | str, _text_or(_DIRECTORIES)] | None = None
    # Names of nodes, if these have no directories, or a source such as csv:FILE.
    locations: Annotated[dict[Name, list[Name]] | str, _text_or(_HOLDERS)] | None = None
    racks: dict[Name, Name] | None = None
    limit: Positive | None = None
    retries: Annotated[int, Field(ge=0)] = 0
    resources: dict[Name, Positive] | None = None  # what each command needs of its node
    node_resources: dict[Name, Positive | dict[Name, Positive]] | None = None  # what nodes have
    slots: Annotated[int, Field(ge=1)] = 1
    copies: bool = False  # off by default, as a command may write files
    policy: Name | None = None
    engine: Literal["processes", "ray", "dask"] | None = None
    address: Name | None = None  # address of that engine's cluster

    @field_validator("chunks", mode="before")
    @classmethod
    def _one_or_several(cls, data: Any) -> Any:
        return [data] if isinstance(data, str) else data

    @field_validator("command")
    @classmethod
    def _says_which_file(cls, command: str) -> str:
        if "{path}" not in command and "CHUNK_PATH" not in command:
            raise PydanticCustomError(
                "said", 'does not mention its file; insert {path}, as in "wc -w {path}"'
            )
        try:
            with_path(command)
        except QuotingError as error:
            raise PydanticCustomError("said", "{why}", {"why": str(error)}) from error
        return command

    @model_validator(mode="after")
    def _one_kind_of_place(self) -> "Entries":
        if self.nodes and self.locations:
            raise PydanticCustomError(
                "said",
                "nodes and locations are both given; files in nodes need no locations",
            )
        return self


def yaml_batch(path: Path, locations: Source | None = None) -> Batch:
    """Read a job from a YAML file; `locations` overrides its own.

    Raises:
        SystemFileError: The file is invalid; the message names line, field, value and remedy.
        UsageError: Locations are given for a file whose nodes have directories.
    """
    document = read(path, "job", _BEGIN)
    _refuse_system(document)
    try:
        entries = Entries.model_validate(document.data)
    except ValidationError as errors:
        report(document, errors.errors(include_url=False)[0])
    if entries.policy is not None:
        with document.blaming("policy"):
            scheduling_policy(entries.policy)
    if not entries.nodes:
        return _in_folder(document, entries, path.parent, locations)
    if locations is not None:
        raise UsageError(
            f"--locations: {path} has nodes with directories, where their chunks are; leave it out"
        )
    return _in_directories(document, entries, path.parent)


def _refuse_system(document: Document) -> None:
    """Refuse other YAML files of this package, which have a `kind`."""
    if "kind" in document.data and "command" not in document.data:
        document.fail(
            ("kind",),
            f"is {document.data['kind']!r}: this describes a system, for isocline plan, simulate "
            f"or serve; give isocline run a job file, such as: {_BEGIN}",
        )


def _in_directories(document: Document, entries: Entries, folder: Path) -> Batch:
    """Build a batch for nodes with directories; a chunk is a file's path below them."""
    assert entries.nodes is not None
    if isinstance(entries.nodes, str):
        with document.blaming("nodes"):
            nodes = node_directories(entries.nodes, folder)
    else:
        nodes = {name: folder / root for name, root in entries.nodes.items()}
    for name, root in nodes.items():
        if not root.is_dir():
            document.fail(
                ("nodes", name), f"there is no directory {str(root)!r}; create or correct it"
            )
    _check_racks(document, entries, list(nodes))
    held: dict[str, list[str]] = {}
    for number, pattern in enumerate(entries.chunks or ["**/*"]):
        if PurePath(pattern).is_absolute() or ".." in PurePath(pattern).parts:
            document.fail(
                ("chunks", number), f"is {pattern!r}; give a pattern below the nodes' directories"
            )
        found = in_directories(nodes, pattern)
        if not found:
            document.fail(("chunks", number), f"no node has a file {pattern!r}; correct it")
        held |= found
    version = Files(*nodes.values())
    return _batch(
        document,
        entries,
        list(held),
        nodes=nodes,
        locations=held,
        loader=Path,
        version=version,
    )


def _in_folder(
    document: Document, entries: Entries, folder: Path, overriding: Source | None
) -> Batch:
    """Build a batch for nodes that can all read all files, each of which is near to some."""
    locations = _locations(document, entries, folder) if overriding is None else overriding
    given = locations if isinstance(locations, Mapping) else {}
    names = nodes_in(locations)
    _check_racks(document, entries, names)
    if not (entries.chunks or given):
        document.fail(("chunks",), "is missing; name the files, for example chunks: data/*.txt")
    found: dict[str, None] = {}
    for number, pattern in enumerate(entries.chunks or ()):
        # Not Path.glob, as a pattern may be absolute or begin with ..
        paths = glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
        files = sorted(path for path in paths if (folder / path).is_file())
        if not files:
            document.fail(
                ("chunks", number), f"there is no file {str(folder / pattern)!r}; correct it"
            )
        found.update(dict.fromkeys(files))
    return _batch(
        document,
        entries,
        list(found or given),
        nodes=names or None,
        locations=locations,
        loader=folder.absolute().joinpath,
        version=Files(folder),
        everywhere=True,
    )


def _locations(document: Document, entries: Entries, folder: Path) -> Locations | None:
    if not isinstance(entries.locations, str):
        return entries.locations
    with document.blaming("locations"):
        return read_source(entries.locations, folder)


def _check_racks(document: Document, entries: Entries, names: list[str]) -> None:
    for name in entries.racks or ():
        if name not in names:
            known = choice(name, names) if names else "there are no named nodes; add nodes"
            document.fail(("racks", name), f"is not a node; {known}")


def _batch(document: Document, entries: Entries, chunks: list[str], **sources: Any) -> Batch:
    return Batch(
        entries.name or document.path.stem,
        Command(entries.command),
        chunks,
        racks=entries.racks or {},
        limit=entries.limit,
        retries=entries.retries,
        copies=entries.copies,
        resources=entries.resources,
        node_resources=entries.node_resources,
        slots=entries.slots,
        policy=entries.policy,
        engine=entries.engine,
        address=entries.address,
        **sources,
    )
