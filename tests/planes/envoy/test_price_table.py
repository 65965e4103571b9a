import os
from pathlib import Path

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.planes.envoy.price_table import VERSION, PriceTable

BACKENDS = {"a": "10.0.0.1:80", "b": ("[::1]:81", "10.0.0.2:80"), "c": ()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prices"


def filled(path: Path) -> PriceTable:
    table = PriceTable.create(path, ["eu", "us"], BACKENDS, limit=4)
    table.write(np.arange(15.0).reshape(3, 5))
    return table


def test_what_is_written_is_read(path: Path) -> None:
    prices = np.arange(15.0).reshape(3, 5)
    allowed = [[True, False, True], [False, True, True]]
    delays = np.arange(6.0).reshape(2, 3)
    with PriceTable.create(path, ["eu", "us"], BACKENDS, limit=4) as table:
        table.write(prices, allowed, delays)
        table.correct([1, -2, 3])
        with PriceTable.open(path) as reader:
            assert reader.frontends == ("eu", "us")
            assert reader.backends == {
                "a": ("10.0.0.1:80",),
                "b": ("[::1]:81", "10.0.0.2:80"),
                "c": (),
            }
            assert reader.identity == table.identity
            found = reader.read()
    assert found.generation == 1
    np.testing.assert_array_equal(found.prices, prices)
    np.testing.assert_array_equal(found.allowed, allowed)
    np.testing.assert_array_equal(found.delays, delays)
    np.testing.assert_array_equal(found.corrections, [1, -2, 3])


def test_each_frontend_may_have_prices_of_its_own(path: Path) -> None:
    prices = np.arange(30.0).reshape(2, 3, 5)
    with PriceTable.create(path, ["eu", "us"], BACKENDS, limit=4, per_frontend=True) as table:
        table.write(prices)
        np.testing.assert_array_equal(table.read().prices, prices)


def test_what_is_not_given_again_stays(path: Path) -> None:
    with filled(path) as table:
        np.testing.assert_array_equal(table.read().allowed, np.ones((2, 3), bool))
        allowed, delays = np.zeros((2, 3), bool), np.full((2, 3), 7.0)
        table.write(np.zeros((3, 5)), allowed, delays)
        for price in (1.0, 2.0, 3.0):
            table.write(np.full((3, 5), price))
            found = table.read()
            np.testing.assert_array_equal(found.prices, np.full((3, 5), price))
            np.testing.assert_array_equal(found.allowed, allowed)
            np.testing.assert_array_equal(found.delays, delays)
        assert found.generation == 5


def test_a_heartbeat_is_seen_by_readers(path: Path) -> None:
    with filled(path) as table, PriceTable.open(path) as reader:
        table.beat(lambda: 12345)
        assert reader.read().heartbeat == 12345


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (np.zeros((3, 4)), r"prices: shape \(3, 4\); give \(3, 5\)"),
        (np.full((3, 5), np.nan), "prices: 15 entries are NaN"),
        ("high", "prices: no table of numbers"),
    ],
)
def test_a_wrong_table_is_refused_and_the_former_stays(
    path: Path, prices: object, message: str
) -> None:
    with filled(path) as table:
        with pytest.raises(UsageError, match=message):
            table.write(prices)  # type: ignore[arg-type]
        assert table.generation == 1


def test_corrections_are_whole_numbers_of_each_backend(path: Path) -> None:
    with filled(path) as table:
        for wrong in ([1, 2], [0.5, 1.0, 2.0]):
            with pytest.raises(UsageError, match="corrections"):
                table.correct(wrong)


@pytest.mark.parametrize(
    ("frontends", "backends"),
    [
        ([], BACKENDS),
        (["a"], {}),
        (["a", "a"], BACKENDS),
        ([""], BACKENDS),
        (["a\n"], BACKENDS),
        (["a"], {"b": ""}),
    ],
)
def test_names_that_cannot_be_kept_are_refused(
    path: Path, frontends: list[str], backends: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"frontends|backend|name"):
        PriceTable.create(path, frontends, backends)
    assert not list(path.parent.iterdir())


def test_numbers_out_of_range_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="limit=0"):
        PriceTable.create(path, ["eu"], BACKENDS, limit=0)
    with pytest.raises(UsageError, match="stale_after=-1"):
        PriceTable.create(path, ["eu"], BACKENDS, stale_after=-1)


def test_a_path_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        PriceTable.create(tmp_path / "missing" / "prices", ["eu"], BACKENDS)


def test_another_file_is_not_replaced(path: Path) -> None:
    path.write_text("kind: routing")
    with pytest.raises(UsageError, match="no price table, and is not replaced"):
        PriceTable.create(path, ["eu"], BACKENDS)
    assert path.read_text() == "kind: routing"


def test_a_new_table_takes_the_place_of_a_former(path: Path) -> None:
    with filled(path) as former, filled(path) as later, PriceTable.open(path) as reader:
        assert former.identity != later.identity
        assert reader.identity == later.identity


def test_a_table_cut_short_anywhere_is_refused(path: Path) -> None:
    filled(path).close()
    size = path.stat().st_size
    for kept in (0, 5, 60, 127, 128, size // 2, size - 1):
        os.truncate(path, kept)
        with pytest.raises(UsageError, match=r"cut short|no price table"):
            PriceTable.open(path)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, b"x", "no price table"),
        (8, bytes([VERSION + 1]), f"version {VERSION + 1}, and this is version {VERSION}"),
        (32, b"\3", "damaged"),
        (44, b"\0", "damaged"),
        (130, b"?", "damaged"),
    ],
)
def test_a_foreign_later_or_damaged_table_is_refused(
    path: Path, offset: int, value: bytes, message: str
) -> None:
    filled(path).close()
    content = bytearray(path.read_bytes())
    content[offset : offset + 1] = value
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        PriceTable.open(path)


def test_a_missing_table_is_said(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        PriceTable.open(path)
