"""All layers of the corpus in one table.

They were written down from memory of how NumPy layers look in textbooks, course notes and public code, without a look
at the adapters that check them, so that what finds out how to call them is measured on something it was not made for;
the faults bear the names of `gradlab.diagnosis.NAMES`, each for what it means. How an object is meant to be called is
said in a sentence, `Foreign.how`, and in code, `Foreign.use`: a check that has to find it out by itself gets neither.
"""

from . import (
    blobs,
    closures,
    conventions,
    course,
    course_images,
    dicts,
    factors,
    habits,
    layer_norm,
    losses,
    modules,
    rows,
    tapes,
    updates,
    verbs,
    volume1,
    volume1_images,
    volume1_loss,
    volume1_modes,
    volume2,
    volume2_lstm,
    volume2_nets,
    volume2_seq2seq,
    volume2_time,
    volume2_words,
)

FOREIGN = (
    *volume1.ENTRIES,
    *volume1_modes.ENTRIES,
    *volume1_loss.ENTRIES,
    *volume1_images.ENTRIES,
    *volume2.ENTRIES,
    *volume2_nets.ENTRIES,
    *volume2_words.ENTRIES,
    *volume2_time.ENTRIES,
    *volume2_lstm.ENTRIES,
    *volume2_seq2seq.ENTRIES,
    *course.ENTRIES,
    *course_images.ENTRIES,
    *modules.ENTRIES,
    *layer_norm.ENTRIES,
    *verbs.ENTRIES,
    *rows.ENTRIES,
    *updates.ENTRIES,
    *habits.ENTRIES,
    *dicts.ENTRIES,
    *factors.ENTRIES,
    *tapes.ENTRIES,
    *closures.ENTRIES,
    *blobs.ENTRIES,
    *losses.ENTRIES,
    *conventions.ENTRIES,
)

STYLES = (
    "volume 1", "volume 2", "course notes", "torch-like module", "another verb", "trains itself", "habits", "dicts",
    "pointwise factor", "tape", "cotangent in an attribute", "loss",
)  # fmt: skip
# How the cotangent gets in: to a method that returns dx; a loss takes none, or one that is 1 by default; the caller
# multiplies a factor; a tape holds it; an attribute; with a cache; a learning rate beside it.
COTANGENTS = ("passed", "none", "dout=1", "factor", "tape", "attribute", "cache", "learning rate")
# Where the parameters' gradients are; "own step": nowhere, but the parameter moves by it.
STORED = ("", "attributes", "list", "dict", "parameter objects", "returned", "optimizer", "own step")
# What a gradient belongs to instead of what forward returns: the sum or the mean over the batch; the scores whose
# softmax the layer is given; the log without its epsilon; the mean over the batch for parameters, not for inputs.
CONVENTIONS = ("", "sum", "mean", "logits", "no epsilon", "1/N inside")
