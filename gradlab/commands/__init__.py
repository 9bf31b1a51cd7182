"""The subcommands of ``gradlab``: a file each, or a folder, called as the subcommand is.

Each has ``HELP``, the line that ``gradlab --help`` shows; ``add_arguments(parser)``; and ``run(arguments, command)``,
which gets the parsed arguments and the command line as it was typed, and returns the exit status. `gradlab.cli` finds
them by looking: a new one is a new file.
"""
