// Modules of which only files are read, never code.
module cortex-ops.org/kinds

go 1.24

require istio.io/api v1.32.0
