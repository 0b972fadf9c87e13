from tests.support.exported import bundle  # noqa: F401  (a fixture of this folder)
