"""Length-prefixed frames over a stream: the transport half of every connection, a client's and an internal one's.

``FrameProtocol`` is an ``asyncio.BufferedProtocol`` (also uvloop's). A subclass implements ``frame_received`` and, as
it needs, the other hooks. Rules:

- Small frames are cut out of one receive buffer that is used again and again, and grows when it is found full, as most
  connections are idle; a large frame is received straight into memory of its own, which grows with what has arrived, so
  that an announced size alone claims little.
- A frame handed out is read-only, owns its memory and stays valid; nothing is joined or copied a second time.
- A negative size or one above the limit ends the connection: ``frame_refused`` is called with the reason, then it is
  closed.
- Reading pauses and resumes at the owner's word, also in the middle of a burst; whoever writes looks at ``is_writable``
  or awaits ``drained`` (back-pressure from the peer's socket).
- Parts of files go from the system's memory to the socket, past the transport, and so does what is written until they are sent.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Final, cast

from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError
from raylog.protocol.file_range import FILE_BYTES_MIN, Part, has_files, in_memory
from raylog.protocol.file_sender import FileSender

SIZE_BYTES: Final = 4
_SIZE = struct.Struct(">i")

_RECEIVE_BYTES_MIN: Final = 4 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
"""The receive buffer's size at first, and at most. A frame that does not fit into that is a large one."""
_FIRST_STEP_BYTES: Final = 4 * 1024 * 1024
"""The memory claimed for a large frame before any of it has arrived; doubled each time it is full."""
_SEND_BYTES: Final = FILE_BYTES_MIN
"""Written in one turn of the loop, this much is sent before its end, so that the write limits see it."""
_UNSENT_BYTES_MAX: Final = 64 * 1024
"""Above this the owner is told that the peer does not take what is written, as by asyncio's transports by default."""


class Traffic:
    """Bytes that went over a connection's socket, or over those of several that share this. Counted at each system call."""

    __slots__ = ("received_bytes", "sent_bytes")

    def __init__(self) -> None:
        self.sent_bytes = 0
        """Handed over to the transport."""
        self.received_bytes = 0


class FrameProtocol(asyncio.BufferedProtocol):
    """One connection. Used from its event loop only."""

    def __init__(self, *, max_frame_bytes: int) -> None:
        self.traffic = Traffic()
        """May be replaced by one that others share; nothing but these counts depends on it."""
        self._max_frame_bytes = max_frame_bytes
        self._transport: asyncio.Transport | None = None
        self._small = bytearray(_RECEIVE_BYTES_MIN)
        self._small_view = memoryview(self._small)
        self._start = 0
        """Where the first byte that is not yet handed out lies in the receive buffer."""
        self._end = 0
        """Where the next received byte goes in the receive buffer."""
        self._large: bytearray | None = None
        """A large frame on its way."""
        self._large_bytes = 0
        """Its size when whole."""
        self._large_filled = 0
        self._is_read_paused = False
        self._is_transport_paused = False
        self._is_cutting = False
        self._is_closed = False
        self._is_write_paused = False
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._unsent: list[Part] = []
        """Written in this turn of the loop."""
        self._unsent_bytes = 0
        self._unsent_bytes_max = _UNSENT_BYTES_MAX
        self._files: FileSender | None = None
        """From the first part of a file on. The transport has nothing to send while it has."""

    # Hooks

    def frame_received(self, frame: bytes | memoryview) -> None:
        """A whole frame, without its size. Exceptions from here end the connection."""
        raise TypeError(f"{type(self).__name__} must implement frame_received")

    def frame_announced(self, size_bytes: int) -> bool:
        """A large frame begins. False: not now, reading pauses until ``resume_reading``, and then it is asked again."""
        return True

    def frame_refused(self, error: InvalidError) -> None:
        """The peer sent a size that is no frame's. The connection is closed after this."""

    def connection_opened(self) -> None:
        """The transport is there."""

    def files_sent(self) -> None:
        """Parts of files that had to wait for the peer have all left."""

    def connection_closed(self, error: Exception | None) -> None:
        """The connection is gone, with or without an error. Nothing is called after this."""

    # The state that owners use

    @property
    def peer_name(self) -> str:
        """Where the other side is, for people: ``host:port``, or the path of a unix socket."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        if isinstance(name, tuple):
            return f"{name[0]}:{name[1]}"
        return str(name or "unix socket")

    @property
    def is_of_this_machine(self) -> bool:
        """Both ends of the socket have the same address."""
        if self._transport is None:
            return False
        peer, own = self._transport.get_extra_info("peername"), self._transport.get_extra_info("sockname")
        return isinstance(peer, tuple) and isinstance(own, tuple) and bool(peer[0] == own[0])

    @property
    def is_closed(self) -> bool:
        """Closing or closed: what is written now is dropped."""
        return self._is_closed

    @property
    def is_writable(self) -> bool:
        """False while the transport's buffer is above its high-water mark."""
        return not self._is_write_paused

    @property
    def is_reading(self) -> bool:
        return not self._is_read_paused

    @property
    def is_sending_files(self) -> bool:
        """Parts of files that were written, or what follows them, have not all left."""
        return self._files is not None and self._files.unsent_bytes > 0

    def limit_unsent(self, bytes_max: int) -> None:
        """``is_writable`` is False above so many unsent bytes. Called when the connection is open."""
        self._unsent_bytes_max = bytes_max
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=bytes_max)

    def limit_send_buffer(self, size_bytes: int) -> None:
        """The system keeps so many bytes on their way to the peer. Called when the connection is open."""
        if self._transport is not None:
            # Linux takes this as the payload and doubles it, for what it needs itself.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)

    def write(self, buffers: Sequence[Part]) -> None:
        """Queue a whole frame (or several) for sending, by reference where the loop can. Dropped once closed.

        What is written in one turn of the loop leaves together, up to a size: the transports make a system call of each
        write, which costs more than all that a small frame costs besides.
        """
        if self._transport is None or self._is_closed:
            return
        unsent = self._unsent
        if not unsent:
            asyncio.get_running_loop().call_soon(self._send)
        size_bytes = self._unsent_bytes
        for buffer in buffers:
            unsent.append(buffer)
            size_bytes += len(buffer)
        self._unsent_bytes = size_bytes
        if size_bytes >= _SEND_BYTES:
            self._send()

    async def drained(self) -> None:
        """Wait until ``is_writable``. Raises ConnectionResetError when the connection goes away meanwhile."""
        if self._is_closed:
            raise ConnectionResetError("The connection is closed.")
        if self._is_write_paused:
            waiter = asyncio.get_running_loop().create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def pause_reading(self) -> None:
        """Hand out no further frame until ``resume_reading``. May be called in ``frame_received``."""
        self._is_read_paused = True
        self._tell_transport()

    def resume_reading(self) -> None:
        """Hand out the frames that are here already, then go on receiving."""
        if not self._is_read_paused:
            return
        self._is_read_paused = False
        if not self._is_cutting:
            self._cut_frames()
        self._tell_transport()

    def _tell_transport(self) -> None:
        if self._transport is None or self._is_closed or self._is_read_paused == self._is_transport_paused:
            return
        self._is_transport_paused = self._is_read_paused
        if self._is_transport_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is queued, then close. Frames that are here already are not handed out any more."""
        self._send()
        self._is_closed = True
        if self._transport is not None and not self.is_sending_files:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; what is queued is dropped."""
        self._unsent.clear()
        self._close_files()
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.connection_opened()
        self._tell_transport()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        self._large = None
        self._unsent.clear()
        self._close_files()
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionResetError("The connection was closed while a write waited."))
        self.connection_closed(exc)

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def eof_received(self) -> bool:
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._large is not None:
            if self._large_filled == len(self._large):
                self._grow_large()
            return memoryview(self._large)[self._large_filled :]
        return self._small_view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self.traffic.received_bytes += nbytes
        if self._is_closed:
            return
        if self._large is not None:
            self._large_filled += nbytes
            if self._large_filled == self._large_bytes:
                self._hand_out_large()
        else:
            self._end += nbytes
            if self._end == len(self._small) < _RECEIVE_BYTES:
                self._grow_small(4 * self._end)
        if not self._is_read_paused and self._large is None:
            self._cut_frames()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        size_bytes, self._unsent_bytes = self._unsent_bytes, 0
        if unsent and self._transport is not None and not self._is_closed:
            self.traffic.sent_bytes += size_bytes
            if self.is_sending_files or (size_bytes >= FILE_BYTES_MIN and has_files(unsent)):
                self._send_files(self._transport, unsent)
            else:
                self._transport.writelines(cast(list[Buffer], unsent))

    # Parts of files

    def _send_files(self, transport: asyncio.Transport, parts: list[Part]) -> None:
        try:
            if transport.get_write_buffer_size():
                transport.writelines(in_memory(parts))  # behind what it has: there is only one order
                return
            files = self._files
            if files is None:
                fd = transport.get_extra_info("socket").fileno()
                files = self._files = FileSender(fd, on_sent=self._files_sent, on_error=self._files_failed)
        except OSError as error:
            self._files_failed(error)
            return
        files.send(parts)
        if files.unsent_bytes > self._unsent_bytes_max and not self._is_write_paused:
            self.pause_writing()

    def _files_sent(self) -> None:
        if self.is_sending_files:
            return
        if self._is_closed and self._transport is not None:
            self._transport.close()
            return
        if self._is_write_paused:
            self.resume_writing()
        self.files_sent()

    def _files_failed(self, error: OSError) -> None:
        self.abort()

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _cut_frames(self) -> None:
        """Hand out the whole frames in the receive buffer, until reading is paused; what is left moves to its front."""
        self._is_cutting = True
        try:
            while self._end - self._start >= SIZE_BYTES and not self._is_read_paused and not self._is_closed:
                size = _SIZE.unpack_from(self._small, self._start)[0]
                body = self._start + SIZE_BYTES
                if not 0 <= size <= self._max_frame_bytes:
                    self._refuse(size)
                elif body + size <= self._end:
                    self._start = body + size
                    self.frame_received(bytes(self._small_view[body : self._start]))
                elif SIZE_BYTES + size <= _RECEIVE_BYTES:
                    self._grow_small(SIZE_BYTES + size)
                    break
                elif not self.frame_announced(size):
                    self.pause_reading()
                else:
                    self._begin_large(size, body)
        finally:
            self._is_cutting = False
            self._move_to_front()

    def _move_to_front(self) -> None:
        left = self._end - self._start
        if left and self._start:
            self._small_view[:left] = self._small_view[self._start : self._end]
        self._start, self._end = 0, left

    def _grow_small(self, needed_bytes: int) -> None:
        """Make the receive buffer large enough for this, at a size of a few."""
        size = len(self._small)
        while size < needed_bytes:
            size *= 4
        if size > len(self._small):
            grown = bytearray(size)
            grown[: self._end] = self._small_view[: self._end]
            self._small, self._small_view = grown, memoryview(grown)

    def _begin_large(self, size: int, body: int) -> None:
        arrived = self._end - body
        self._large = bytearray(min(size, _FIRST_STEP_BYTES))
        memoryview(self._large)[:arrived] = self._small_view[body : self._end]
        self._large_bytes, self._large_filled = size, arrived
        self._start = self._end

    def _grow_large(self) -> None:
        assert self._large is not None
        grown = bytearray(min(self._large_bytes, 2 * len(self._large)))
        memoryview(grown)[: self._large_filled] = memoryview(self._large)[: self._large_filled]
        self._large = grown

    def _hand_out_large(self) -> None:
        assert self._large is not None
        frame = memoryview(self._large).toreadonly()
        self._large = None
        self.frame_received(frame)

    def _refuse(self, size: int) -> None:
        error = InvalidError(
            f"A frame of {size} bytes was announced; at most {self._max_frame_bytes} are accepted. "
            "The peer may not be speaking the Kafka protocol."
        )
        self.frame_refused(error)
        self.close()
