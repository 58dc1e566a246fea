"""The core's own subcommands of `edge`, one module each: parse, call the library, print.

Belongs here: commands that need no spoke. Not here: finding them and answering for errors (cli.py).
Imported as edge_runtime.commands; the top of each module imports click only, since `edge --help` loads them all.
"""
