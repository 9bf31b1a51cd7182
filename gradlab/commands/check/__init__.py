"""The command ``gradlab check``: somebody's layers, found by name, made, given inputs, and checked one by one."""

from gradlab.commands.check._arguments import add_arguments, task_of
from gradlab.commands.check._check_run import Checked, check, write_page

__all__ = ["Checked", "add_arguments", "check", "task_of", "write_page"]
