"""Timeouts of exchanges."""

from typing import TYPE_CHECKING

from isocline.gateway.core.actions import Cause

if TYPE_CHECKING:
    from isocline.gateway.proxy.exchange import Exchange

REQUEST_TIMEOUT, GATEWAY_TIMEOUT = 408, 504


def end_overdue(exchange: "Exchange", now: float) -> None:
    """Fail the exchange according to which limit expired."""
    if now >= exchange.deadline:
        if exchange.sending:
            exchange.failed(Cause.TOTAL_TIMEOUT)
        else:
            exchange.abandon(GATEWAY_TIMEOUT, Cause.TOTAL_TIMEOUT.reason)
    elif exchange.downstream.write_paused:
        exchange.drop("the client took its response too slowly")
    elif exchange.begun:
        exchange.failed(Cause.IDLE_TIMEOUT)
    elif exchange.complete:
        exchange.failed(Cause.FIRST_BYTE_TIMEOUT)
    elif exchange.downstream.is_paused:
        exchange.failed(Cause.IDLE_TIMEOUT)  # the backend does not take the request
    else:
        exchange.abandon(REQUEST_TIMEOUT, "the body of the request took too long")
