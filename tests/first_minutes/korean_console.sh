# The first minutes on a Korean console, whose encoding lacks many signs: names, formulas, times, a report that is printed.
# Called with gradlab's folder, in an empty one.
set -eu
export PYTHONIOENCODING=cp949 PYTHONUTF8=0
python3 -m venv env
. env/bin/activate
pip install --quiet "$1"
cat > 계층.py <<'LAYER'
import numpy as np


class 시그모이드:
    """책에 나오는 시그모이드 계층."""

    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out
LAYER
gradlab || echo "status $?"
gradlab verify sigmoid softmax --timings
gradlab explain batch_norm
gradlab check 계층.py:시그모이드 --verbose --timings || echo "status $?"
python - <<'PRINTED'
import importlib

import numpy as np

from gradlab import check_layer

report = check_layer(importlib.import_module("계층").시그모이드(), np.linspace(-1, 1, 6).reshape(2, 3))
print(report)
print(report.to_markdown())
PRINTED
