"""Latencies in an HDR histogram: nothing averaged, nothing cut off, three significant digits."""

from __future__ import annotations

from array import array

from hdrh.histogram import HdrHistogram

QUANTILES = (50.0, 95.0, 99.0, 99.9, 100.0)
COLUMNS = ("p50", "p95", "p99", "p99.9", "max")

_HIGHEST_NS = 120 * 10**9


class Latencies:
    """Durations in nanoseconds. Adding one is cheap; the histogram is built at the first question."""

    def __init__(self) -> None:
        self._raw = array("Q")
        self._histogram = HdrHistogram(1, _HIGHEST_NS, 3)
        self.count = 0

    def add(self, duration_ns: int) -> None:
        self._raw.append(max(duration_ns, 1))
        self.count += 1

    def at(self, percentile: float) -> float:
        """The duration in nanoseconds that so many per cent do not exceed; 0 without any."""
        for duration in self._raw:
            self._histogram.record_value(min(duration, _HIGHEST_NS))
        del self._raw[:]
        if not self.count:
            return 0.0
        if percentile >= 100:
            return float(self._histogram.get_max_value())
        return float(self._histogram.get_value_at_percentile(percentile))

    def milliseconds(self) -> list[float]:
        """At each of `QUANTILES`."""
        return [self.at(quantile) / 1e6 for quantile in QUANTILES]
