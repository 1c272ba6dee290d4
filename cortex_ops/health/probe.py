"""HTTP from outside, as a user would come: no client retries hidden, every wait bounded."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from cortex_ops.kernel.clock import SYSTEM, Clock


def ask(url: str, timeout: float = 3.0) -> str:
    """Empty when the URL answers 2xx; otherwise one sentence saying what it did."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout):  # our own published address, http only
            return ""
    except urllib.error.HTTPError as error:
        return f"{url} answered {error.code}"
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"


def wait_until_ready(urls: dict[str, str], *, deadline: float, clock: Clock = SYSTEM) -> list[str]:
    """Problems that remain after `deadline` seconds, one sentence each; empty as soon as all answer."""
    until = clock.monotonic() + deadline
    while True:
        problems = [problem for problem in (ask(url) for url in urls.values()) if problem]
        if not problems or clock.monotonic() >= until:
            return problems
        clock.sleep(0.2)
