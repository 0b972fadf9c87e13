from tests.support.exported import bundle, searching_bundle  # noqa: F401  (fixtures of this folder)
