"""Another board: more servers, or other racks, than the arrays had."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from isocline.dispatch.board import Board
from isocline.dispatch.kernels import floor
from isocline.dispatch.servers import Servers
from isocline.policies.scheduling.tasks import NONE


def fits(board: Board, server: int, rack: int) -> bool:
    """Whether a board has the place of this server, in this rack."""
    if server >= board.setting.size:
        return False
    return not board.has_racks or int(board.setting.rack[server]) == rack


def wider_board(board: Board, racks: Mapping[int, int], servers: Servers) -> Board:
    """A board with room for these servers, of which the policy remembers what it did."""
    old = board.setting
    last = max(racks)
    size = old.size if last < old.size else 2 * (last + 1)
    rack = np.full(size, racks[last], np.int32)
    for server, its in racks.items():
        rack[server] = its
    count = int(rack.max()) + 1 if board.has_racks else 1
    setting = replace(old, rack=rack, racks=count)
    wider = Board(setting, board.policy, board.rng, has_racks=board.has_racks)
    # From the last place on, as a set of idle servers is closed up by its last member.
    for server in range(size - 1, -1, -1):
        if server not in servers.at:
            wider.event(floor.DOWN, server)
    known = board.policy.remembers * old.size
    wider.view.memory[:known] = board.view.memory[:known]
    return wider


def seat(board: Board, wider: Board, servers: Servers) -> dict[int, int]:
    """Let those tasks that run do so on the wider board.

    Returns:
        Their new numbers by the old.
    """
    numbers: dict[int, int] = {}
    for server, attempts in servers.at.items():
        for i, attempt in enumerate(attempts):
            what = floor.PUT_AHEAD if i else floor.RUNS_TOO
            number = numbers.get(attempt.number, NONE)
            if number == NONE:
                wider.describe(*board.described(attempt.number))
            wider.event(what, server, number)
            numbers[attempt.number] = wider.given() if number == NONE else number
            attempt.number = numbers[attempt.number]
    return numbers
