"""HTTP without connections: grammar, heads, bodies, codings, and error responses.

Read `grammar`, `request_head` and `response_head`, then `body` (framing). `model_reader` finds the
model in a request's body, with `content_coding`, `json_model` and `form_model`.
"""
