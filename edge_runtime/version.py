"""The version, as a literal: reading it from the installed metadata would cost a fifth of the cold start.

Imported as edge_runtime.version; public as edge_runtime.__version__.
"""

VERSION = "0.1.0"
