//! Recording, linking and replaying kernels.
