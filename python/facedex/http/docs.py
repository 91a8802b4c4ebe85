"""The OpenAPI document, and its page at ``/api/docs``, which needs no network: its files come with fastapi-offline.

The document describes each error once and refers to it, gives each schema an example, and names the scope that a route
needs as ``x-scope``. The page has a content security policy of its own, because Swagger UI writes styles into its
elements; scripts still come from files only.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from . import v1
from .errors import MEDIA_TYPE
from .guard import POLICY
from .security import COOKIE
from .v1.examples import example_of, problem_examples

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>facedex API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/files/swagger-ui.css"></head>
<body><div id="api"></div>
<script src="docs/files/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null});\n'
_SECRETS = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token from signing in."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key of 'facedex keys add'."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The cookie of the page."},
}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}


def add_docs(app: FastAPI) -> None:
    """Add the page."""

    @app.get("/api/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": f"{POLICY}; style-src 'self' 'unsafe-inline'"})

    @app.get("/api/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    package = find_spec("fastapi_offline")
    if package is not None and package.origin is not None:
        app.mount("/api/docs/files", StaticFiles(directory=Path(package.origin).parent / "static"), name="docs")


def complete_openapi(app: FastAPI) -> None:
    """Complete the application's document: shared error responses, security schemes, and examples."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            shared: dict[str, Any] = {}
            for operations in document["paths"].values():
                for operation in operations.values():
                    _shorten(operation, shared)
                    if "x-scope" in operation:
                        operation["security"] = [{name: []} for name in _SECRETS]
            document["components"]["responses"] = shared
            document["components"]["securitySchemes"] = _SECRETS
            schemas = document["components"]["schemas"]
            for name, schema in schemas.items():
                if name.startswith("Page_") or hasattr(v1.schemas, name):
                    schema["examples"] = [example_of(name, schemas)]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document


def _shorten(operation: dict[str, Any], shared: dict[str, Any]) -> None:
    for status, answer in operation.get("responses", {}).items():
        schemas = [one.get("schema") for one in answer.get("content", {}).values()]
        if _PROBLEM in schemas:
            examples = {code: one for code, one in problem_examples().items() if one["value"]["status"] == int(status)}
            shared[f"Problem{status}"] = {
                "description": answer["description"],
                "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": examples}},
            }
            operation["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}
