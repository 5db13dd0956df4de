//! Models on this machine and where they come from. Pure: no GPU.
