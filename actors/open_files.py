"""How many files a process may have open: each connection is one, and the usual soft limit of 1,024 is far too low."""

import resource

from raylog.model.logs import RoleLogger, fields

_BESIDE_CONNECTIONS = 512
"""Ray's sockets, logs, metrics, connections to leaders and to the bucket."""


def allow_open_files(connections_max: int, log: RoleLogger) -> int:
    """Raise the soft limit to the hard one; returns it. Says so when that is too low for as many connections as may come."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = connections_max + _BESIDE_CONNECTIONS
    if hard != resource.RLIM_INFINITY and hard < needed:
        log.warning(
            "the hard limit of open files is too low for gateway.connections_max: raise it (LimitNOFILE), or lower that",
            extra=fields(open_files_max=hard, needed=needed, connections_max=connections_max),
        )
    return hard
