"""What a release left behind, and may be removed: decided here from the recorded inventory, done elsewhere.

Only objects that we recorded, only while they are the very same ones (by UID), and never one that holds others or
data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.objects import Document, Ref, order

# Whoever deletes one of these deletes what others keep in it.
PROTECTED = frozenset(
    {"Namespace", "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition", "StorageClass"}
    | {"VolumeSnapshot", "VolumeSnapshotContent"}
)


class Decision(Value):
    """Whether one object is removed, and why (not)."""

    ref: Ref
    remove: bool
    reason: str

    def line(self) -> str:
        return f"{self.ref.label()}: {'remove' if self.remove else 'keep'}: {self.reason}"


def prune_plan(inventory: Sequence[Ref], rendered: Sequence[Document], live: Iterable[Document]) -> list[Decision]:
    """One decision for each object of the inventory, those to remove first: what follows a workload, then workloads,
    then what their pods needed. `live` are the objects of those names, as they are now; delete with the UID as a
    precondition, since they may be replaced until then."""
    wanted = {Ref.of(one).key() for one in rendered}
    now = {Ref.of(one).key(): one for one in live}
    decisions = [_decide(ref, wanted, now.get(ref.key())) for ref in dict.fromkeys(inventory)]
    return sorted(decisions, key=lambda one: (not one.remove, -order(one.ref.kind)))


def _decide(ref: Ref, wanted: set[tuple[str, str, str, str]], live: Document | None) -> Decision:
    def keep(reason: str) -> Decision:
        return Decision(ref=ref, remove=False, reason=reason)

    if ref.kind in PROTECTED:
        return keep(f"a {ref.kind} is never removed")
    if ref.key() in wanted:
        return keep("it is rendered again")
    if live is None:
        return keep("it is already gone")
    uid = live["metadata"].get("uid", "")
    if not ref.uid:
        return keep("its UID was not recorded, so that it may be another's")
    if uid != ref.uid:
        return keep(f"it is another object of that name now (UID {uid}, recorded was {ref.uid})")
    if live["metadata"].get("deletionTimestamp"):
        return keep("it is already being deleted")
    return Decision(ref=ref, remove=True, reason="it is rendered no more")
