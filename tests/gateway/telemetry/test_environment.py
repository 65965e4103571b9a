"""Settings of telemetry: the file before variables, variables before defaults, errors by name."""

import pytest

from isocline.errors import UsageError
from isocline.gateway.config import Sampling
from isocline.gateway.telemetry.environment import sampling_of, telemetry_of
from isocline.model.serving_settings import Tracing

OTLP = "OTEL_EXPORTER_OTLP_"


def test_by_default_a_collector_on_this_machine_gets_everything() -> None:
    made = telemetry_of(Tracing(), {})
    assert made.spans is not None
    assert made.metrics is not None
    assert made.spans.url == "http://localhost:4318/v1/traces"
    assert made.metrics.url == "http://localhost:4318/v1/metrics"
    assert (made.spans.timeout, made.spans.gzip, made.spans.headers) == (10.0, False, ())
    assert (made.delay, made.batch, made.queue, made.patience) == (5.0, 512, 2048, 30.0)
    assert (made.every, made.delta, dict(made.resource)) == (
        60.0,
        False,
        {"service.name": "isocline"},
    )
    assert sampling_of(Tracing(), {}) == Sampling(1.0)


def test_variables_say_what_the_file_does_not() -> None:
    variables = {
        f"{OTLP}ENDPOINT": "https://collector:4318/base/",
        f"{OTLP}METRICS_ENDPOINT": "http://other/whole/path",
        f"{OTLP}HEADERS": "api-key=a%20b, x=1",
        f"{OTLP}TRACES_HEADERS": "x=2",
        f"{OTLP}TIMEOUT": "2500",
        f"{OTLP}METRICS_TIMEOUT": "100",
        f"{OTLP}COMPRESSION": "gzip",
        f"{OTLP}METRICS_COMPRESSION": "none",
        f"{OTLP}CERTIFICATE": "/ca.pem",
        f"{OTLP}PROTOCOL": "http/protobuf",
        f"{OTLP}METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,zone=a%2Cb",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    made = telemetry_of(Tracing(), variables)
    assert made.spans is not None
    assert made.metrics is not None
    assert made.spans.url == "https://collector:4318/base/v1/traces"
    assert made.metrics.url == "http://other/whole/path"
    assert dict(made.spans.headers) == {"api-key": "a b", "x": "2"}
    assert dict(made.metrics.headers) == {"api-key": "a b", "x": "1"}
    assert (made.spans.timeout, made.metrics.timeout) == (2.5, 0.1)
    assert (made.spans.gzip, made.metrics.gzip) == (True, False)
    assert made.spans.ca_file == "/ca.pem"
    assert dict(made.resource) == {"service.name": "mine", "zone": "a,b"}
    assert (made.delay, made.queue, made.batch, made.every, made.delta) == (
        0.05,
        100,
        100,
        1.0,
        True,
    )


def test_the_file_counts_before_variables() -> None:
    variables = {
        f"{OTLP}ENDPOINT": "http://other",
        f"{OTLP}TRACES_ENDPOINT": "http://another",
        f"{OTLP}PROTOCOL": "grpc",
        f"{OTLP}HEADERS": "x=1",
        "OTEL_SERVICE_NAME": "other",
        "OTEL_TRACES_SAMPLER": "always_off",
        "KEY": "secret",
    }
    tracing = Tracing("https://mine:4318/", 0.25, "mine", {"x": "KEY"}, continues=False)
    made = telemetry_of(tracing, variables)
    assert made.spans is not None
    assert made.spans.url == "https://mine:4318/v1/traces"
    assert dict(made.spans.headers) == {"x": "secret"}
    assert "secret" not in repr(made)
    assert dict(made.resource)["service.name"] == "mine"
    assert sampling_of(tracing, variables) == Sampling(0.25, continues=False)


@pytest.mark.parametrize(
    ("sampler", "argument", "sampling"),
    [
        ("always_on", "", Sampling(1.0, follows_parent=False)),
        ("always_off", "0.5", Sampling(0.0, follows_parent=False)),
        ("traceidratio", "0.5", Sampling(0.5, follows_parent=False)),
        ("parentbased_always_on", "", Sampling(1.0)),
        ("parentbased_always_off", "", Sampling(0.0)),
        ("parentbased_traceidratio", "0.125", Sampling(0.125)),
        ("parentbased_traceidratio", "", Sampling(1.0)),
    ],
)
def test_samplers_by_name(sampler: str, argument: str, sampling: Sampling) -> None:
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampling_of(Tracing(), variables) == sampling


def test_each_kind_can_be_off_and_so_can_all() -> None:
    none = telemetry_of(Tracing(), {"OTEL_TRACES_EXPORTER": "none"})
    assert (none.spans is None, none.metrics is None) == (True, False)
    assert sampling_of(Tracing(sample=1.0), {"OTEL_TRACES_EXPORTER": "none"}) is None
    none = telemetry_of(Tracing(), {"OTEL_METRICS_EXPORTER": "none"})
    assert (none.spans is None, none.metrics is None) == (False, True)
    off = {"OTEL_SDK_DISABLED": "True"}
    assert telemetry_of(Tracing(), off).spans is telemetry_of(Tracing(), off).metrics is None
    assert sampling_of(Tracing(), off) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({f"{OTLP}PROTOCOL": "grpc"}, "PROTOCOL is 'grpc'.* give serve.tracing.endpoint"),
        ({f"{OTLP}TRACES_PROTOCOL": "http/json"}, "only http/protobuf is supported"),
        ({f"{OTLP}ENDPOINT": "collector:4318"}, "OTLP_ENDPOINT is 'collector:4318.*; give a URL"),
        ({f"{OTLP}TRACES_ENDPOINT": "x"}, "TRACES_ENDPOINT is 'x'; give a URL"),
        ({f"{OTLP}TIMEOUT": "soon"}, "TIMEOUT is 'soon'; give a number"),
        ({f"{OTLP}TIMEOUT": "0"}, "TIMEOUT is '0'; give a number of milliseconds above 0"),
        ({f"{OTLP}TIMEOUT": "inf"}, "TIMEOUT is 'inf'; give a number"),
        ({f"{OTLP}COMPRESSION": "zstd"}, "COMPRESSION is 'zstd'; give one of gzip, none"),
        ({f"{OTLP}HEADERS": "secret"}, "^OTEL_EXPORTER_OTLP_HEADERS: an entry is not key=value"),
        ({f"{OTLP}HEADERS": "a=%0d%0ab: c"}, "headers: a: its value is invalid in a header"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "QUEUE_SIZE is '0'; give a whole number, 1 or more"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "1.5"}, "QUEUE_SIZE is '1.5'; give a whole number"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "EXPORTER is 'zipkin'; give one of otlp, none"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        telemetry_of(Tracing(), variables)


def test_a_header_needs_its_variable_and_a_sampler_its_share() -> None:
    with pytest.raises(UsageError, match="headers: x-key: environment variable KEY is not set"):
        telemetry_of(Tracing(headers={"x-key": "KEY"}), {})
    with pytest.raises(UsageError, match="SAMPLER is 'jaeger'; give one of always_on, "):
        sampling_of(Tracing(), {"OTEL_TRACES_SAMPLER": "jaeger"})
    wrong = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"}
    with pytest.raises(UsageError, match=r"SAMPLER_ARG is '1.5'; give a share from 0 to 1"):
        sampling_of(Tracing(), wrong)


@pytest.mark.parametrize(
    ("tracing", "message"),
    [
        ({"endpoint": "collector:4318"}, "endpoint: 'collector:4318' is no URL to send to"),
        ({"endpoint": "http://u:p@host"}, "is no URL to send to"),
        ({"endpoint": "http://host/?a=1"}, "is no URL to send to"),
        ({"sample": 1.5}, "sample is 1.5; give a share from 0 to 1"),
        ({"headers": {"a b": "KEY"}}, "'a b' is no name of a header"),
    ],
)
def test_a_file_that_cannot_be_used(tracing: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tracing(**tracing)  # type: ignore[arg-type]  # one is wrong on purpose
