"""HTTP content and its rules, apart from connections: bodies read in parts, codings, CORS."""
