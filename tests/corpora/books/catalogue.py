"""All entries."""

from . import cs231n_layers, cs231n_nets, dlai, vol1, vol2_sequences, vol2_words

FILES = (vol1, vol2_words, vol2_sequences, cs231n_layers, cs231n_nets, dlai)
BOOKS = [book for file in FILES for book in file.ENTRIES]
assert len({book.name for book in BOOKS}) == len(BOOKS), "names are unique"
