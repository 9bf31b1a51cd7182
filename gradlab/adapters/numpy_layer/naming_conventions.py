"""The names that people give to methods, arguments and attributes of hand-written layers.

Names only rank the guesses; what is taken is what an experiment bears out.
"""

import re
from functools import cache

# Without underscores and capitals.
FORWARD = (
    "forward", "fprop", "forwardpass", "forwardprop", "forwardpropagation", "feedforward", "feedforwardpass", "fwd",
    "forwardpropagate", "__call__", "call", "apply", "loss", "cost", "computeloss", "calculateloss", "calculate",
    "compute", "calc", "activate", "activation", "activationfn", "updateoutput", "func", "function", "fn", "f", "eval",
    "evaluate", "value", "predict", "run", "propagate", "transform", "output",
)  # fmt: skip
BACKWARD = (
    "backward", "backprop", "bprop", "back", "bwd", "backwardpass", "backwardprop", "backpropagate",
    "backpropagation", "backwardpropagation", "backwards", "vjp", "pullback", "adjoint", "gradient", "grad",
    "gradients", "derivative", "deriv", "prime", "derive", "diff", "delta", "backwardactivation", "computegradient",
    "computegradients", "calcgradient", "inputgradient", "dloss", "d", "df",
)  # fmt: skip
_LIKE_FORWARD = re.compile(r"forward|fprop|fwd")
_LIKE_BACKWARD = re.compile(r"back|bprop|bwd|grad|deriv|prime|vjp|adjoint|delta|diff|^d_|_d$|^df$")
_BACKWARD_WORD = re.compile(r"backwards?|back|bprop|bwd|gradients?|grad|derivative|deriv|vjp|adjoint|prime")
_NOT_BACKWARD = re.compile(
    r"zero|clear|reset|flush|^get_?|^set_?|update|apply_|numer|check|clip|accumul|init|load|save|register|feedback"
)
# What does more than compute is not called to see what it may be.
_ACTS = re.compile(
    r"^(save|load|dump|write|read|send|post|plot|show|draw|print|fit|train|learn|update|delete|remove|close|open|"
    r"export|import|upload|download|log$|start|stop|exec|del_|rm_)"
)
# Methods that are named after a derivative, rather than after a direction, give f'(x) as often as they take dout.
POINTWISE = re.compile(r"deriv|prime|grad|^d$|^df$|diff|^d_|_d$|delta")

OUTPUTS = ("output", "outputs", "out", "y", "Y", "a", "A", "activation", "activations", "z", "Z", "h", "value", "val",
           "result", "data", "top", "loss", "o", "yhat", "y_hat", "prediction")  # fmt: skip


COTANGENTS = (
    "dout", "d_out", "dy", "dY", "delta", "grad_output", "output_grad", "out_grad", "grad", "gradient", "dout_", "g",
    "upstream", "upstream_grad", "error", "err", "dz", "dZ", "da", "dA", "dh", "d_output", "doutput", "dvalues",
    "output_gradient", "gy", "top_diff", "diff", "dL_dout", "dLdy", "output_delta", "grad_out", "deltas", "errors",
)  # fmt: skip
# Without underscores and capitals.
PARAMS = (
    "params", "parameters", "param", "weights", "trainableparams", "trainableparameters", "trainableweights",
    "trainablevariables", "variables", "getparams", "getparameters", "getweights", "namedparameters",
    "allparams", "paramslist", "paramlist", "theta", "learnableparams", "parameterlist", "getparamsandgrads",
    "paramsandgrads", "getparamsgrads", "parametersandgradients", "weight", "kernel",
)  # fmt: skip
GRADS = (
    "grads", "gradients", "grad", "gradient", "dparams", "paramgrads", "paramsgrads", "gradparams", "getgrads",
    "getgradients", "getgrad", "getgradient", "dweights", "gradlist", "deltas", "allgrads", "paramgradients",
    "gradslist", "derivatives", "weightgrads", "weightsgrad", "dtheta", "parametergradients", "getgradparameters",
    "gradparameters", "getparamgrads",
)  # fmt: skip

_COTANGENT = re.compile(
    r"^(d|g|gy|gys|gs|e|v|ct|dout.*|d_.*|d[a-z]{1,2}\d?|d[a-z]?s|dnext|dnext_.*|dl.*|dj.*|dc.*|d[ahcsyz]_.*|d(output|value|loss|activation|upper|top|signal).*)$"
    r"|grad|delta|err|upstream|diff|cotangent|incoming|gout|sensitivity|backprop"
)
_COST = re.compile(r"cost|loss|objective|energy|penalty|nll|total")
_RATE = re.compile(r"^(lr|eta|learn.*|step_size|.*rate|.*_lr|stepsize)$")
_OPTIMIZER = re.compile(r"^(opt|optim.*|.*_opt|updater|solver|.*optimi[sz]er)$")
_CACHE = re.compile(r"^(.*cache.*|ctx|context|saved.*|mem|memory|tape|residual.*|store.*)$")
_TARGET = re.compile(
    r"^(t|ts|target.*|label.*|y_?true|true_?y|truth|ground_?truth|gt|teacher.*|expected.*|desired.*|actual.*|y_?real|"
    r"real|.*one_?hot.*|.*actual|gold.*|y_?label.*|y_?target.*|correct.*|.*_true|.*_label|.*_labels|.*_target|.*_targets|one_?hot|ylabel|answer.*)$"
)
_PREDICTION = re.compile(
    r"^(y_?hat|y_?pred.*|pred.*|p|ps|logit.*|score.*|out.*|probs?|a|al|z|x|x.*|y_?out|o|yp)$"
)
_INPUT = re.compile(
    r"^(x.*|z|zs|a|in|in_|inp.*|input.*|data|a_?prev|prev|s|u|val|value|values|inp_?data|bottom)$"
)
_OUTPUT = re.compile(r"^(y|out|outputs?|a|act.*|fx|y_?hat|y_?pred|result|s|h)$")
_TRAINING = re.compile(
    r"^(train.*|is_?train.*|in_?training|phase|mode_?train|train_?flg|train_?mode|istrain)$"
)
_PARAMETER = re.compile(
    r"^(w.*|weights?.*|b|bs|bias.*|b[a-z]|b_.*|gammas?|betas?|kernels?|filters?|theta.*|u|v|u_.*|v_.*|u[a-z]|embed.*|"
    r"emb|scale|shift|slope|alpha|table|coef.*|k|a|c)$"
)
_SURE_PARAMETER = re.compile(
    r"^(w|w[a-z]|w_.*|weights?|b|bias|biases|b[a-z]|b_.*|gamma|beta|kernel|filters?)$"
)
_NO_PARAMETER = re.compile(
    r"running|moving|veloc|moment|cache|mask|buffer|mean|var$|std|history|avg|grad|^d[A-Z_]|prev"
)


def _lower(name: str) -> str:
    return str(name).strip("_").lower()


def looks_like_backward(name: str) -> bool:
    """Return whether a method of this name may run a layer backwards."""
    known = plain(name) in BACKWARD or (
        not name.startswith("__") and bool(_LIKE_BACKWARD.search(name.lower()))
    )
    return known and not _NOT_BACKWARD.search(name.lower())


def forward_stem(name: str) -> str:
    """Return what is left of a backward method's name without what says so: step of step_back; empty if nothing is."""
    return plain(_BACKWARD_WORD.sub("", name.lower()))


def looks_like_forward(name: str) -> bool:
    """Return whether a method of this name may be a forward pass, though its name says more than that."""
    return bool(_LIKE_FORWARD.search(name.lower())) and not _NOT_BACKWARD.search(name.lower())


def acts(name: str) -> bool:
    """Return whether a method of this name does something in the world, or learns, and does not only compute."""
    return bool(_ACTS.match(_lower(name)))


def is_cotangent(name: str) -> bool:
    """Return whether an argument of this name is the upstream gradient."""
    return bool(_COTANGENT.search(_lower(name))) or bool(re.match(r"^d[A-Z]", name))


def is_cost(name: str) -> bool:
    """Return whether it is the value of a loss."""
    return bool(_COST.search(_lower(name)))


def is_rate(name: str) -> bool:
    """Return whether it is a learning rate."""
    return bool(_RATE.match(_lower(name)))


def is_optimizer(name: str) -> bool:
    """Return whether it is an optimizer."""
    return bool(_OPTIMIZER.match(_lower(name)))


def is_cache(name: str) -> bool:
    """Return whether it is what forward saved for backward."""
    return bool(_CACHE.match(_lower(name)))


def is_target(name: str) -> bool:
    """Return whether it is a loss's target."""
    return bool(_TARGET.match(_lower(name)))


def is_prediction(name: str) -> bool:
    """Return whether it is what a loss compares with its target."""
    return bool(_PREDICTION.match(_lower(name)))


def is_input(name: str) -> bool:
    """Return whether it is what forward was given."""
    return bool(_INPUT.match(_lower(name)))


def is_output(name: str) -> bool:
    """Return whether it is what forward returned."""
    return bool(_OUTPUT.match(_lower(name)))


def is_training_flag(name: str) -> bool:
    """Return whether it says that the layer is being trained."""
    return bool(_TRAINING.match(_lower(name)))


def is_parameter(name: str, sure: bool = False) -> bool:
    """Return whether an attribute of this name is learned; `sure` leaves out what is often something else."""
    plain = re.sub(r"\d+$", "", _lower(name)).rstrip("_")
    pattern = _SURE_PARAMETER if sure else _PARAMETER
    return bool(pattern.match(plain)) and not _NO_PARAMETER.search(name)


def is_plain_parameter(name: str) -> bool:
    """Return whether it is what everybody calls a parameter, with a letter or a number behind it at the most."""
    return bool(
        re.match(r"^_?(w|b|u|weights?|bias(es)?|gamma|beta|kernels?|filters?)[a-z]?\d*_?$", name.lower())
    )


_ALIASES = {
    "w": ("w", "weight", "weights", "kernel", "filter", "filters", "ws"),
    "b": ("b", "bias", "biases", "bs"),
    "x": (
        "x",
        "input",
        "inputs",
        "in",
        "xs",
        "inp",
        "aprev",
        "prev",
        "bottom",
        "inputdata",
        "data",
        "z",
        "a",
    ),
}
_PREFIX = re.compile(
    r"^(dldd?|dl|djd|dlossd|dcostd|dcd|dld|ded|lossgrad|gradients?|grads?|delta|nabla|deriv|diff|d|g)(?=.)"
)
_SUFFIX = re.compile(r"(?<=.)(gradients?|grads?|delta|diff|deriv|update|g|d)$")


@cache
def plain(name: str) -> str:
    """Return a name without underscores and capitals."""
    return name.replace("_", "").lower()


def _alias(name: str) -> str:
    return next((kind for kind, names in _ALIASES.items() if name in names), name)


@cache
def stems(slot: str) -> frozenset[str]:
    """Return what a name says without what says that it is a gradient, in the ways there are to read it, `plain`."""
    a = plain(slot)
    shorter = {a.removeprefix(prefix) for prefix in ("d", "dl", "dld")}
    return frozenset({pattern.sub("", a, count=1) for pattern in (_PREFIX, _SUFFIX)} | shorter) - {a}


def is_gradient_of(slot: str, primal: str) -> int:
    """Return how well the name `slot` says that it holds the gradient of `primal`: 0 not at all, 3 best."""
    p = plain(primal)
    if slot == f"d{primal}":
        return 3
    bases = stems(slot)
    if p in bases:
        return 2
    return int(_alias(p) in {_alias(base) for base in bases if base} and _alias(p) in _ALIASES)


def has_stem_of(slot: str, primal: str) -> bool:
    """Return whether the name `slot`, without what says that it is a gradient, is a part of the name `primal`."""
    stem = _PREFIX.sub("", plain(slot), count=1)
    return len(stem) >= 3 and (stem in plain(primal) or plain(primal) in stem)
