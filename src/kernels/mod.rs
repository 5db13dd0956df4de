//! Every kernel: one file here, one file in `shaders/`.
