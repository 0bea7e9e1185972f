"""The exchange's rate limit: a maximum of requests in any minute, and a ban for the whole address beyond it.

Bitfinex documents 30 requests a minute for candles and a ban of 60 s. It is not known whether a request during the
ban extends it; the sandbox can do either.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RateRule:
    """At most `per_minute` requests in any minute (0: no limit); beyond it a ban, which requests may extend."""

    per_minute: int = 0
    ban_seconds: float = 60.0
    extends: bool = True


@dataclass(slots=True)
class RateCount:
    """The requests of the last minute, and until when (seconds of boot time) nothing is answered."""

    rule: RateRule
    banned_until: float = 0.0
    times: list[float] = field(default_factory=list)

    def is_banned(self, now: float) -> bool:
        """Whether a request at `now` (seconds of boot time) falls into a ban."""
        return now < self.banned_until

    def refuses(self, now: float) -> bool:
        """Count a request at `now`, and return whether it is refused."""
        if self.is_banned(now):
            if self.rule.extends:
                self.banned_until = now + self.rule.ban_seconds
            return True
        self.times = [time for time in self.times if time > now - 60]
        if self.rule.per_minute and len(self.times) >= self.rule.per_minute:
            self.banned_until = now + self.rule.ban_seconds
            return True
        self.times.append(now)
        return False
