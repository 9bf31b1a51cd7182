"""--all walks a module."""

import json

ALL = """
    import numpy as np
    from layers import Square as Imported

    class Zeta:
        def forward(self, x):
            self.x = x
            return x**3
        def backward(self, dout):
            return 3 * self.x**2 * dout

    Alias = Zeta

    class Base:
        def forward(self, x):
            raise NotImplementedError
        def backward(self, dout):
            raise NotImplementedError

    class Styled(Zeta):
        def __init__(self, style):
            assert style == "plain"

    class Loose(Zeta):
        def forward(self, x, conv_param):
            return x

    class Dataset:
        def load(self):
            pass

    class Alpha(Zeta):
        pass
"""


def test_all_checks_what_a_module_defines_and_says_what_it_could_not(project, check):
    project.write("mine.py", ALL)
    status, out, err = check("--all", "mine", "--format", "json")
    envelope = json.loads(out)
    assert list(dict.fromkeys(row["node"] for row in envelope["rows"])) == ["mine:Zeta", "mine:Alpha"]
    unchecked = envelope["environment"]["unchecked"]
    assert list(unchecked) == ["mine:Base", "mine:Styled", "mine:Loose"]
    assert "Base.forward raised NotImplementedError: " in unchecked["mine:Base"]
    assert (
        "'style', of which the name does not say what it is: give --init '{\"style\": \"...\"}'"
        in (unchecked["mine:Styled"])
    )
    assert "no shape stands for: give it with --settings, or all with --samples" in unchecked["mine:Loose"]
    # nobody asked for these by name
    assert (status, envelope["ok"], err) == (0, True, "")


def test_all_is_wrong_if_one_is(check):
    status, out, _ = check("layers.py", "--all")
    assert status == 1
    assert "sign-flipped" in out
    assert "Optimizer" not in out


def test_all_of_a_module_without_layers_or_without_one_that_can_be_made(project, check):
    project.write("none.py", "class Dataset:\n    def load(self): pass\n")
    status, out, err = check("none", "--all")
    assert (status, out) == (2, "")
    assert "and no such pair of functions: name the module that defines them" in err
    project.write("base.py", ALL.replace("Zeta", "Base2").replace("return x**3", "raise NotImplementedError"))
    status, out, err = check("base", "--all")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 5
