"""Cycles among calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cycle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle as `[a, b, a]`, or an empty list. Iterative, so that long chains do not overflow."""
    done: set[str] = set()
    for start in sorted(edges):
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            node, index = stack.pop()
            if index == 0:
                if node in done:
                    continue
                trail.append(node)
                on_trail.add(node)
            following = edges.get(node, ())
            if index < len(following):
                stack.append((node, index + 1))
                child = following[index]
                if child in on_trail:
                    return [*trail[trail.index(child) :], child]
                if child in edges and child not in done:
                    stack.append((child, 0))
            else:
                done.add(node)
                trail.pop()
                on_trail.discard(node)
    return []
