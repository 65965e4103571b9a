"""Tasks that wait elsewhere than before: a server is gone, or the board is another."""

from isocline.dispatch.actions import Action
from isocline.dispatch.kernels import floor
from isocline.dispatch.places import seat, wider_board
from isocline.dispatch.table import Table
from isocline.dispatch.waiting import all_waiting, described, waiting_for, withdraw, without


def leave(table: Table, server: int, now: float) -> list[Action]:
    """A server is gone; tasks that waited for it come again elsewhere, in their order."""
    board = table.board
    # All are withdrawn before any comes again: a queue that is down is to be empty.
    numbers = waiting_for(board, server)
    withdraw(board, numbers)
    table.waiting -= int(numbers.size)
    table.no_longer_holds(server)
    table.no_longer_comes(server)
    board.event(floor.DOWN, server)
    up = tuple(table.servers.at)
    again, orphans = without(board, numbers, server, table.anywhere, up)
    # The last first, each before all others, so that they keep their order.
    for number in reversed(orphans.tolist()):
        table.orphaned(described(board, number)[0], now)
    board.set_moved(again[::-1], up)
    return _come_again(table, now)


def _come_again(table: Table, now: float) -> list[Action]:
    """Tasks that were withdrawn stand before all others, each before the one that came before."""
    board, numbers = table.board, table.board.floor.moved[1:]
    actions: list[Action] = []
    came = 0
    while came < numbers.size:
        board.event(floor.COMES_AGAIN, 0, 0, now, table.learning.ahead)
        before, came = came, board.moved()
        table.waiting += came - before
        holders, _, _ = board.facts(int(numbers[came - 1]))
        actions += table.has_come(holders, now)
    return actions


def move(table: Table, now: float) -> list[Action]:
    """Everything goes on a board with more places."""
    old = table.board
    table.board = wider_board(old, table.racks, table.servers)
    table.shares.moved(table.board)
    for server in table.fetching.coming():
        table.board.floor.coming[server] += 1
    table.go_by_rates(anew=True)
    seat(old, table.board, table.servers)
    for attempts in table.servers.at.values():
        for attempt in attempts:
            if attempt.task in table.number:
                table.number[attempt.task] = attempt.number
    table.waiting = 0
    actions: list[Action] = []
    for number in all_waiting(old).tolist():
        description, holders = described(old, number)
        actions += table.come(description, holders, now)
    return actions
