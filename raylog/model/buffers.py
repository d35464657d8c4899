"""The type of bytes on their way: never copied to change the type."""

Buffer = bytes | bytearray | memoryview
