"""Errors of the admin listener's calls, as JSON: of handlers, and of paths below /api without one.

| field | |
|---|---|
| error.message | what is wrong, and the remedy |
| error.code | the status |
| error.field | field of the body that is wrong, where it is one |
"""

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

PREFIX = "/api"


def error_answer(status: int, message: str, field: str = "") -> web.Response:
    """Answer a call with an error."""
    error: dict[str, Any] = {"message": message, "code": status}
    if field:
        error["field"] = field
    headers = {"WWW-Authenticate": 'Bearer realm="isocline admin"'} if status == 401 else {}
    return web.json_response({"error": error}, status=status, headers=headers)


@web.middleware
async def api_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what no handler answers below /api as handlers do: unknown paths, wrong methods."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        if not _is_call(request):
            raise
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = error_answer(405, f"{request.path} takes {allowed}, not {error.method}")
        answer.headers["Allow"] = ",".join(sorted(error.allowed_methods))
        return answer
    except web.HTTPNotFound:
        if not _is_call(request):
            raise
        return error_answer(404, f"there is no call {request.path}; docs/admin.md lists them")
    except web.HTTPException as error:
        if not _is_call(request) or error.status < 400:
            raise
        return error_answer(error.status, (error.text or error.reason).strip())


def _is_call(request: web.Request) -> bool:
    return request.path == PREFIX or request.path.startswith(f"{PREFIX}/")
