"""What every other package may import: errors, processes, time, secrets as a type, progress, values.

Nothing here knows of stacks, images, targets or Dagster.
"""
