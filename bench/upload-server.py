"""An image service that costs little: it counts the bytes of an upload and keeps none, so it has no checksum of them.

Prints its URL. Every id is an image of its own, queued until it has got its data.
"""

import json
import socket
import threading

images = {}


def lines(connection):
    """The lines of a head, and what has arrived after it."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            return None, b""
        head += more
    head, rest = head.split(b"\r\n\r\n", 1)
    return head.decode("latin-1").split("\r\n"), rest


def skip(connection, count, rest, buffer):
    """Receives until `count` bytes are read; returns what came after them."""
    while count > len(rest):
        count -= len(rest)
        rest = b""
        received = connection.recv_into(buffer, min(count, len(buffer)))
        if received == 0:
            raise ConnectionError("the body is incomplete")
        count -= received
    return rest[count:]


def chunked(connection, rest, buffer):
    total = 0
    while True:
        while b"\r\n" not in rest:
            more = connection.recv(64)
            if not more:
                raise ConnectionError("the body is incomplete")
            rest += more
        size, rest = rest.split(b"\r\n", 1)
        size = int(size, 16)
        rest = skip(connection, size + 2, rest, buffer)
        total += size
        if size == 0:
            return total


def serve(connection):
    with connection:
        head, rest = lines(connection)
        if head is None:
            return
        method, path, _ = head[0].split(" ")
        image = path.split("/")[3]
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head[1:])}
        buffer = memoryview(bytearray(1 << 20))
        status, body = "200 OK", b""
        if method == "PUT":
            length = fields.get("content-length")
            if length is None:
                images[image] = chunked(connection, rest, buffer)
            else:
                images[image] = int(length)
                skip(connection, int(length), rest, buffer)
            status = "204 No Content"
        else:
            skip(connection, int(fields.get("content-length", 0)), rest, buffer)
            size = images.get(image)
            record = {"id": image, "status": "queued" if size is None else "active", "size": size}
            body = json.dumps({**record, "checksum": None, "os_hash_algo": None, "os_hash_value": None}).encode()
        length = "" if method == "PUT" else f"Content-Length: {len(body)}\r\n"
        connection.sendall(f"HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n".encode() + body)


listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
