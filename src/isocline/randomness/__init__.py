"""Random numbers inside kernels: `draws` (uniform, one stream each) and `exponential`."""
