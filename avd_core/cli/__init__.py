"""The `avd` command, one file a verb: `add_arguments(parser)` and `run(args)`."""
