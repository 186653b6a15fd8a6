"""Runs inside the box: sends mutated FastCGI records to a worker's socket. Arguments: socket, seed, count."""

import random
import socket
import struct
import sys

PATH, SEED, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dice = random.Random(SEED)
BEGIN, ABORT, END, PARAMS, STDIN, DATA, GET_VALUES = 1, 2, 3, 4, 5, 8, 9


def record(kind, content=b"", number=1, padding=0, version=1, length=None):
    length = len(content) if length is None else length
    return struct.pack("!BBHHBx", version, kind, number, length & 0xFFFF, padding) + content + b"\0" * padding


def pair(name, value):
    def size(text):
        return struct.pack("!B", len(text)) if len(text) < 128 else struct.pack("!I", len(text) | 1 << 31)

    return size(name) + size(value) + name + value


def request():
    """A good one, in one of several shapes."""
    path = b"/-/up" if "health" in PATH else b"/a"
    body = dice.randbytes(dice.choice((0, 0, 3, 500, 70000)))
    params = pair(b"REQUEST_METHOD", dice.choice((b"GET", b"POST", b"HEAD"))) + pair(b"PATH_INFO", path)
    params += pair(b"REQUEST_URI", path) + pair(b"CONTENT_LENGTH", str(len(body)).encode())
    params += b"".join(
        pair(b"HTTP_X_%d" % n, b"v" * dice.choice((0, 1, 127, 128, 3000))) for n in range(dice.randrange(5))
    )
    cut = dice.randrange(len(params) + 1)
    pieces = [
        record(BEGIN, struct.pack("!HB5x", 1, dice.choice((0, 1)))),
        record(PARAMS, params[:cut], padding=dice.randrange(9)),
    ]
    pieces += [record(PARAMS, params[cut:])] if params[cut:] else []
    pieces += [record(PARAMS)]
    for start in range(0, len(body), 30000):
        pieces.append(record(STDIN, body[start : start + 30000], padding=dice.randrange(8)))
    return [*pieces, record(STDIN)]


def mutate(pieces):
    """One or two of the things that go wrong."""
    for _ in range(dice.randrange(1, 3)):
        at = dice.randrange(len(pieces))
        what = dice.randrange(10)
        if what == 0:
            del pieces[at:]
        elif what == 1 and pieces[at]:
            data = bytearray(pieces[at])
            data[dice.randrange(len(data))] = dice.randrange(256)
            pieces[at] = bytes(data)
        elif what == 2:
            pieces[at] = pieces[at][: dice.randrange(len(pieces[at]) + 1)]
        elif what == 3:
            pieces.insert(at, record(dice.randrange(256), dice.randbytes(dice.randrange(64)), dice.randrange(3)))
        elif what == 4:
            pieces.insert(at, record(ABORT))
        elif what == 5:
            pieces.insert(at, record(GET_VALUES, pair(b"FCGI_MPXS_CONNS", b""), 0))
        elif what == 6:
            pieces.insert(at, record(PARAMS, b"", length=dice.randrange(65536)))
        elif what == 7:
            pieces[at] = dice.choice((b"\0\x10\0\0" + b"x" * 16, b"GET / HTTP/1.1\r\n\r\n", dice.randbytes(40)))
        elif what == 8:
            dice.shuffle(pieces)
        else:
            pieces.insert(at, record(PARAMS, struct.pack("!II", 1 << 31 | dice.randrange(1 << 31), 5) + b"abc"))
        if not pieces:
            return pieces
    return pieces


answered = 0
for _ in range(COUNT):
    data = b"".join(mutate(request()))
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(2)
        try:
            wire.connect(PATH)
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(65536):
                answered += 1
        except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                print("no end:", data[:200])
print("answered", answered)
