"""Malformed requests and responses, by name, made from a few faults in each place of a message."""

FIELD_FAULTS = {
    "a space before the colon": b"X-A : b",
    "a tab before the colon": b"X-A\t: b",
    "a leading space": b" X-A: b",
    "a leading tab": b"\tX-A: b",
    "no colon": b"X-A b",
    "no name": b": b",
    "a NUL in the value": b"X-A: b\x00c",
    "a NUL in the name": b"X\x00A: b",
    "a bare CR in the value": b"X-A: b\rc",
    "a bare LF in the value": b"X-A: b\nc",
    "a bell in the value": b"X-A: b\x07",
    "a delete in the value": b"X-A: b\x7f",
    "a vertical tab in the value": b"X-A: b\x0bc",
    "a slash in the name": b"X/A: b",
    "an at sign in the name": b"X@A: b",
    "parentheses in the name": b"X(A): b",
    "a quoted name": b'"X-A": b',
    "a comma in the name": b"X,A: b",
    "brackets in the name": b"X[A]: b",
    "braces in the name": b"X{A}: b",
    "a name in UTF-8": "Ä: b".encode(),
    "a name in Latin-1": b"\xc4: b",
    "an empty line's space": b" ",
    "a backslash in the name": b"X\\A: b",
    "a question mark in the name": b"X?A: b",
    "an equals sign in the name": b"X=A: b",
    "a semicolon in the name": b"X;A: b",
    "angle brackets in the name": b"<X-A>: b",
}
FRAMING_FAULTS = {
    "two lengths that differ": b"Content-Length: 2\r\nContent-Length: 3",
    "two lengths that agree": b"Content-Length: 2\r\nContent-Length: 2",
    "a list of lengths": b"Content-Length: 2, 2",
    "a length with a plus": b"Content-Length: +2",
    "a negative length": b"Content-Length: -2",
    "a hexadecimal length": b"Content-Length: 0x2",
    "a length in words": b"Content-Length: two",
    "a length with a decimal": b"Content-Length: 2.0",
    "a length with an underscore": b"Content-Length: 2_0",
    "a length within": b"Content-Length: 2 2",
    "an empty length": b"Content-Length:",
    "a length in other digits": "Content-Length: ٢".encode(),
    "a length of 30 digits": b"Content-Length: " + b"9" * 30,
    "a quoted length": b'Content-Length: "2"',
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 2",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "chunks twice in a line": b"Transfer-Encoding: chunked, chunked",
    "another coding": b"Transfer-Encoding: gzip",
    "another coding before chunks": b"Transfer-Encoding: gzip, chunked",
    "another coding after chunks": b"Transfer-Encoding: chunked, gzip",
    "identity": b"Transfer-Encoding: identity",
    "chunks with a parameter": b"Transfer-Encoding: chunked;q=1",
    "chunks misspelt": b"Transfer-Encoding: xchunked",
    "chunks quoted": b'Transfer-Encoding: "chunked"',
    "an empty coding": b"Transfer-Encoding:",
    "a comma for a coding": b"Transfer-Encoding: ,",
}
CHUNK_FAULTS = {
    "a size that is no number": b"xyz\r\nab\r\n0\r\n\r\n",
    "a negative size": b"-2\r\nab\r\n0\r\n\r\n",
    "a size with a plus": b"+2\r\nab\r\n0\r\n\r\n",
    "a size with 0x": b"0x2\r\nab\r\n0\r\n\r\n",
    "a size of 17 digits": b"10000000000000002\r\nab\r\n0\r\n\r\n",
    "a space before the size": b" 2\r\nab\r\n0\r\n\r\n",
    "a space after the size": b"2 \r\nab\r\n0\r\n\r\n",
    "an empty size": b"\r\nab\r\n0\r\n\r\n",
    "a bare LF after the size": b"2\nab\r\n0\r\n\r\n",
    "a bare LF after the chunk": b"2\r\nab\n0\r\n\r\n",
    "a chunk longer than its size": b"2\r\nabcd\r\n0\r\n\r\n",
    "a chunk without its end": b"2\r\nab0\r\n\r\n",
    "an underscore in the size": b"0_2\r\nab\r\n0\r\n\r\n",
    "a NUL in an extension": b"2;a=\x00\r\nab\r\n0\r\n\r\n",
    "a bare LF in an extension": b"2;a\nb\r\nab\r\n0\r\n\r\n",
    "an extension of 300 bytes": b"2;" + b"a" * 300 + b"\r\nab\r\n0\r\n\r\n",
    "a trailer without a colon": b"2\r\nab\r\n0\r\nX-A\r\n\r\n",
    "a trailer that is folded": b"2\r\nab\r\n0\r\nX-A: b\r\n c\r\n\r\n",
    "a trailer with a NUL": b"2\r\nab\r\n0\r\nX-A: \x00\r\n\r\n",
    "a trailer with a space before the colon": b"2\r\nab\r\n0\r\nX-A : b\r\n\r\n",
    "bare LF for the trailers' end": b"2\r\nab\r\n0\r\nX-A: b\n\n",
}
REQUEST_LINE_FAULTS = {
    "two spaces": b"GET  / HTTP/1.1",
    "three parts and more": b"GET / a HTTP/1.1",
    "a tab": b"GET\t/ HTTP/1.1",
    "no version": b"GET /",
    "version 1.2": b"GET / HTTP/1.2",
    "version 0.9": b"GET / HTTP/0.9",
    "version 2": b"GET / HTTP/2",
    "version 3.0": b"GET / HTTP/3.0",
    "a version in lower case": b"GET / http/1.1",
    "a version with a space": b"GET / HTTP /1.1",
    "a version with a zero more": b"GET / HTTP/1.01",
    "a fragment": b"GET /a#b HTTP/1.1",
    "a target in UTF-8": "GET /ä HTTP/1.1".encode(),
    "a NUL in the target": b"GET /\x00 HTTP/1.1",
    "a bare CR in the target": b"GET /\r HTTP/1.1",
    "a bare LF in the target": b"GET /\n HTTP/1.1",
    "a target without a slash": b"GET a HTTP/1.1",
    "another scheme": b"GET ftp://a/ HTTP/1.1",
    "an asterisk with GET": b"GET * HTTP/1.1",
    "an authority with GET": b"GET a:80 HTTP/1.1",
    "another host": b"GET http://b/ HTTP/1.1",
    "a user in the authority": b"GET http://u@a/ HTTP/1.1",
    "CONNECT": b"CONNECT a:80 HTTP/1.1",
    "TRACE": b"TRACE / HTTP/1.1",
    "an unknown method": b"GTE / HTTP/1.1",
    "a method in lower case": b"post / HTTP/1.1",
    "a method with a colon": b"GE:T / HTTP/1.1",
    "a quoted method": b'"GET" / HTTP/1.1',
    "a response": b"HTTP/1.1 200 OK",
}
STATUS_LINE_FAULTS = {
    "no status": b"HTTP/1.1 ",
    "a status of two digits": b"HTTP/1.1 20 OK",
    "a status of four digits": b"HTTP/1.1 2000 OK",
    "a status in words": b"HTTP/1.1 OK OK",
    "a status of 099": b"HTTP/1.1 099 OK",
    "a status with a sign": b"HTTP/1.1 +200 OK",
    "two spaces": b"HTTP/1.1  200 OK",
    "a tab": b"HTTP/1.1\t200 OK",
    "no space": b"HTTP/1.1200 OK",
    "a leading space": b" HTTP/1.1 200 OK",
    "a leading line": b"\r\nHTTP/1.1 200 OK",
    "version 2": b"HTTP/2 200 OK",
    "version 2.0": b"HTTP/2.0 200 OK",
    "version 1.2": b"HTTP/1.2 200 OK",
    "version 0.9": b"HTTP/0.9 200 OK",
    "no version": b"HTTP 200 OK",
    "a version in lower case": b"http/1.1 200 OK",
    "another protocol": b"ICY 200 OK",
    "a NUL in the reason": b"HTTP/1.1 200 O\x00K",
    "a bare CR in the reason": b"HTTP/1.1 200 O\rK",
    "a bare LF for the end": b"HTTP/1.1 200 OK\nX-A: b",
    "a request": b"GET / HTTP/1.1",
    "a banner": b"220 mail ESMTP",
    "html": b"<html>",
    "a dash for the space": b"HTTP/1.1-200 OK",
}


def requests() -> dict[str, bytes]:
    """Each is to be refused, and the connection closed; what follows in it is `/smuggled`."""
    made = {
        f"request line: {name}": line + b"\r\nHost: a\r\n\r\n"
        for name, line in REQUEST_LINE_FAULTS.items()
    }
    start = b"POST / HTTP/1.1\r\nHost: a\r\n"
    made |= {
        f"field: {name}": start + line + b"\r\nContent-Length: 0\r\n\r\n"
        for name, line in FIELD_FAULTS.items()
    }
    made |= {
        f"framing: {name}": start + line + b"\r\n\r\nab" for name, line in FRAMING_FAULTS.items()
    }
    made |= {
        f"chunks: {name}": start + b"Transfer-Encoding: chunked\r\n\r\n" + body
        for name, body in CHUNK_FAULTS.items()
    }
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    return {name: request + smuggled for name, request in made.items()}


def responses() -> dict[str, bytes]:
    """Each is to come to 502, or to be broken off once a part of it has been passed on."""
    made = {
        f"status line: {name}": line + b"\r\nContent-Length: 2\r\n\r\nok"
        for name, line in STATUS_LINE_FAULTS.items()
    }
    start = b"HTTP/1.1 200 OK\r\n"
    made |= {
        f"field: {name}": start + line + b"\r\nContent-Length: 2\r\n\r\nok"
        for name, line in FIELD_FAULTS.items()
    }
    made |= {
        f"framing: {name}": start + line + b"\r\n\r\nok" for name, line in FRAMING_FAULTS.items()
    }
    made |= {
        f"chunks: {name}": start + b"Transfer-Encoding: chunked\r\n\r\n" + body
        for name, body in CHUNK_FAULTS.items()
    }
    return made
