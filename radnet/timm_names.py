"""Makes the exports of the zoo known to timm as soon as timm is there, without importing it.

timm 1.0 has no entry point for models of other packages. So `import radnet` only leaves a note for the import system,
which costs a few milliseconds; the zoo is read when timm has been imported, before or after radnet. (A library for
such notes, wrapt, takes 90 ms to import.)
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importlib.abc would take 40 ms, typing 13
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _AfterTimm:
    """Lets the other finders find timm, and has the zoo registered at the end of its import."""

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """See `importlib.abc.MetaPathFinder`, which this is without being its child."""
        if fullname != "timm":
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        found = (finder.find_spec(fullname, path, target) for finder in list(sys.meta_path))
        spec = next((one for one in found if one is not None), None)
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            execute = loader.exec_module

            def execute_and_register(module: "ModuleType") -> None:
                execute(module)
                _register()

            loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def offer_zoo() -> None:
    """Register the zoo's models now when timm is there, or as soon as it is."""
    timm = sys.modules.get("timm")
    if timm is not None and hasattr(timm, "create_model"):  # not when it is half imported and imports radnet
        _register()
    elif not any(isinstance(finder, _AfterTimm) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTimm())


def _register() -> None:
    from radnet.zoo import register_zoo

    register_zoo()
