"""The subcommands of ``gradlab``, one file each: its arguments, its run, its page."""
