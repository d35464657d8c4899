"""Which partition of ``__consumer_offsets`` holds a group: as in Kafka, by Java's hash of the group's name."""


def java_hash(text: str) -> int:
    """``String.hashCode``: over the UTF-16 units, as a signed 32-bit number."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFF_FFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def group_partition(group_id: str, partition_count: int) -> int:
    """``Utils.abs(groupId.hashCode) % partitionCount``; Kafka takes the one number without a positive twin as 0."""
    value = java_hash(group_id)
    return (0 if value == -(1 << 31) else abs(value)) % partition_count
