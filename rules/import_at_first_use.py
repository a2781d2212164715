"""What nothing of the port uses is not imported when the port is."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.module_uses import asked_in_functions
from porter.analysis.reachability import Reachability
from porter.inputs.sources.standard import STANDARD
from porter.rule import Example, Rule, Safety
from porter.syntax.scopes import Imported
from porter.syntax.walk import code, dotted


class ImportAtFirstUse(Rule):
    """Import packages of unreached functions where they are first used.

    A file beside upstream's networks often holds one function that a trainer takes, such as the one that reads a sound,
    and others for the web interface. Its imports want the packages of all of them. One that only functions use which
    nothing of the port reaches becomes a name that imports the package when somebody asks it for something; so those
    functions still work where the package is installed, and the trainer starts where it is not.
    """

    code = "PKG003"
    title = "import at first use"
    safety = Safety.EXACT
    message = "only functions that the port does not reach use it, so it need not be installed"
    fixes_hazard = False
    examples: ClassVar = (
        Example(
            before="""
                import os
                import gradio as gr


                def double(x):
                    return x * 2


                def warn(path):
                    if not os.path.exists(path):
                        gr.Warning(path)
                """,
            after="""
                import os
                from .. import training
                gr = training.import_later("gradio")


                def double(x):
                    return x * 2


                def warn(path):
                    if not os.path.exists(path):
                        gr.Warning(path)
                """,
            path="helpers.py",
            others={
                "module/models.py": """
                    from helpers import double


                    def f(x):
                        return double(x)
                    """
            },
        ),
        Example(  # one of several
            before="""
                import numpy, pandas.io as pio


                def double(x):
                    return numpy.abs(x)


                def read(path):
                    return pio.read_csv(path)
                """,
            after="""
                from .. import training
                import numpy
                pio = training.import_later("pandas.io")


                def double(x):
                    return numpy.abs(x)


                def read(path):
                    return pio.read_csv(path)
                """,
            path="helpers.py",
            others={
                "module/models.py": """
                    from helpers import double


                    def f(x):
                        return double(x)
                    """
            },
        ),
    )
    untouched: ClassVar = (
        # what runs when the file is imported, names of a module, the standard library, other names of its own
        """
        import gradio as gr

        TITLE = gr.Markdown('x')


        def warn(path):
            gr.Warning(path)
        """,
        """
        import gradio as gr


        def warn(path, kind=gr.Warning):
            kind(path)
        """,
        """
        from gradio import Warning


        def warn(path):
            Warning(path)
        """,
        """
        import ctypes


        def load(path):
            ctypes.CDLL(path)
        """,
        """
        try:
            import gradio
        except ImportError:
            gradio = None


        def warn(path):
            gradio.Warning(path)
        """,
        """
        import gradio


        def warn(show):
            show(gradio)
        """,
        """
        import gradio


        def change():
            gradio.title = 1
        """,
        """
        import gradio
        import gradio.themes as themes

        TITLE = gradio.Markdown('x')


        def dark():
            return themes.Soft()
        """,
        """
        import gradio


        def change():
            global gradio
            gradio = None
            gradio.x()
        """,
    )

    def visit_Import(self, node: cst.Import) -> None:
        line = self.file.alone(node)
        if not self.file.is_dependency or line is None or self.file.parent(line) is not self.file.module:
            return
        late = {alias: name for alias in node.names if (name := self._late_name(alias)) is not None}
        if not late:
            return
        kept = ", ".join(code(a.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for a in node.names if a not in late)
        new = [cst.parse_statement(f"import {kept}")] if kept else []
        new += map(self._later, late.keys(), late.values())
        self.replace(line, new, f"{self.message} ({', '.join(late.values())})")

    def _later(self, alias: cst.ImportAlias, name: str) -> cst.SimpleStatementLine:
        """The line that imports a module where it is first used."""
        call = self.fill("__f(__n)", f="training.import_later", n=cst.SimpleString(f'"{dotted(alias.name)}"'))
        return cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.Name(name))], call)])

    def _late_name(self, alias: cst.ImportAlias) -> str | None:
        """The name that an import binds, if it can wait."""
        name = self._name(alias)
        return name if name and self._can_wait(name, alias) else None

    def _name(self, alias: cst.ImportAlias) -> str | None:
        """The name that an import binds to the module itself."""
        if alias.asname is not None:
            return alias.asname.name.value if isinstance(alias.asname.name, cst.Name) else None
        return alias.name.value if isinstance(alias.name, cst.Name) else None

    def _can_wait(self, name: str, alias: cst.ImportAlias) -> bool:
        module = dotted(alias.name) or ""
        if module.partition(".")[0] in (*STANDARD, "torch") or self.file.project.module(module) is not None:
            return False
        return self._only_unreached(name) and not self._wanted_anyway(module.partition(".")[0], name)

    def _wanted_anyway(self, package: str, name: str) -> bool:
        """Whether another name of the same package is needed when the file is imported, or by what the port reaches."""
        others = {
            other
            for other, found in self.file.index.root.bindings.items()
            for bound in found
            if other != name and isinstance(bound, Imported) and bound.target.partition(".")[0] == package
        }
        return not all(self._only_unreached(other) for other in others)

    def _only_unreached(self, name: str) -> bool:
        uses = asked_in_functions(self.file, name)
        return bool(uses) and all(self.file.project.fact(Reachability).unreached(self.file, use) for use in uses)
