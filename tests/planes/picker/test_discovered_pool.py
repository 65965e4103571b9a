"""A pool whose endpoints Kubernetes tells of, by a stub of its API."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from isocline.gateway.discovery.discovery import look
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import opened, serving_of
from isocline.gateway.serve.single_worker import SingleWorker
from isocline.planes.picker import Picker, fit
from tests.gateway.discovery.kubernetes_stub import KubernetesStub, ready, slice_of
from tests.planes.picker.streams import chosen, exchange, request_head
from tests.planes.picker.test_service import Asking, run


def test_endpoints_are_those_of_the_pools_slices(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with KubernetesStub() as api:
            token = tmp_path / "token"
            token.write_text("secret")
            kubernetes = {
                "service": "vllm",
                "namespace": "ml",
                "api": api.url,
                "token_file": str(token),
            }
            curve = {"type": "hyperbolic", "peak": 40.0, "half": 12.0}
            content = {
                "kind": "routing",
                "discover": [
                    {
                        "name": "pool",
                        "kubernetes": kubernetes,
                        "templates": [{"report": "orca", "curve": curve}],
                    }
                ],
                "frontends": [{"name": "all", "backends": ["*"]}],
                "serve": {"listen": "127.0.0.1:0"},
            }
            file = tmp_path / "pool.yaml"
            file.write_text(yaml.safe_dump(content))
            given = opened(file)
            overrides = Overrides(plane="picker", fit=fit)
            empty = serving_of(given, overrides)

            async def now() -> Any:
                found, problems = await look(empty.discover, tmp_path)
                assert not problems
                return serving_of(given, overrides, found)

            worker = SingleWorker(empty, None, plane=Picker)
            ((_, host, port),) = await worker.start()
            async with aio.insecure_channel(f"{host}:{port}") as channel:

                async def asked() -> Any:
                    stream = Asking(channel)
                    await stream.say(request_head(end=True))
                    answer = await stream.hear()
                    stream.cancel()
                    return answer

                health = health_pb2_grpc.HealthStub(channel)
                readiness = health_pb2.HealthCheckRequest(service="readiness")
                watch = health.Watch(readiness)
                not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
                assert (await watch.read()).status == not_serving
                assert (await asked()).immediate_response.status.code == 503

                api.put(slice_of("vllm-1", [ready("10.1.0.1", "pod-1")]))
                await worker.reload(await now())
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                assert chosen(await asked()) == ["10.1.0.1:8000"]

                api.put(slice_of("vllm-1", [ready("10.1.0.2", "pod-2")]))
                await worker.reload(await now())
                assert chosen(await asked()) == ["10.1.0.2:8000"]
                stream = Asking(channel)
                assert await stream.served(exchange())
                assert await stream.end() == grpc.StatusCode.OK
            await asyncio.wait_for(worker.stop(0.0), 60.0)

    run(scenario)
