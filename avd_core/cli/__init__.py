"""The verbs of the command line about clips and images, one file each: `add_arguments(parser)` and `run(args)`."""
