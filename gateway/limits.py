"""The gateway's limits. They are kept beside all others in ``raylog.model.limits``, where operators find and override
them."""

from raylog.model.limits import MIB, GatewayLimits

__all__ = ["MIB", "GatewayLimits"]
