"""HTTP without connections: grammar, heads, bodies, codings, CORS, and answers of our own."""
