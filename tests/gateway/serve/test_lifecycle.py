"""Life of a router beside its requests."""

import asyncio
from pathlib import Path

import pytest

from isocline.gateway.file_stamps import KnownFiles, stamps_of
from isocline.gateway.serve import lifecycle


def test_a_file_that_is_deleted_is_logged_and_reloads_nothing_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "FILE_PERIOD", 0.01)
    file = tmp_path / "fleet.yaml"
    file.write_text("kind: routing")
    known, reloads = KnownFiles(stamps_of([file])), lifecycle.Reloads()
    reloaded: list[str] = []

    async def read_again() -> bool:
        reloaded.append(file.read_text())
        return True

    async def life() -> None:
        tasks = lifecycle.Tasks(reloads.watch(known), reloads.carry_out(read_again, read_again))
        file.unlink()
        while not caplog.messages:
            await asyncio.sleep(0.01)
        assert not reloaded
        file.write_text("kind: near-data")
        while not reloaded:
            await asyncio.sleep(0.01)
        tasks.cancel()
        await tasks.ended()

    asyncio.run(life())
    assert "fleet.yaml can no longer be read" in caplog.text
    assert reloaded[-1] in (
        "",
        "kind: near-data",
    )  # a file is empty for a moment while it is written
