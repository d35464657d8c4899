"""Structured logs: one logfmt line an event, quiet when all is well, with cluster, role and id in every line.

``role_logger`` gives a logger that carries a role's context; further fields go in ``extra={"partition": …}`` style through
``fields``: ``log.warning("flush failed, trying again", extra=fields(partition=tp, error=exc))``.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

_FIELDS = "raylog_fields"


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """Values for a log line's ``extra``."""
    return {_FIELDS: values}


class _RoleAdapter(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        own = (kwargs.get("extra") or {}).get(_FIELDS, {})
        kwargs["extra"] = {_FIELDS: {**(self.extra or {}), **own}}
        return msg, kwargs


RoleLogger = logging.LoggerAdapter[logging.Logger]


def role_logger(role: str, **context: object) -> RoleLogger:
    """A logger under ``raylog.<role>`` whose lines carry ``context`` (cluster, leader id, node, …)."""
    return _RoleAdapter(logging.getLogger(f"raylog.{role}"), {"role": role, **context})


class LogfmtFormatter(logging.Formatter):
    """``ts=… level=… logger=… msg="…" key=value …``; values with blanks are quoted, line ends escaped."""

    def format(self, record: logging.LogRecord) -> str:
        pairs: dict[str, object] = {
            "ts": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            pairs["exception"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items())


def _quoted(text: str) -> str:
    if text and not any(c in text for c in ' "=\n\r\t'):
        return text
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return f'"{escaped}"'


def configure_logs(level: str = "WARNING", handler: logging.Handler | None = None) -> None:
    """Send Raylog's log lines of ``level`` and above to ``handler`` (standard error by default)."""
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    logger = logging.getLogger("raylog")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
