"""The textbooks' networks, data sets, optimizers and training, on the lab's nodes; nothing of the lab imports them."""
