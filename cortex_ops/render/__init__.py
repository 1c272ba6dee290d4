"""Pure functions from (stack, environment, images, secret versions, placement) to files. No input or output."""
