"""A backup (or drill) in a process of its own, to be killed: told to end as the command line is.

`python -m tests.support.backup_run backup|drill FOLDER STACK_NAME RUN_ID`
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cortex_ops.adapters.engine import Engine
from cortex_ops.backup import BackupContext, run_backup
from cortex_ops.backup.drill import run_drill
from cortex_ops.kernel.clock import SYSTEM
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.interrupts import end_on_sigterm
from cortex_ops.kernel.process import RUN_VARIABLE
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.values import ImageLock
from cortex_ops.stack.load import load_stack
from cortex_ops.store import open_store
from tests.support.engine import ROOT
from tests.support.postgres import sample_settings


def main(task: str, folder: str, name: str, run_id: str) -> int:
    os.environ[RUN_VARIABLE] = run_id
    end_on_sigterm()
    settings = sample_settings(Path(folder))
    ctx = BackupContext(
        settings=settings,
        engine=Engine(settings),
        store=open_store(settings),
        stack=load_stack(ROOT / "deploy" / "stack.yaml").model_copy(update={"name": name}),
        environment="local",
        prefix=f"{name}-local",
        lock=ImageLock(source_revision="sample", source_dirty=False, images={}),
        release=7,
        clock=SYSTEM,
        progress=Progress(),
        run_id=run_id,
        deadline=300,
    )
    print("ready", flush=True)
    try:
        print((run_backup if task == "backup" else run_drill)(ctx).set_id, flush=True)
    except OpsError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
