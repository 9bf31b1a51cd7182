"""What torch and JAX share: a function whose gradient a framework computes, as a pair of functions of arrays."""
