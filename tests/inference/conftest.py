from tests.support.exported import root, trained  # noqa: F401  (fixtures of this folder)
