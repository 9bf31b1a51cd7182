# A learner's first minutes: install, a layer of their own from the textbook, what is wrong, the picture, the cure.
# Called with gradlab's folder, in an empty one.
set -eu
python3 -m venv env
. env/bin/activate
pip install --quiet "$1[plot]"
echo "== the name alone"
gradlab || echo "status $?"
cat > my_layers.py <<'LAYER'
import numpy as np


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.out = e / e.sum(axis=1, keepdims=True)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        return dx - self.out * dx.sum()
LAYER
echo "== a word mistyped"
gradlab chek my_layers.py:Softmax || echo "status $?"
echo "== their own layer"
gradlab check my_layers.py:Softmax --html out.html --plot pictures || echo "status $?"
ls pictures
echo "== the change, taken over"
gradlab check my_layers.py:Softmax --fix --no-dry-run > /dev/null || echo "status $?"
gradlab check my_layers.py:Softmax
