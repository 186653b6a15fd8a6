"""What all requests together may take: a part of the memory, and of the folder that nginx spools into."""

from __future__ import annotations

from typing import NamedTuple

KILOBYTE, MEGABYTE = 1 << 10, 1 << 20
SMALLEST = MEGABYTE  # of a part: a full disk is no reason not to start
MOST_REQUESTS = 1024
SAID_OF_NO_LIMIT = 2048 * MEGABYTE  # who says that there is none may send as much
REQUEST_BUFFERS = 49 * KILOBYTE  # of one request: its headers, and its response's
BUFFER = 16 * KILOBYTE
LARGEST_MESSAGE = 16 * MEGABYTE  # of a WebSocket: gunicorn's own most, and uvicorn's
# nginx, for a client that asks for a static text compressed and does not read it: zlib takes 264 kB of these, the rest
# is buffers (statics.GZIP) and the request.
TEXT = 320 * KILOBYTE
# Bodies below the first cost a request's own buffers. nginx holds those below the second in memory
# (client_body_buffer_size and a quarter, ngx_http_read_client_request_body) and spools the others.
UNCOUNTED, IN_MEMORY = 20_000, 100_000


class Spool(NamedTuple):
    """The folder for large bodies and responses, as it was at the start."""

    folder: str
    in_memory: bool
    free: int  # bytes


class Room(NamedTuple):
    """How much of each, in bytes; how many requests and buffers."""

    small_bodies: int  # that nginx holds in memory, all together
    bodies: int  # spooled, all together
    responses: int  # spooled, all together
    requests: int  # under way
    buffers: int  # of a response, each of 16 kB, before it is spooled
    texts: int  # static ones that are compressed at a time; further ones are sent as they are

    @property
    def largest_body(self) -> int:
        """One body: two of them, so that one slow upload does not take all."""
        return self.bodies // 2

    @property
    def response(self) -> int:
        """What is spooled of one response; beyond it the application waits for the client."""
        return max(64 * KILOBYTE, min(self.responses // self.requests, 1024 * MEGABYTE))


def of(spool: Spool, memory: int, concurrent: int) -> Room:
    """Divide `memory` (MB) and the spool among requests, `concurrent` of which threads and backlog can hold."""
    limit = memory * MEGABYTE
    if spool.in_memory:
        bodies, responses = min(limit // 4, spool.free // 2), min(limit // 8, spool.free // 4)
        requests = memory // 4
    else:
        bodies, responses = spool.free // 4, spool.free // 2
        requests = memory * 2
    requests = min(max(2 * concurrent, min(requests, MOST_REQUESTS)), 65535)  # nginx's own most
    buffers = (limit // 4 // requests - REQUEST_BUFFERS) // BUFFER
    return Room(
        small_bodies=max(limit // 16, SMALLEST),
        bodies=max(bodies, SMALLEST),
        responses=max(responses, SMALLEST),
        requests=requests,
        buffers=max(4, min(buffers, 16)),
        texts=min(limit // 16 // TEXT + 1, 65535),
    )


def websockets(memory: int, workers: int) -> int:
    """Bytes that unfinished messages of ASGI's WebSockets may hold in one worker: a part of `memory`, in MB."""
    return max(memory * MEGABYTE // 16 // workers, 2 * MEGABYTE)


def largest_message(websockets: int) -> int:
    """One of them: two have room, so that one slow client does not take all."""
    return min(websockets // 2, LARGEST_MESSAGE)


def explained(spool: Spool, room: Room, given: int) -> str:
    """A boot line: where bodies go, how many, what to do about it. Empty where there is nothing to say."""
    most = room.largest_body
    cut = given > most or (not given and most < SAID_OF_NO_LIMIT)
    if not cut and not spool.in_memory:
        return ""
    if not spool.in_memory:
        more = "free some of the disk, or mount a larger one at /tmp"
    elif room.bodies == spool.free // 2:
        more = (
            f"give that tmpfs a larger size, --tmpfs /tmp:size={4 * room.bodies // MEGABYTE}m, or mount a disk at /tmp"
        )
    else:
        more = "mount a disk at /tmp, or give the container more memory"
    return (
        f"request bodies are spooled in {'MEMORY, ' * spool.in_memory}{spool.folder}: all together may take "
        f"{_size(room.bodies)}, one {_size(min(given or most, most))}"
        f"{f', although MAX_BODY_SIZE={_size(given)}' * cut}. For more: {more}"
    )


def users_own(spool: Spool, path: str) -> str:
    """The boot line where nginx.conf is the user's, and no limit of ours is in it."""
    if not spool.in_memory:
        return ""
    return (
        f"request bodies are spooled in MEMORY, {spool.folder}, and {path} alone can limit them: "
        "client_max_body_size, limit_conn; or mount a disk at /tmp"
    )


def _size(count: int) -> str:
    return f"{count // MEGABYTE} MB" if count >= MEGABYTE else f"{count // KILOBYTE} kB" if count else "0"


class Class(NamedTuple):
    """Bodies up to `size` bytes: `slots` of them may be under way. `lengths` is a pattern of Content-Length."""

    size: int
    slots: int
    lengths: str  # empty: all that is longer, or says no length


def classes(room: Room, largest: int) -> list[Class]:
    """The classes of bodies, the smallest first. Half of the room is the largest's, a quarter the next's ...

    nginx's map knows no numbers, so the borders are those that a pattern can tell: 300,000, 1,000,000, 3,000,000 ...
    """
    if largest <= IN_MEMORY:
        return [_class(IN_MEMORY, room.small_bodies, "")]
    borders: list[tuple[int, str]] = []
    size, digits = IN_MEMORY, 6
    while True:
        size *= 3
        if size > largest // 2:
            break
        borders.append((size, f"[12][0-9]{{{digits - 1}}}"))
        size = size // 3 * 10
        if size > largest // 2:
            break
        borders.append((size, f"[3-9][0-9]{{{digits - 1}}}"))
        digits += 1
    share = room.bodies // 2
    found = [_class(largest, share, "")]
    for size, pattern in reversed(borders):
        share //= 2
        found.append(_class(size, share, pattern))
    return [_class(IN_MEMORY, room.small_bodies, "[2-9][0-9]{4}"), *reversed(found)]


def _class(size: int, share: int, lengths: str) -> Class:
    return Class(size, max(1, min(share // size, 65535)), lengths)


def of_one_client(slots: int) -> int:
    """A client may hold three quarters: one alone cannot shut the others out, where there is more than one slot."""
    return max(1, slots * 3 // 4)


def maps(room: Room, largest: int) -> list[str]:
    """For http level: which class a request's body is of, and the zones that count."""
    every = classes(room, largest)
    last = len(every) - 1
    lines = [
        # Where a client's own limit has refused a request, nobody came to ask for this key: 429, not 503 (nginx.conf).
        'map $server_protocol $flagon_request { "~^(?<flagon_asked>.)" 1; }',
        "limit_conn_zone $flagon_request zone=flagon_requests_under_way:64k;",
        "limit_conn_zone $flagon_client zone=flagon_requests_of_a_client:1m;",
        f'map $request_method $flagon_unsaid_2 {{ default {last}; GET ""; HEAD ""; }}',
        'map $server_protocol $flagon_unsaid_1 { default ""; HTTP/2.0 $flagon_unsaid_2; }',
        f'map $http_transfer_encoding $flagon_unsaid {{ default {last}; "" $flagon_unsaid_1; }}',
        "map $content_length $flagon_body {",
        f'    default {last};\n    "" $flagon_unsaid;\n    "~^0*1?[0-9]{{1,4}}$" "";',
        *(f'    "~^0*{one.lengths}$" {number};' for number, one in enumerate(every) if one.lengths),
        "}",
    ]
    for number, one in _counted(room, every):
        lines += [
            f'map $flagon_body $flagon_body_{number} {{ default ""; {number} 1; }}',
            f"limit_conn_zone $flagon_body_{number} zone={_zone(one)}:64k;",
        ]
        if one.slots > 1:
            lines += [
                f'map $flagon_body $flagon_sender_{number} {{ default ""; {number} $flagon_client; }}',
                f"limit_conn_zone $flagon_sender_{number} zone={_zone(one)}_of_a_client:1m;",
            ]
    return lines


def limits(room: Room, largest: int) -> list[str]:
    """For a location: nginx asks the zones in this order."""
    lines = [
        f"limit_conn flagon_requests_under_way {room.requests};",
        f"limit_conn flagon_requests_of_a_client {of_one_client(room.requests)};",
    ]
    for _, one in _counted(room, classes(room, largest)):
        lines.append(f"limit_conn {_zone(one)} {one.slots};")
        if one.slots > 1:
            lines.append(f"limit_conn {_zone(one)}_of_a_client {of_one_client(one.slots)};")
    return lines


def texts(room: Room) -> list[str]:
    """For a static location: how many texts are compressed at a time."""
    return [
        f"limit_conn flagon_texts {room.texts};",
        f"limit_conn flagon_texts_of_a_client {of_one_client(room.texts)};",
    ]


def _counted(room: Room, every: list[Class]) -> list[tuple[int, Class]]:
    """The classes that hold fewer than all requests together: for the others the requests' own limit is enough."""
    return [(number, one) for number, one in enumerate(every) if one.slots < room.requests]


def _zone(one: Class) -> str:
    return f"flagon_bodies_{one.size}"
