"""The leader's limits. They are kept beside all others in ``raylog.model.limits``, where operators find and override
them."""

from raylog.model.limits import MIB, LeaderLimits

__all__ = ["MIB", "LeaderLimits"]
