"""What a server has seen: requests and bytes by id, when they came, and how many at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Traffic:
    """Counters that many threads add to; times are the clock's, in s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.n_requests: Counter[str] = Counter()
        """Requests by id, counted when they come in."""
        self.n_bytes: Counter[str] = Counter()
        """Bytes of body by id, counted when they go out."""
        self.arrivals: list[tuple[float, str]] = []
        """(time in s, id) of every request, in the order in which they came."""
        self.peak_in_flight = 0
        """The most requests that were being answered at one moment."""
        self.busy_s = 0.0
        """How long at least one request was being answered, up to the last change."""
        self._request_s = 0.0
        self._n_in_flight = 0
        self._changed_s = 0.0
        self._lock = threading.Lock()

    @property
    def mean_in_flight(self) -> float:
        """Requests being answered at once, a mean over the time in which there was any."""
        with self._lock:
            self._pass_time()
            return self._request_s / self.busy_s if self.busy_s else 0.0

    @contextmanager
    def request(self, ytid: str) -> Iterator[None]:
        """Count a request, and that it is in flight inside."""
        with self._lock:
            now_s = self._pass_time()
            self._n_in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._n_in_flight)
            self.n_requests[ytid] += 1
            self.arrivals.append((now_s, ytid))
        try:
            yield
        finally:
            with self._lock:
                self._pass_time()
                self._n_in_flight -= 1

    def sent(self, ytid: str, n_bytes: int) -> None:
        """Add bytes of a body that was sent."""
        with self._lock:
            self.n_bytes[ytid] += n_bytes

    def _pass_time(self) -> float:
        """Account for the time since the last change; return the time now."""
        now_s = self._clock()
        if self._n_in_flight:
            self.busy_s += now_s - self._changed_s
            self._request_s += self._n_in_flight * (now_s - self._changed_s)
        self._changed_s = now_s
        return now_s
